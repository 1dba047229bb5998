//! Nodes and what belongs to them: desired configurations, reports, secrets, databases in shared servers.
//!
//! Invariant: a node's row is written before its provider is asked for it and stays until the provider says it is gone, so
//! the cloud never holds what we do not know. The same holds for rows of `databases`.

use super::{Result, Store, Tx, from_json, parse, to_json};
use crate::model::configuration::NodeConfiguration;
use crate::model::id::{NodeId, StackId};
use crate::model::inventory::{normalise_facts, stack_node_document};
use crate::model::time::Timestamp;
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

macro_rules! columns {
    () => {
        "id, stack, provider, state, handle, facts, bootstrap_hash, public_key, desired, desired_run, desired_step, seen_at"
    };
}

pub(super) const COLUMNS: &str = columns!();
pub(super) const WIDTH: usize = 12;

/// A node as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    /// Its id.
    pub id: NodeId,
    /// Its stack.
    pub stack: StackId,
    /// Its provider.
    pub provider: String,
    /// `planned`, `created`, `stopping`, `stopped` or `gone`.
    pub state: String,
    /// What the provider gave: ports, folders, isolation.
    pub handle: Option<Value>,
    /// What its agent said of it.
    pub facts: Option<Value>,
    /// Hash of its one-time token.
    pub bootstrap_hash: Option<String>,
    /// Its agent's public key.
    pub public_key: Option<String>,
    /// Hash of the configuration it should have.
    pub desired: Option<String>,
    /// The run and step that wanted it, whose log its agent writes to.
    pub desired_by: Option<(String, String)>,
    /// When its agent was last heard of.
    pub seen_at: Option<Timestamp>,
}

/// The newest report of a node about one configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    /// The report's own id.
    pub id: String,
    /// Hash of the configuration.
    pub configuration: String,
    /// The report.
    pub body: Value,
    /// When it came.
    pub at: Timestamp,
}

/// A database in a shared server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRow {
    /// Its id.
    pub id: String,
    /// The app.
    pub app: String,
    /// The resource's name in the descriptor.
    pub resource: String,
    /// Which server, such as `postgres`.
    pub server: String,
    /// The database's and role's name in the server.
    pub name: String,
    /// `planned` or `gone`.
    pub state: String,
}

impl Store {
    /// A node by id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn node(&self, id: &NodeId) -> Result<Option<NodeRow>> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM nodes WHERE id = $1"))
            .bind(id.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Whether a node that is not known to be gone was given the token of this hash.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn is_node_token(&self, hash: &str) -> Result<bool> {
        let found: Option<String> = sqlx::query_scalar("SELECT id FROM nodes WHERE bootstrap_hash = $1 AND state <> 'gone'")
            .bind(hash.to_owned())
            .fetch_optional(self.pool())
            .await?;
        Ok(found.is_some())
    }

    /// All nodes that are not known to be gone.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn live_nodes(&self) -> Result<Vec<NodeRow>> {
        let rows = sqlx::query(concat!("SELECT ", columns!(), " FROM nodes WHERE state <> 'gone'"))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// A configuration by hash, as canonical JSON.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn configuration(&self, hash: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT body FROM configurations WHERE hash = $1")
            .bind(hash.to_owned())
            .fetch_optional(self.pool())
            .await?)
    }

    /// The newest report of a node about a configuration.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn report(&self, node: &NodeId, configuration: &str) -> Result<Option<ReportRow>> {
        let row = sqlx::query("SELECT id, configuration, body, at FROM reports WHERE node = $1 AND configuration = $2")
            .bind(node.as_str().to_owned())
            .bind(configuration.to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.map(|row| {
            Ok(ReportRow {
                id: row.try_get(0)?,
                configuration: row.try_get(1)?,
                body: from_json("report", row.try_get(2)?)?,
                at: Timestamp(row.try_get(3)?),
            })
        })
        .transpose()
    }

    /// A secret of a stack.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn secret(&self, stack: &StackId, name: &str) -> Result<Option<String>> {
        let stored: Option<String> = sqlx::query_scalar("SELECT value FROM secrets WHERE stack = $1 AND name = $2")
            .bind(stack.as_str().to_owned())
            .bind(name.to_owned())
            .fetch_optional(self.pool())
            .await?;
        stored.map(|stored| self.opened(stack, name, stored)).transpose()
    }

    /// The databases of a stack in shared servers that are not known to be gone.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn databases(&self, stack: &StackId) -> Result<Vec<DatabaseRow>> {
        let rows = sqlx::query("SELECT id, app, resource, server, name, state FROM databases WHERE stack = $1 AND state <> 'gone' ORDER BY app, resource")
            .bind(stack.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(DatabaseRow {
                    id: row.try_get(0)?,
                    app: row.try_get(1)?,
                    resource: row.try_get(2)?,
                    server: row.try_get(3)?,
                    name: row.try_get(4)?,
                    state: row.try_get(5)?,
                })
            })
            .collect()
    }
}

