//! `begin_stack`: the first step of a launch or update. It does nothing; what counts is its undo, which comes last when a
//! run is compensated and settles what state the stack is left in.

use super::Tools;
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::plan::EffectClass;
use crate::model::stack::{Purpose, StackState};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Input of `begin_stack`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The stack.
    pub stack: StackId,
}

/// See the module.
#[derive(Debug)]
pub struct BeginStack(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for BeginStack {
    fn name(&self) -> &'static str {
        "begin_stack"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, _cx: &StepContext) -> Result<Value, StepError> {
        Ok(Value::Null)
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        let input: Input = cx.input()?;
        let unmade = self.unmade_databases(cx).await?;
        let unmade_nodes = self.unmade_nodes(&input.stack).await?;
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        let Some(mut stack) = tx.stack(&input.stack).await.map_err(Fault::from)? else {
            return Ok(());
        };
        if stack.run.as_ref() != Some(&cx.run) {
            return Ok(());
        }
        let cause = cx
            .cause
            .clone()
            .unwrap_or_else(|| Fault::new("cancelled", "It was cancelled"));
        match stack.state {
            StackState::Building => {
                stack.state = StackState::Failed;
                // This undo comes last, so a node that was made is gone by now; one that never was leaves only its row.
                if let Some(node) = stack.node.take() {
                    tx.set_node_gone(&node).await.map_err(Fault::from)?;
                }
                for name in &unmade {
                    tx.set_database_gone(&stack.id, name).await.map_err(Fault::from)?;
                }
                if stack.purpose == Purpose::Bake {
                    tx.set_image_failed(&stack.id).await.map_err(Fault::from)?;
                }
                stack.links = Vec::new();
            }
            StackState::Updating => {
                stack.state = StackState::Tainted;
                // What was asked for is kept in `previous`, so that a retry knows it; what serves is what served before.
                for node in unmade_nodes.iter().filter(|node| stack.node.as_ref() != Some(node)) {
                    tx.set_node_gone(node).await.map_err(Fault::from)?;
                }
                // A rebuild asks for nothing else than there is.
                if let Some(before) = stack.previous.take() {
                    stack.previous = Some(std::mem::replace(&mut stack.spec, before));
                }
            }
            // What was started for it is stopped by now.
            StackState::Starting => stack.state = StackState::Stopped,
            // It is being destroyed meanwhile, or this undo is a repetition.
            _ => return Ok(()),
        }
        stack.fault = Some(cause);
        tx.update_stack(&mut stack).await.map_err(Fault::from)?;
        tx.commit().await.map_err(Fault::from)?;
        Ok(())
    }
}

impl BeginStack {
    // Nodes whose rows were stored with a run, but which it never came to make.
    async fn unmade_nodes(&self, stack: &StackId) -> Result<Vec<NodeId>, Fault> {
        let nodes = self.0.store.live_nodes().await?.into_iter();
        Ok(nodes
            .filter(|node| &node.stack == stack && node.state == "planned")
            .map(|node| node.id)
            .collect())
    }

    // Databases whose rows were stored with the run, but which it never came to make.
    async fn unmade_databases(&self, cx: &StepContext) -> Result<Vec<String>, Fault> {
        let run = self.0.store.run(&cx.run).await?;
        let steps = run.into_iter().flat_map(|record| record.steps);
        Ok(steps
            .filter(|step| step.spec.kind == "create_database" && step.started_at.is_none())
            .filter_map(|step| Some(step.spec.input.get("name")?.as_str()?.to_owned()))
            .collect())
    }
}
