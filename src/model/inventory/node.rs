//! A node: a machine, where it stands, what it is for and which apps it runs.

use super::{Document, Values};
use crate::model::name::{AppName, DatacenterName, EnvironmentName, NodeName, RevisionName, RoleName};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A machine.
pub type Node = Document<NodeName, NodeSpec>;

/// What a machine is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSpec {
    /// Where it stands.
    pub datacenter: DatacenterName,
    /// What it belongs to.
    pub environment: EnvironmentName,
    /// What it does, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
    /// The apps that it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppOnNode>,
    /// Where it is reached, by network: `private`, `public`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, String>,
    /// Values for templates, over those of every other layer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
    /// Its agent changes nothing and reports what differs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// Somebody works on it: nothing is changed and it serves nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
}

/// An app of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppOnNode {
    /// The app.
    pub app: AppName,
    /// The revision it should run; the environment's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionName>,
}

/// Somebody works on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Node {
    /// Whether somebody works on it at this time.
    pub fn is_in_maintenance(&self, now: Timestamp) -> bool {
        let maintenance = self.spec.maintenance.as_ref();
        maintenance.is_some_and(|m| m.until.is_none_or(|until| now < until))
    }

    /// Where other nodes reach it: its `private` address, or its first, or its name.
    pub fn address(&self) -> &str {
        let addresses = &self.spec.addresses;
        addresses
            .get("private")
            .or_else(|| addresses.values().next())
            .map_or_else(|| self.name().as_str(), String::as_str)
    }
}
