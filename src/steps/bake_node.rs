//! `bake_node`: a stopped node is kept as an image under the hash of what it was configured with, so that whoever asks twice has
//! one image.

use super::{Tools, fencing, provider_error};
use crate::engine::kind::{StepContext, StepError, StepKind};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::plan::EffectClass;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Input of `bake_node`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Input {
    /// The node.
    pub node: NodeId,
    /// Its provider.
    pub provider: String,
    /// The image's key.
    pub key: String,
}

/// See the module.
#[derive(Debug)]
pub struct BakeNode(pub(super) Arc<Tools>);

#[async_trait]
impl StepKind for BakeNode {
    fn name(&self) -> &'static str {
        "bake_node"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Keyed
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let input: Input = cx.input()?;
        let provider = self.0.provider(&input.provider)?;
        let image = provider
            .bake(&input.node, &input.key, fencing(cx))
            .await
            .map_err(|e| provider_error(&format!("The {} provider could not keep the image", input.provider), &e))?;
        if !image.usable {
            let what = format!("The image {} of {} is not usable yet", image.external_id, input.provider);
            return Err(StepError::Failed(Fault::new("provider-unavailable", what)));
        }
        cx.log.line(format!("Kept as {}", image.external_id)).await;
        let bytes = image.bytes.and_then(|bytes| i64::try_from(bytes).ok());
        let mut tx = self.0.store.journal().await.map_err(Fault::from)?;
        tx.set_image_usable(&input.provider, &input.key, &image.external_id, bytes)
            .await
            .map_err(Fault::from)?;
        tx.commit().await.map_err(Fault::from)?;
        Ok(json!({ "image": image.external_id }))
    }
}
