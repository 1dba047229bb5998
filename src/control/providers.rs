//! Providers: whether each has what launches need.

use super::images::require_operator;
use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::providers::Finding;
use crate::wire::providers::{FindingView, ProviderCheck};

impl Control {
    /// Looks at everything that launches at a provider need, without making anything.
    ///
    /// # Errors
    /// `not-allowed` below operator, `provider-unknown`.
    pub async fn check_provider(&self, actor: &Actor, name: &str) -> Result<ProviderCheck> {
        require_operator(actor)?;
        let Some(provider) = self.providers.get(name) else {
            let mut error = ControlError::new("provider-unknown", format!("This server has no provider `{name}`"));
            let names: Vec<&str> = self.providers.all().iter().map(|provider| provider.name()).collect();
            error.fault.next = match name {
                "ec2" | "docker" => format!(
                    "It has {}; set {name}.enabled in the settings of the server",
                    names.join(", ")
                ),
                _ => format!("It has {}", names.join(", ")),
            };
            return Err(error);
        };
        let findings: Vec<FindingView> = provider.check().await.into_iter().map(view).collect();
        Ok(ProviderCheck {
            provider: name.to_owned(),
            ok: findings.iter().all(|finding| finding.ok != Some(false)),
            findings,
        })
    }
}

fn view(finding: Finding) -> FindingView {
    FindingView {
        what: finding.what,
        ok: finding.ok,
        why: finding.why,
        next: finding.next,
    }
}
