//! `destroy_node` and `forget_stack`: the end of a stack, proved by asking the provider.

use super::Tools;
use super::create_node::{Input, destroy};
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::plan::EffectClass;
use crate::model::stack::StackState;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;

/// Destroys the stack's node.
#[derive(Debug)]
pub struct DestroyNode(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for DestroyNode {
    fn name(&self) -> &'static str {
        "destroy_node"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        destroy(&self.0, cx, &cx.input()?).await?;
        Ok(Value::Null)
    }
}

/// Forgets the stack's secrets and marks it as destroyed.
#[derive(Debug)]
pub struct ForgetStack(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for ForgetStack {
    fn name(&self) -> &'static str {
        "forget_stack"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: super::begin_stack::Input = cx.input()?;
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        tx.delete_secrets(&input.stack).await.map_err(Fault::from)?;
        if let Some(mut stack) = tx.stack(&input.stack).await.map_err(Fault::from)?
            && stack.state != StackState::Destroyed
        {
            stack.state = StackState::Destroyed;
            stack.links = Vec::new();
            stack.node = None;
            tx.update_stack(&mut stack).await.map_err(Fault::from)?;
        }
        tx.commit().await.map_err(Fault::from)?;
        cx.log.line("Nothing of it is left").await;
        Ok(Value::Null)
    }
}

/// What `destroy_node` takes.
pub type DestroyInput = Input;
