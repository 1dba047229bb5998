//! What a node is built to be, made into what other programs than the agent take.

use super::super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::recipes::targets::{self, Options, Rendered, Stub, Target};

/// What a configuration is made into, and how.
#[derive(Debug, Clone, Default)]
pub struct RenderOptions {
    /// The target's name.
    pub target: String,
    /// Whether a script may read secrets from a file when it is run.
    pub secrets_from_file: bool,
    /// The image that an image starts from.
    pub base_image: Option<String>,
}

impl Control {
    /// A node's configuration as a script, user-data, or the context of an image. No secret is in any of them: they are fetched
    /// when they are needed, or what needs them is refused.
    ///
    /// # Errors
    /// `not-found`; `recipe-invalid`; `target-refused` with what cannot be made into it.
    pub async fn render_node(&self, _actor: &Actor, node: &str, wanted: &RenderOptions) -> Result<Rendered> {
        let target = Target::named(&wanted.target).ok_or_else(|| {
            let all: Vec<&str> = Target::ALL.into_iter().map(Target::name).collect();
            ControlError::field("target", format!("it must be one of {}", all.join(", ")))
        })?;
        let line = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_control() || c == ' ');
        if !wanted.base_image.as_deref().is_none_or(line) {
            return Err(ControlError::field("base_image", "it must be an image's name"));
        }
        let options = Options {
            secrets_from_file: wanted.secrets_from_file,
            base_image: wanted.base_image.clone(),
        };
        self.rendered(node, target, None, &options).await
    }

    pub(crate) async fn rendered(&self, node: &str, target: Target, stub: Option<&Stub>, options: &Options) -> Result<Rendered> {
        let found = self.configuration(node).await?;
        targets::render(&found.compiled.configuration, target, stub, options).map_err(|found| {
            let what = format!("The configuration of {node} cannot be made into {}", target.name());
            let mut error = ControlError::new("target-refused", what);
            error.fault.why = found.first().map(|d| d.message.clone()).unwrap_or_default();
            if let Some(help) = found.first().and_then(|d| d.help.clone()) {
                error.fault.next = help;
            }
            error.diagnostics = found;
            error
        })
    }
}
