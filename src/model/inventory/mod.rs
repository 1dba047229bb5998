//! Objects of the inventory: nodes, datacenters, environments and roles as people write them. Apps have descriptors of
//! their own.
//!
//! Every object has the same envelope, and says of itself only what a person decides; what a machine reports of itself are
//! its facts, which are kept apart and never edited. Field names are the documents' (camelCase).

mod datacenter;
mod document;
mod environment;
mod facts;
mod node;
mod role;

pub use datacenter::{Datacenter, DatacenterSpec};
pub use document::{app_document, expanded_roles, node_facts_document, object_document, stack_document, stack_node_document};
pub use environment::{AppSettings, DatacenterSettings, Environment, EnvironmentSpec};
pub use facts::{FactsError, FactsFormat, normalise_facts};
pub use node::{AppOnNode, Maintenance, Node, NodeSpec};
pub use role::{Role, RoleSpec};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The API version of all objects.
pub const API_VERSION: &str = "greenroom/v1";

/// Values that templates read, by name; maps merge deeply over the layers.
pub type Values = BTreeMap<String, Value>;

/// What kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// A machine.
    Node,
    /// A site.
    Datacenter,
    /// A long-lived place, such as production.
    Environment,
    /// A named list of recipes with values.
    Role,
}

impl ObjectKind {
    /// All kinds, those that others name first.
    pub const ALL: [Self; 4] = [Self::Datacenter, Self::Environment, Self::Role, Self::Node];

    /// Its word: `node`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Datacenter => "datacenter",
            Self::Environment => "environment",
            Self::Role => "role",
        }
    }

    /// The word of many: `nodes`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Node => "nodes",
            Self::Datacenter => "datacenters",
            Self::Environment => "environments",
            Self::Role => "roles",
        }
    }

    /// What documents call it: `Node`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Datacenter => "Datacenter",
            Self::Environment => "Environment",
            Self::Role => "Role",
        }
    }

    /// The kind of a word: `node`, `nodes` or `Node`.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| [kind.as_str(), kind.plural(), kind.title()].contains(&word))
    }
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The envelope of every object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document<N, S> {
    /// `greenroom/v1`.
    pub api_version: String,
    /// `Node`, `Datacenter`, `Environment` or `Role`.
    pub kind: String,
    /// Name and words about it.
    pub metadata: Metadata<N>,
    /// What it is.
    pub spec: S,
}

impl<N, S> Document<N, S> {
    /// Its name.
    pub fn name(&self) -> &N {
        &self.metadata.name
    }
}

/// Name and words about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata<N> {
    /// Unique among its kind.
    pub name: N,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// One or two sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For queries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Any object.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// A machine.
    Node(Node),
    /// A site.
    Datacenter(Datacenter),
    /// A long-lived place.
    Environment(Environment),
    /// A named list of recipes.
    Role(Role),
}

impl Object {
    /// An object of this kind out of its JSON.
    ///
    /// # Errors
    /// Where the JSON is none.
    pub fn from_json(kind: ObjectKind, text: &str) -> Result<Self, serde_json::Error> {
        Ok(match kind {
            ObjectKind::Node => Self::Node(serde_json::from_str(text)?),
            ObjectKind::Datacenter => Self::Datacenter(serde_json::from_str(text)?),
            ObjectKind::Environment => Self::Environment(serde_json::from_str(text)?),
            ObjectKind::Role => Self::Role(serde_json::from_str(text)?),
        })
    }

    /// Its JSON, always written the same way.
    ///
    /// # Errors
    /// Only where a value cannot be JSON, which these types exclude.
    pub fn to_value(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Node(node) => serde_json::to_value(node),
            Self::Datacenter(datacenter) => serde_json::to_value(datacenter),
            Self::Environment(environment) => serde_json::to_value(environment),
            Self::Role(role) => serde_json::to_value(role),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> ObjectKind {
        match self {
            Self::Node(_) => ObjectKind::Node,
            Self::Datacenter(_) => ObjectKind::Datacenter,
            Self::Environment(_) => ObjectKind::Environment,
            Self::Role(_) => ObjectKind::Role,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Node(node) => node.name().as_str(),
            Self::Datacenter(datacenter) => datacenter.name().as_str(),
            Self::Environment(environment) => environment.name().as_str(),
            Self::Role(role) => role.name().as_str(),
        }
    }
}
