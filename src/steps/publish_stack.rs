//! `publish_stack`: the last step of a launch or update: the stack is ready and its links work.

use super::{Tools, view};
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::plan::EffectClass;
use crate::model::stack::StackState;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Input of `publish_stack`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The stack.
    pub stack: StackId,
    /// The node that serves it from now on; the one that it has where absent.
    #[serde(default)]
    pub node: Option<NodeId>,
}

/// See the module.
#[derive(Debug)]
pub struct PublishStack(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for PublishStack {
    fn name(&self) -> &'static str {
        "publish_stack"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let mut stack = self.0.stack(&input.stack).await?;
        if input.node.is_some() {
            stack.node.clone_from(&input.node);
        }
        let links = view::links(&self.0.store, &stack).await?;
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        let now = tx.at();
        let Some(mut stack) = tx.stack(&input.stack).await.map_err(Fault::from)? else {
            return Err(StepError::Final(Fault::new("not-found", "The stack is gone")));
        };
        // Repeated after a crash, it may come late: what a newer run does with the stack is not this one's to end.
        let mine = stack.run.as_ref() == Some(&cx.run);
        let is_under_way = matches!(
            stack.state,
            StackState::Building | StackState::Updating | StackState::Starting
        );
        if mine && is_under_way {
            // One that was tainted when it went to sleep still is.
            let woken_tainted = stack.state == StackState::Starting && stack.previous.is_some();
            stack.state = if woken_tainted {
                StackState::Tainted
            } else {
                StackState::Ready
            };
            if !woken_tainted {
                stack.previous = None;
                stack.fault = None;
            }
            stack.links = links;
            stack.stopped_at = None;
            if input.node.is_some() {
                stack.node = input.node;
            }
            stack.ready_at = stack.ready_at.or(Some(now));
            tx.update_stack(&mut stack).await.map_err(Fault::from)?;
            tx.commit().await.map_err(Fault::from)?;
        } else {
            // Before anything is logged: a line is a write of its own and would wait for this one for ever.
            drop(tx);
        }
        for link in stack.links.iter().filter(|l| l.public) {
            cx.log.line(format!("{}: {}", link.label, link.url)).await;
        }
        Ok(Value::Null)
    }
}
