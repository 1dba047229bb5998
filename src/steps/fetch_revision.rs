//! `fetch_revision`: the commit that was resolved when the plan was made is in the server's mirror, so that the node's
//! checkout cannot fail half-way through for want of it.

use super::Tools;
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::name::{AppName, CommitId, RepositoryUrl};
use crate::model::plan::EffectClass;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Input of `fetch_revision`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The app.
    pub app: AppName,
    /// Its repository.
    pub repository: RepositoryUrl,
    /// What was asked for.
    pub revision: String,
    /// What it resolved to.
    pub commit: CommitId,
}

/// See the module.
#[derive(Debug)]
pub struct FetchRevision(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for FetchRevision {
    fn name(&self) -> &'static str {
        "fetch_revision"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let mirrors = &self.0.mirrors;
        if mirrors.has_commit(&input.repository, &input.commit).await {
            cx.log
                .line(format!("{} {} is at hand: {}", input.app, input.revision, input.commit))
                .await;
            return Ok(Value::Null);
        }
        cx.log.line(format!("Fetching {} from {}", input.app, input.repository)).await;
        mirrors.refresh(&input.repository, true).await?;
        if mirrors.has_commit(&input.repository, &input.commit).await {
            return Ok(Value::Null);
        }
        let what = format!(
            "{} no longer has the commit {} that `{}` was when the plan was made",
            input.app, input.commit, input.revision
        );
        Err(StepError::Final(
            Fault::new("revision-not-found", what).next("Launch again to take what it is now"),
        ))
    }
}
