//! What nodes are built to be, why their values are what they are, and what a change would touch.

use crate::model::configuration::NodeConfiguration;
use crate::model::diagnostic::Diagnostic;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a node is built to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConfigurationView {
    /// The node.
    pub node: String,
    /// Name of the configuration: the hash of its content.
    pub hash: String,
    /// The bundle of recipes that it was compiled from.
    pub bundle: String,
    /// The node's environment.
    pub environment: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its roles as they were written.
    pub roles: Vec<String>,
    /// All its roles, with those that they include.
    pub expanded_roles: Vec<String>,
    /// The recipes of its roles, in order.
    pub recipes: Vec<String>,
    /// Its apps and the commits they are at.
    pub apps: BTreeMap<String, String>,
    /// The configuration.
    #[schema(value_type = Object)]
    pub configuration: NodeConfiguration,
    /// What was asked of the inventory: it is compiled again when an answer changes.
    pub searches: Vec<SearchedView>,
    /// What a person should look at.
    pub warnings: Vec<Diagnostic>,
}

/// A question that a configuration depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchedView {
    /// What was looked among: `node`.
    pub kind: String,
    /// What was looked for.
    pub query: String,
}

/// Why a value is what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExplainView {
    /// The node.
    pub node: String,
    /// The key: `nginx.workers`.
    pub key: String,
    /// Whether any layer gives it a value.
    pub found: bool,
    /// The value that counts; null where there is none.
    pub value: Value,
    /// What each layer says about it, low to high; the last that changed something won.
    pub layers: Vec<LayerView>,
}

/// What one layer says about a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LayerView {
    /// The layer: `recipe default`, `environment`, `node`, ...
    pub layer: String,
    /// The object or file.
    pub object: String,
    /// Where in it.
    pub path: String,
    /// Line in the object's document or file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// `set`, `overrode`, `appended`, `merged`, `same` or `removed`.
    pub effect: String,
    /// The value after this layer.
    pub value: Value,
}

/// A change to look at before it is made: other recipes, other objects, or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetPlanRequest {
    /// A stored bundle, by hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Or recipes that are not pushed yet: text by file name, with the server's own added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The environment that would get the recipes; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Objects of the inventory as they would be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub objects: Vec<Value>,
}

/// What a change would touch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FleetPlanView {
    /// In one sentence: `this change touches 412 nodes, 3 distinct diffs`.
    pub summary: String,
    /// How many nodes were looked at.
    pub nodes: usize,
    /// How many would change.
    pub touched: usize,
    /// How many stay as they are.
    pub unchanged: usize,
    /// How many of the touched are compared with what they last reported to be; the others, which have not reported, with what
    /// they are asked to be now.
    #[serde(default)]
    pub reported: usize,
    /// What changes, nodes with the same difference together, most nodes first.
    pub groups: Vec<FleetGroup>,
    /// The nodes whose recipes would not compile any more, or do not compile now.
    pub broken: Vec<BrokenNode>,
}

/// Nodes that change in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FleetGroup {
    /// The nodes.
    pub nodes: Vec<String>,
    /// How many states are new.
    pub added: usize,
    /// How many states go.
    pub removed: usize,
    /// How many states change.
    pub changed: usize,
    /// The difference, state by state.
    pub diff: String,
}

/// A node that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BrokenNode {
    /// The node.
    pub node: String,
    /// Whether it is so already, rather than through this change.
    pub already: bool,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}
