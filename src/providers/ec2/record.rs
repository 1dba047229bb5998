//! What was asked of EC2 for each node, on disk before it is asked. A launch whose answer was lost is then asked for again with
//! the same token, which makes nothing twice; and what was asked for a moment ago is not taken for gone because EC2 does not show
//! it yet.

use super::super::ProviderError;
use super::super::failed;
use crate::machine::files;
use crate::model::id::NodeId;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One way to launch an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Choice {
    pub(super) instance_type: String,
    /// Empty: EC2 chooses.
    pub(super) subnet: String,
    pub(super) spot: bool,
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.instance_type)?;
        if !self.subnet.is_empty() {
            write!(f, " in {}", self.subnet)?;
        }
        f.write_str(if self.spot { " (spot)" } else { "" })
    }
}

/// What was asked for a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Counts the instances that this node had and lost: a token is good for one.
    #[serde(default)]
    pub(super) generation: u32,
    /// What was last asked for, while it is not known to have failed.
    #[serde(default)]
    pub(super) asked: Option<Choice>,
    /// When, in milliseconds since 1970.
    #[serde(default)]
    pub(super) asked_at: i64,
    /// The instance that came of it.
    #[serde(default)]
    pub(super) instance: Option<String>,
}

/// The record of a node, empty where there is none.
pub(super) fn read(root: &Path, node: &NodeId) -> Result<Record, ProviderError> {
    match std::fs::read(root.join(node.as_str())) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| ProviderError::Denied {
            why: format!("what was asked for {node} cannot be read: {error}"),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
        Err(error) => Err(failed("what was asked of EC2 cannot be read", &error)),
    }
}

/// Writes it down, so that it outlives a crash.
pub(super) fn write(root: &Path, node: &NodeId, record: &Record) -> Result<(), ProviderError> {
    let text = serde_json::to_vec(record).map_err(|e| ProviderError::Retry { why: e.to_string() })?;
    files::replace(&root.join(node.as_str()), &text, 0o600).map_err(|e| failed("what is asked of EC2 cannot be written", &e))
}

/// Forgets it.
pub(super) fn forget(root: &Path, node: &NodeId) -> Result<(), ProviderError> {
    match std::fs::remove_file(root.join(node.as_str())) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("what was asked of EC2 cannot be forgotten", &error))
        }
        _ => Ok(()),
    }
}
