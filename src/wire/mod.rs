//! Request and response bodies shared by the server, the client, the CLI and the agent. Times are RFC 3339 text.

pub mod agent;
pub mod agents;
pub mod apps;
pub mod auth;
pub mod bundles;
pub mod configurations;
pub mod images;
pub mod inventory;
pub mod presets;
pub mod previews;
pub mod problem;
pub mod providers;
pub mod runs;
pub mod secrets;
pub mod sharing;
pub mod stacks;

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// How many there are in all, on every page.
    pub total: i64,
    /// This page's items.
    pub items: Vec<T>,
    /// Give this as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
