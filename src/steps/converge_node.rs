//! `converge_node`: waits until the node's agent reports on the desired configuration. It has no effect of its own, so it is
//! simply waited for again after a crash. Also used to take a configuration back.

use super::{Tools, fencing, provider_error, view};
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::plan::EffectClass;
use crate::providers::Observed;
use crate::wire::agent::{Report, ReportOutcome};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

// Wake-ups are hints: the report is read again this often even without one.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
// A new agent registers within a second or so; a minute without a word is a node that will not.
const FIRST_WORD: Duration = Duration::from_secs(60);

/// Input of `converge_node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The node.
    pub node: NodeId,
    /// Its provider, asked to start the agent again should it have died.
    pub provider: String,
}

/// See the module.
#[derive(Debug)]
pub struct ConvergeNode(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for ConvergeNode {
    fn name(&self) -> &'static str {
        "converge_node"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Pure
    }

    fn waits_for(&self, _input: &Value) -> Option<String> {
        Some("Waiting for the node's agent to apply its configuration".to_owned())
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        self.set_outbound(cx, &input, true).await?;
        let converged = wait(&self.0, cx, &input).await;
        // Also of what failed: it may be looked at for long.
        let open = self.may_call(&input).await?;
        self.set_outbound(cx, &input, open).await?;
        converged.map(|()| Value::Null)
    }
}

impl ConvergeNode {
    // Packages and sources come from outside, whatever the apps may call once they run.
    async fn set_outbound(&self, cx: &StepContext, input: &Input, open: bool) -> Result<(), StepError> {
        let provider = self.0.provider(&input.provider)?;
        provider
            .set_outbound(&input.node, open, fencing(cx))
            .await
            .map_err(|e| provider_error("What the node may reach cannot be changed", &e))
    }

    // Whether an app of the stack names someone outside that it calls.
    async fn may_call(&self, input: &Input) -> Result<bool, StepError> {
        let node = self.0.store.node(&input.node).await.map_err(Fault::from)?;
        let Some(node) = node else { return Ok(false) };
        let stack = self.0.stack(&node.stack).await?;
        let descriptors = view::descriptors(&self.0.store, &stack.spec).await?;
        let mut outbound = descriptors.iter().filter_map(|d| d.spec.outbound.as_ref());
        Ok(outbound.any(|outbound| !outbound.allow.is_empty()))
    }
}

/// Waits for the report about the configuration the node should have.
pub(super) async fn wait(tools: &Tools, cx: &StepContext, input: &Input) -> Result<(), StepError> {
    let topic = format!("report:{}", input.node);
    let node_topic = format!("node:{}", input.node);
    let mut changes = tools.store.changes();
    let began = Instant::now();
    let mut looked_after = Instant::now();
    loop {
        let node = tools.store.node(&input.node).await.map_err(Fault::from)?;
        let Some(node) = node.filter(|n| n.state != "gone") else {
            return Err(StepError::Final(Fault::new("agent-lost", "The node is gone")));
        };
        if let Some(desired) = &node.desired
            && let Some(row) = tools.store.report(&input.node, desired).await.map_err(Fault::from)?
            && let Ok(report) = serde_json::from_value::<Report>(row.body)
        {
            match report.outcome {
                ReportOutcome::Applied => return Ok(()),
                ReportOutcome::Failed => {
                    let fault = report
                        .fault
                        .unwrap_or_else(|| Fault::new("state-failed", "The agent could not apply the configuration"));
                    return Err(StepError::Final(fault));
                }
                ReportOutcome::Converging | ReportOutcome::Audited | ReportOutcome::Disabled => {}
            }
        }
        if node.public_key.is_none() && began.elapsed() > FIRST_WORD {
            return Err(StepError::Failed(
                Fault::new("agent-lost", "The node's agent has not registered").why("not a word in the first minute"),
            ));
        }
        if looked_after.elapsed() > LOOK_AGAIN {
            looked_after = Instant::now();
            let provider = tools.provider(&input.provider)?;
            if matches!(provider.observe(&input.node).await, Ok(Observed::Stopped)) {
                cx.log.line("The agent is not running; starting it again").await;
                let _ = provider.revive(&input.node).await;
            }
        }
        let woken = async {
            loop {
                match changes.recv().await {
                    Ok(change) if change.topics.iter().any(|t| *t == topic || *t == node_topic) => return,
                    Ok(_) => {}
                    // Lagging behind means that something changed.
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => return,
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = cx.cancel.cancelled() => return Err(StepError::Stopped),
            _ = timeout(LOOK_AGAIN, woken) => {}
        }
    }
}
