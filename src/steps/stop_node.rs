//! `stop_node`, `start_node` and `rest_stack`: a server goes off and keeps its disk, and comes back.

use super::{Tools, fencing, provider_error};
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::plan::EffectClass;
use crate::model::stack::StackState;
use crate::providers::Observed;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Input of `stop_node` and `start_node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The node.
    pub node: NodeId,
    /// Its provider.
    pub provider: String,
}

/// Stops a node.
#[derive(Debug)]
pub struct StopNode(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for StopNode {
    fn name(&self) -> &'static str {
        "stop_node"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        stop(&self.0, cx, &cx.input()?).await?;
        Ok(Value::Null)
    }
}

/// Starts a stopped node again.
#[derive(Debug)]
pub struct StartNode(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for StartNode {
    fn name(&self) -> &'static str {
        "start_node"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let provider = self.0.provider(&input.provider)?;
        let handle = provider
            .start(&input.node, fencing(cx))
            .await
            .map_err(|e| provider_error(&format!("The {} provider could not start the node", input.provider), &e))?;
        cx.log
            .line(format!("Node {} is at {}", input.node.short(), handle.address))
            .await;
        self.0.keep_handle(&input.node, &handle).await
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        stop(&self.0, cx, &cx.input()?).await
    }
}

// Stops a node and asks the provider until it says so.
async fn stop(tools: &Tools, cx: &StepContext, input: &Input) -> Result<(), StepError> {
    let provider = tools.provider(&input.provider)?;
    let failed = format!("The {} provider could not stop the node", input.provider);
    // First of all: who looks after dead agents must not take this one for dead.
    let mut tx = tools.store.journal().await.map_err(Fault::from)?;
    tx.set_node_stopping(&input.node).await.map_err(Fault::from)?;
    tx.commit().await.map_err(Fault::from)?;
    provider
        .stop(&input.node, fencing(cx))
        .await
        .map_err(|e| provider_error(&failed, &e))?;
    match provider.observe(&input.node).await.map_err(|e| provider_error(&failed, &e))? {
        Observed::Stopped => {}
        seen => {
            let fault = Fault::new("provider-unavailable", failed).why(format!("it says that the node is {seen:?}"));
            return Err(StepError::Failed(fault));
        }
    }
    cx.log
        .line(format!(
            "{} confirms that node {} is stopped",
            input.provider,
            input.node.short()
        ))
        .await;
    let mut tx = tools.store.journal().await.map_err(Fault::from)?;
    tx.set_node_stopped(&input.node).await.map_err(Fault::from)?;
    tx.commit().await.map_err(Fault::from)?;
    Ok(())
}

/// Notes that a stack sleeps.
#[derive(Debug)]
pub struct RestStack(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for RestStack {
    fn name(&self) -> &'static str {
        "rest_stack"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: super::begin_stack::Input = cx.input()?;
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        let now = tx.at();
        if let Some(mut stack) = tx.stack(&input.stack).await.map_err(Fault::from)?
            && stack.run.as_ref() == Some(&cx.run)
            && stack.state == StackState::Stopping
        {
            stack.state = StackState::Stopped;
            stack.stopped_at = Some(now);
            tx.update_stack(&mut stack).await.map_err(Fault::from)?;
            tx.commit().await.map_err(Fault::from)?;
        }
        Ok(Value::Null)
    }
}
