//! Presets: launches that people keep under a name, and the pools that have them ready.

use super::stacks::LaunchRequest;
use crate::model::pool::PoolSpec;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A preset as someone writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PresetBody {
    /// What to call it.
    pub title: String,
    /// What it is good for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The launch.
    pub launch: LaunchRequest,
    /// What is kept ready of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSpec>,
}

/// A preset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PresetView {
    /// Its name.
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub body: PresetBody,
    /// Counts up with each change.
    pub version: i64,
    /// Who changed it last.
    pub updated_by: String,
    /// When.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
    /// The pool, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<PoolState>,
}

/// How a pool is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolState {
    /// Members that can be taken at once.
    pub hot: usize,
    /// Members that can be woken.
    pub stopped: usize,
    /// Members that are being made, stopped or woken.
    pub making: usize,
    /// Whether someone has paused it.
    pub paused: bool,
    /// How often its members failed in a row.
    pub failures: i64,
    /// Why the last one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
    /// When the next is made, where failures put it off.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
}
