//! What is written down of a node beside the engine: the ports of its apps and its network's addresses. No secret is in it.

use super::subnet::Subnet;
use super::{NodeSpec, ProviderError, failed};
use crate::machine::files;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

// Inside a container nothing else is there, so each node's ports start here.
const FIRST_PORT: u16 = 20_000;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The port of each `app/port`.
    pub(super) ports: BTreeMap<String, u16>,
    /// Its network, once it has one.
    pub(super) subnet: Option<Subnet>,
}

impl Record {
    /// What is written down in this folder.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join("node.json")).ok()?).ok()
    }

    /// What is written down in this folder, with a port for each that the spec names.
    pub(super) fn of(folder: &Path, spec: &NodeSpec) -> Result<Self, ProviderError> {
        let before = Self::read(folder);
        let mut record = before.clone().unwrap_or(Self {
            ports: BTreeMap::new(),
            subnet: None,
        });
        for name in &spec.ports {
            if !record.ports.contains_key(name) {
                let next = record
                    .ports
                    .values()
                    .max()
                    .map_or(Some(FIRST_PORT), |port| port.checked_add(1));
                let next = next.ok_or_else(|| ProviderError::Quota {
                    why: "the node has more ports than there are".to_owned(),
                })?;
                record.ports.insert(name.clone(), next);
            }
        }
        if before.as_ref() != Some(&record) {
            record.write(folder)?;
        }
        Ok(record)
    }

    /// Writes it down.
    pub(super) fn write(&self, folder: &Path) -> Result<(), ProviderError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| ProviderError::Retry { why: e.to_string() })?;
        std::fs::create_dir_all(folder)
            .and_then(|()| files::replace(&folder.join("node.json"), &text, 0o600))
            .map_err(|e| failed(&format!("{} cannot be written", folder.join("node.json").display()), &e))
    }
}
