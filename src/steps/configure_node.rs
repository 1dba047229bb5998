//! `configure_node`: compiles the recipes for the node as it is and makes the result its desired configuration, which wakes
//! its agent. Undone by the configuration before, where there was one.

use super::{Tools, converge_node, view};
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::plan::EffectClass;
use crate::recipes::targets::bakeable;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Input of `configure_node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The stack.
    pub stack: StackId,
    /// Its node.
    pub node: NodeId,
    /// Its provider.
    pub provider: String,
    /// Hash of the configuration it had when the plan was made.
    pub previous: Option<String>,
    /// Whether an image is to be made of it: only what may be in one is wanted then.
    #[serde(default)]
    pub image: bool,
    /// Key of the step that waits for the agent, whose log the agent's lines belong to.
    pub converge_step: String,
}

/// See the module.
#[derive(Debug)]
pub struct ConfigureNode(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for ConfigureNode {
    fn name(&self) -> &'static str {
        "configure_node"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Convergent
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let stack = self.0.stack(&input.stack).await?;
        let handle = self.0.handle(&input.node).await?;
        let descriptors = view::descriptors(&self.0.store, &stack.spec).await?;
        let provider = self.0.provider(&stack.provider)?;
        let mut view = view::of_node(
            &stack,
            &input.node,
            &descriptors,
            &handle,
            &provider.capabilities(),
            &self.0.mirrors,
            self.0.postgres.as_ref(),
        );
        view.layers.extend(view::layers(&self.0.store.inventory()));
        let bundle = self.0.bundles.get(stack.spec.bundle.as_deref()).await?;
        let compiled = crate::recipes::compile(&bundle, &view).map_err(|found| {
            let all = found.iter().map(ToString::to_string);
            let first = found.first().map(|d| d.message.clone()).unwrap_or_default();
            StepError::Final(
                Fault::new("recipe-invalid", "The recipes do not compile for this node")
                    .why(first)
                    .log_tail(all),
            )
        })?;
        let configuration = if input.image {
            bakeable(&compiled.configuration)
        } else {
            compiled.configuration
        };
        let hash = configuration
            .hash()
            .map_err(|e| Fault::new("internal", "A configuration cannot be written as JSON").why(e))?;
        cx.log
            .line(format!(
                "{} states for {}, configuration {}",
                configuration.states.len(),
                handle.address,
                &hash[..19]
            ))
            .await;
        self.want(cx, &input, &hash, Some(&configuration)).await?;
        Ok(json!({ "configuration": hash }))
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        let input: Input = cx.input()?;
        // A new node is destroyed instead.
        let Some(previous) = &input.previous else { return Ok(()) };
        cx.log.line("Going back to the configuration before").await;
        self.want(cx, &input, previous, None).await?;
        converge_node::wait(
            &self.0,
            cx,
            &converge_node::Input {
                node: input.node,
                provider: input.provider,
            },
        )
        .await
    }
}

impl ConfigureNode {
    async fn want(
        &self,
        cx: &StepContext,
        input: &Input,
        hash: &str,
        body: Option<&crate::model::configuration::NodeConfiguration>,
    ) -> Result<(), StepError> {
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        tx.set_node_desired(&input.node, hash, body, (cx.run.as_str(), &input.converge_step))
            .await
            .map_err(Fault::from)?;
        tx.commit().await.map_err(Fault::from)?;
        Ok(())
    }
}