impl Tx {
    /// Stores a node before it is asked for.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_node(&mut self, id: &NodeId, stack: &StackId, provider: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query("INSERT INTO nodes (id, stack, provider, state, spec, created_at) VALUES ($1, $2, $3, 'planned', '{}', $4)")
            .bind(id.as_str().to_owned())
            .bind(stack.as_str().to_owned())
            .bind(provider.to_owned())
            .bind(at)
            .execute(self.conn())
            .await?;
        self.index_stack_node(id).await
    }

    /// Stores the hash of the token that its agent registers with, before the token is handed out.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_node_bootstrap(&mut self, id: &NodeId, hash: &str) -> Result<()> {
        sqlx::query("UPDATE nodes SET bootstrap_hash = $1 WHERE id = $2")
            .bind(hash.to_owned())
            .bind(id.as_str().to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Stores what the provider gave.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_node_created(&mut self, id: &NodeId, handle: &Value) -> Result<()> {
        let handle = to_json("node handle", handle)?;
        sqlx::query("UPDATE nodes SET state = 'created', handle = $1 WHERE id = $2 AND state <> 'gone'")
            .bind(handle)
            .bind(id.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.index_stack_node(id).await?;
        self.touch(format!("node:{id}"));
        Ok(())
    }

    /// Notes that a node is being stopped, so that nobody starts its agent again meanwhile.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_node_stopping(&mut self, id: &NodeId) -> Result<()> {
        self.set_node_state(id, "stopping").await
    }

    /// Notes that the provider says the node is stopped. What its agent said before says nothing about later.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_node_stopped(&mut self, id: &NodeId) -> Result<()> {
        sqlx::query("DELETE FROM reports WHERE node = $1")
            .bind(id.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.set_node_state(id, "stopped").await
    }

    async fn set_node_state(&mut self, id: &NodeId, state: &'static str) -> Result<()> {
        sqlx::query("UPDATE nodes SET state = $1 WHERE id = $2 AND state <> 'gone'")
            .bind(state)
            .bind(id.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.index_stack_node(id).await?;
        self.touch(format!("node:{id}"));
        Ok(())
    }

    /// Notes that the provider says the node is gone. Its agent is no longer believed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_node_gone(&mut self, id: &NodeId) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE nodes SET state = 'gone', gone_at = $1, bootstrap_hash = NULL, public_key = NULL WHERE id = $2 AND state <> 'gone'")
            .bind(at)
            .bind(id.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.unindex("node", id.as_str()).await?;
        self.forget_facts(id.as_str()).await?;
        self.touch(format!("node:{id}"));
        Ok(())
    }

    /// Registers an agent's public key, once: true where it is now (or was already) this key.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn register_node(&mut self, id: &NodeId, bootstrap_hash: &str, public_key: &str, facts: &Value) -> Result<bool> {
        let at = self.at().0;
        let text = to_json("facts", facts)?;
        let done = sqlx::query(
            "UPDATE nodes SET public_key = $1, facts = $2, seen_at = $3 WHERE id = $4 AND bootstrap_hash = $5 AND state <> 'gone' \
             AND (public_key IS NULL OR public_key = $1)",
        )
        .bind(public_key.to_owned())
        .bind(text)
        .bind(at)
        .bind(id.as_str().to_owned())
        .bind(bootstrap_hash.to_owned())
        .execute(self.conn())
        .await?;
        let registered = done.rows_affected() == 1;
        if registered && let Ok((facts, format)) = normalise_facts(facts.clone()) {
            self.put_facts(id.as_str(), &facts, format).await?;
        }
        self.touch(format!("node:{id}"));
        Ok(registered)
    }

    async fn index_stack_node(&mut self, id: &NodeId) -> Result<()> {
        let row = sqlx::query("SELECT n.provider, n.state, s.name FROM nodes n JOIN stacks s ON s.id = n.stack WHERE n.id = $1 AND n.state <> 'gone'")
            .bind(id.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?;
        let Some(row) = row else { return Ok(()) };
        let (provider, state, stack): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let document = stack_node_document(id.as_str(), &stack, &provider, &state);
        self.index("node", id.as_str(), &document).await
    }

    pub(super) async fn index_all_stack_nodes(&mut self) -> Result<()> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM nodes WHERE state <> 'gone'")
            .fetch_all(self.conn())
            .await?;
        for id in ids {
            self.index_stack_node(&parse("node id", &id)?).await?;
        }
        Ok(())
    }

    /// Puts a new public key of a node's agent in the place of this one; false where it is not this one any more.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn rotate_node_key(&mut self, id: &NodeId, old: &str, new: &str) -> Result<bool> {
        let done = sqlx::query("UPDATE nodes SET public_key = $1 WHERE id = $2 AND public_key = $3")
            .bind(new.to_owned())
            .bind(id.as_str().to_owned())
            .bind(old.to_owned())
            .execute(self.conn())
            .await?;
        self.touch(format!("node:{id}"));
        Ok(done.rows_affected() == 1)
    }

    /// Notes that a node's agent was heard of.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_node_seen(&mut self, id: &NodeId) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE nodes SET seen_at = $1 WHERE id = $2")
            .bind(at)
            .bind(id.as_str().to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Stores a configuration and makes it the one a node should have; its agent is woken. What the agent logs while it
    /// applies it goes to the log of this run's step. An old report about the same configuration is dropped, because it says
    /// nothing about now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_node_desired(
        &mut self,
        id: &NodeId,
        hash: &str,
        body: Option<&NodeConfiguration>,
        by: (&str, &str),
    ) -> Result<()> {
        let at = self.at().0;
        if let Some(body) = body {
            sqlx::query("INSERT INTO configurations (hash, body, created_at) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING")
                .bind(hash.to_owned())
                .bind(to_json("configuration", body)?)
                .bind(at)
                .execute(self.conn())
                .await?;
        }
        let changed = sqlx::query(
            "UPDATE nodes SET desired = $1, desired_run = $2, desired_step = $3 WHERE id = $4 AND (desired IS NULL OR desired <> $1)",
        )
        .bind(hash.to_owned())
        .bind(by.0.to_owned())
        .bind(by.1.to_owned())
        .bind(id.as_str().to_owned())
        .execute(self.conn())
        .await?;
        if changed.rows_affected() == 1 {
            sqlx::query("DELETE FROM reports WHERE node = $1 AND configuration = $2")
                .bind(id.as_str().to_owned())
                .bind(hash.to_owned())
                .execute(self.conn())
                .await?;
        }
        self.touch(format!("node:{id}"));
        Ok(())
    }

    /// The hash of the configuration that a node should have.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn node_desired(&mut self, id: &NodeId) -> Result<Option<String>> {
        let found: Option<Option<String>> = sqlx::query_scalar("SELECT desired FROM nodes WHERE id = $1")
            .bind(id.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?;
        Ok(found.flatten())
    }

    /// Stores a report in place of the node's last about the same configuration; the same report twice is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn save_report(
        &mut self,
        node: &NodeId,
        stack: &StackId,
        configuration: &str,
        id: &str,
        outcome: &str,
        body: &Value,
    ) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO reports (node, configuration, id, outcome, body, at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (node, configuration) DO UPDATE SET id = excluded.id, outcome = excluded.outcome, body = excluded.body, at = excluded.at",
        )
        .bind(node.as_str().to_owned())
        .bind(configuration.to_owned())
        .bind(id.to_owned())
        .bind(outcome.to_owned())
        .bind(to_json("report", body)?)
        .bind(at)
        .execute(self.conn())
        .await?;
        self.touch(format!("report:{node}"));
        self.touch(format!("stack:{stack}"));
        Ok(())
    }

    /// Stores a secret of a stack; one that is there already stays.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_secret(&mut self, stack: &StackId, name: &str, value: &str) -> Result<()> {
        let value = self.store.sealed(stack, name, value)?;
        sqlx::query("INSERT INTO secrets (stack, name, value) VALUES ($1, $2, $3) ON CONFLICT (stack, name) DO NOTHING")
            .bind(stack.as_str().to_owned())
            .bind(name.to_owned())
            .bind(value)
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Forgets the secrets of a stack.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn delete_secrets(&mut self, stack: &StackId) -> Result<()> {
        sqlx::query("DELETE FROM secrets WHERE stack = $1")
            .bind(stack.as_str().to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Stores a database before it is made; one that is there already stays.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_database(&mut self, stack: &StackId, row: &DatabaseRow) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO databases (id, stack, app, resource, server, name, state, created_at) VALUES ($1, $2, $3, $4, $5, $6, 'planned', $7) \
             ON CONFLICT (stack, app, resource) DO UPDATE SET state = 'planned', gone_at = NULL",
        )
        .bind(row.id.clone())
        .bind(stack.as_str().to_owned())
        .bind(row.app.clone())
        .bind(row.resource.clone())
        .bind(row.server.clone())
        .bind(row.name.clone())
        .bind(at)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Notes that the server says the database is gone.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_database_gone(&mut self, stack: &StackId, name: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE databases SET state = 'gone', gone_at = $1 WHERE stack = $2 AND name = $3")
            .bind(at)
            .bind(stack.as_str().to_owned())
            .bind(name.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }
}

pub(super) fn read(row: &AnyRow) -> Result<NodeRow> {
    let json = |index: usize, what| -> Result<Option<Value>> {
        row.try_get::<Option<String>, _>(index)?
            .map(|text| from_json(what, &text))
            .transpose()
    };
    let by = row
        .try_get::<Option<String>, _>(9)?
        .zip(row.try_get::<Option<String>, _>(10)?);
    Ok(NodeRow {
        id: parse("node id", row.try_get(0)?)?,
        stack: parse("stack id", row.try_get(1)?)?,
        provider: row.try_get(2)?,
        state: row.try_get(3)?,
        handle: json(4, "node handle")?,
        facts: json(5, "facts")?,
        bootstrap_hash: row.try_get(6)?,
        public_key: row.try_get(7)?,
        desired: row.try_get(8)?,
        desired_by: by,
        seen_at: row.try_get::<Option<i64>, _>(11)?.map(Timestamp),
    })
}
