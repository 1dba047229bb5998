//! Ports from the pool. A port belongs to a node from the moment it is written down in the node's folder, and until the folder
//! is removed; nothing else remembers it, so nothing can disagree.

use super::{NodeSpec, ProviderError, SandboxOptions, failed};
use crate::machine::files;
use crate::model::stack::Size;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

/// What is written down of a node: all that starting its agent again needs. No secret is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The port of each `app/port`.
    pub(super) ports: BTreeMap<String, u16>,
    /// How the agent finds the server.
    pub(super) server_url: String,
    /// How much room.
    pub(super) size: Size,
    /// What it may read of the server's machine.
    pub(super) readable: Vec<PathBuf>,
}

/// Reads what is written down of the node in this folder.
pub(super) fn read(folder: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(folder.join("node.json")).ok()?).ok()
}

/// The ports of the spec: those that were given before, and free ones for the rest. To be called by one thread at a time.
pub(super) fn give(
    root: &Path,
    folder: &Path,
    spec: &NodeSpec,
    options: &SandboxOptions,
) -> Result<BTreeMap<String, u16>, ProviderError> {
    let before = read(folder);
    let mut ports = before.as_ref().map(|r| r.ports.clone()).unwrap_or_default();
    let missing: Vec<&String> = spec.ports.iter().filter(|name| !ports.contains_key(*name)).collect();
    if !missing.is_empty() {
        let mut used = given(root);
        for name in missing {
            let port = free(options, &used).ok_or_else(|| ProviderError::Quota {
                why: format!(
                    "all ports from {} to {} are taken, by {} sandboxes or by other programs",
                    options.first_port,
                    options.last_port,
                    folders(root).count()
                ),
            })?;
            used.insert(port);
            ports.insert(name.clone(), port);
        }
    }
    let record = Record {
        ports,
        server_url: spec.bootstrap.server_url.clone(),
        size: spec.size,
        readable: spec.readable.clone(),
    };
    if before.as_ref() != Some(&record) {
        let text = serde_json::to_vec_pretty(&record).map_err(|e| ProviderError::Retry { why: e.to_string() })?;
        files::replace(&folder.join("node.json"), &text, 0o644).map_err(|e| failed("the node's ports cannot be written", &e))?;
    }
    Ok(record
        .ports
        .into_iter()
        .filter(|(name, _)| spec.ports.contains(name))
        .collect())
}

fn folders(root: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
        })
}

fn given(root: &Path) -> BTreeSet<u16> {
    folders(root)
        .filter_map(|folder| read(&folder))
        .flat_map(|record| record.ports.into_values())
        .collect()
}

// Starts anywhere in the pool: a port that was just given back is then unlikely to be the next one given, and neither are two
// servers with the same pool to try the same one.
fn free(options: &SandboxOptions, used: &BTreeSet<u16>) -> Option<u16> {
    let size = u32::from(options.last_port - options.first_port) + 1;
    let first = rand::random_range(0..size);
    (0..size)
        .filter_map(|step| u16::try_from((first + step) % size).ok())
        .map(|offset| options.first_port + offset)
        .find(|port| !used.contains(port) && can_be_bound(*port))
}

fn can_be_bound(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
