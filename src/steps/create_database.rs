//! `create_database` and `drop_databases`: databases of a stack in a server that other things live in too. The node's agent
//! loads schema and fixture with the stack's own role; only this side holds the account that may create databases.

use super::Tools;
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::StackId;
use crate::model::plan::EffectClass;
use crate::providers::postgres::DatabaseServer;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Input of `create_database`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The stack.
    pub stack: StackId,
    /// Name of the database and of its role.
    pub name: String,
    /// Name of the stack's secret that holds the role's password.
    pub secret: String,
}

fn server(tools: &Tools) -> Result<&DatabaseServer, StepError> {
    tools.postgres.as_ref().ok_or_else(|| {
        StepError::Final(
            Fault::new("database-unavailable", "No PostgreSQL server is configured").why("`databases.postgres_url` is empty"),
        )
    })
}

/// Makes a database and its role.
#[derive(Debug)]
pub struct CreateDatabase(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for CreateDatabase {
    fn name(&self) -> &'static str {
        "create_database"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let secret = self.0.store.secret(&input.stack, &input.secret).await.map_err(Fault::from)?;
        let secret = secret.ok_or_else(|| Fault::new("internal", format!("The secret {} is gone", input.secret)))?;
        server(&self.0)?.ensure_database(&input.name, &input.name, &secret).await?;
        cx.log.line(format!("Database {} is there", input.name)).await;
        Ok(Value::Null)
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        let input: Input = cx.input()?;
        drop_one(&self.0, cx, &input.stack, &input.name).await
    }
}

async fn drop_one(tools: &Tools, cx: &StepContext, stack: &StackId, name: &str) -> Result<(), StepError> {
    let server = server(tools)?;
    server.drop_database(name, name).await?;
    if server.exists(name).await? {
        return Err(StepError::Failed(Fault::new(
            "database-unavailable",
            format!("The database {name} is still there after it was dropped"),
        )));
    }
    cx.log.line(format!("Database {name} is gone")).await;
    let mut tx = tools.store.journal().await.map_err(Fault::from)?;
    tx.set_database_gone(stack, name).await.map_err(Fault::from)?;
    tx.commit().await.map_err(Fault::from)?;
    Ok(())
}

/// Drops all databases of a stack.
#[derive(Debug)]
pub struct DropDatabases(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for DropDatabases {
    fn name(&self) -> &'static str {
        "drop_databases"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: super::begin_stack::Input = cx.input()?;
        for row in self.0.store.databases(&input.stack).await.map_err(Fault::from)? {
            drop_one(&self.0, cx, &input.stack, &row.name).await?;
        }
        Ok(Value::Null)
    }
}
