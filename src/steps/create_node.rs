//! `create_node`: the stack's node exists at its provider and its agent runs. The node's row was stored with the launch, so
//! whatever happens between the call and its answer, the node is found again by its id.

use super::{Tools, fencing, provider_error};
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::plan::EffectClass;
use crate::providers::{Bootstrap, NodeSpec, Observed};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Input of `create_node` and `destroy_node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The stack.
    pub stack: StackId,
    /// The node.
    pub node: NodeId,
    /// Its provider.
    pub provider: String,
    /// `app/port` of each port it needs.
    #[serde(default)]
    pub ports: Vec<String>,
    /// What an image should hold to save the most.
    #[serde(default)]
    pub image: Option<WantedImage>,
}

/// The image that a node would best start from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedImage {
    /// Hash of what the node will have of what may be in an image.
    pub key: String,
    /// Its apps, whatever their revisions.
    pub family: String,
}

/// See the module.
#[derive(Debug)]
pub struct CreateNode(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for CreateNode {
    fn name(&self) -> &'static str {
        "create_node"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Keyed
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let provider = self.0.provider(&input.provider)?;
        let stack = self.0.stack(&input.stack).await?;
        let image = self.image(cx, &input).await?;
        let token = self.0.store.node_token(&input.node);
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        tx.set_node_bootstrap(&input.node, &crate::model::secret::hash(&token))
            .await
            .map_err(Fault::from)?;
        tx.commit().await.map_err(Fault::from)?;
        let spec = NodeSpec {
            node: input.node.clone(),
            stack: input.stack.clone(),
            stack_name: stack.name.as_str().to_owned(),
            size: stack.spec.size,
            ports: input.ports.clone(),
            readable: vec![self.0.mirrors.folder().to_owned()],
            labels: BTreeMap::from([("owner".to_owned(), stack.owner.as_str().to_owned())]),
            image,
            bootstrap: Bootstrap {
                server_url: self.0.server_url.clone(),
                token,
            },
        };
        cx.log
            .line(format!("Asking {} for a {} node", input.provider, stack.spec.size))
            .await;
        let handle = provider
            .ensure(&spec, fencing(cx))
            .await
            .map_err(|e| provider_error(&format!("The {} provider could not create the node", input.provider), &e))?;
        cx.log
            .line(format!(
                "Node {} is at {} ({})",
                input.node.short(),
                handle.external_id,
                handle.isolation
            ))
            .await;
        for (port, number) in &handle.ports {
            cx.log.line(format!("{port} gets port {number}")).await;
        }
        self.0.keep_handle(&input.node, &handle).await
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        let input: Input = cx.input()?;
        destroy(&self.0, cx, &input).await
    }
}

impl CreateNode {
    // The image to start from. A stale one is never a wrong one: the agent applies whatever differs.
    async fn image(&self, cx: &StepContext, input: &Input) -> Result<Option<String>, StepError> {
        let Some(wanted) = &input.image else { return Ok(None) };
        let found = self.0.store.best_image(&input.provider, &wanted.key, &wanted.family).await;
        let Some(image) = found.map_err(Fault::from)? else {
            return Ok(None);
        };
        let fits = if image.key == wanted.key {
            "it has everything"
        } else {
            "it has the same apps; what differs is applied"
        };
        cx.log
            .line(format!("Starts from the image baked {}: {fits}", image.created_at))
            .await;
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        tx.set_image_used(&image.provider, &image.key).await.map_err(Fault::from)?;
        tx.commit().await.map_err(Fault::from)?;
        Ok(image.external_id)
    }
}

/// Destroys a node and asks the provider until it says that there is nothing left.
pub(super) async fn destroy(tools: &Tools, cx: &StepContext, input: &Input) -> Result<(), StepError> {
    let provider = tools.provider(&input.provider)?;
    let failed = format!("The {} provider could not destroy the node", input.provider);
    provider
        .destroy(&input.node, fencing(cx))
        .await
        .map_err(|e| provider_error(&failed, &e))?;
    match provider.observe(&input.node).await.map_err(|e| provider_error(&failed, &e))? {
        Observed::Gone => {}
        left => {
            let fault = Fault::new("provider-unavailable", failed).why(format!("it says that the node is still {left:?}"));
            return Err(StepError::Failed(fault));
        }
    }
    cx.log
        .line(format!(
            "{} confirms that node {} is gone",
            input.provider,
            input.node.short()
        ))
        .await;
    let mut tx = tools.store.journal().await.map_err(Fault::from)?;
    tx.set_node_gone(&input.node).await.map_err(Fault::from)?;
    tx.commit().await.map_err(Fault::from)?;
    Ok(())
}
