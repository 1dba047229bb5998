//! Secrets that people give for nodes of the inventory. Values go in and never come out.

use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A secret that is given.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRequest {
    /// Its name, such as `shop/env/SESSION_KEY`.
    pub name: String,
    /// The environment it is for; every one that has none of its own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for SecretRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretRequest")
            .field("name", &self.name)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// The environment it is for; every one that has none of its own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// When its value was given.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
    /// Who gave it.
    pub updated_by: String,
}
