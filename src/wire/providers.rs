//! Providers as the API shows them.

use serde::{Deserialize, Serialize};

/// What a provider needs, and whether it has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProviderCheck {
    /// The provider.
    pub provider: String,
    /// Whether nothing is missing, as far as can be known.
    pub ok: bool,
    /// All that was looked at.
    pub findings: Vec<FindingView>,
}

/// One thing that a provider needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FindingView {
    /// What was looked at.
    pub what: String,
    /// Whether it is as it should be; absent where that cannot be found out before it is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<bool>,
    /// What was found.
    pub why: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
}
