//! Nodes, datacenters, environments and roles; searching, applying files, and what depends on what.

use super::configurations::FleetPlanView;
use crate::model::diagnostic::Diagnostic;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// An object and which version it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ObjectView {
    /// `node`, `datacenter`, `environment` or `role`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version, for `If-Match`.
    pub version: i64,
    /// When this version was saved.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
    /// The object.
    #[schema(value_type = Object)]
    pub body: Value,
}

/// A version of an object or an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ObjectVersionView {
    /// From 1.
    pub version: i64,
    /// The revision of the inventory that made it: give it as `at`.
    pub revision: i64,
    /// Who saved it.
    pub actor: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// How, where there is something to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether this version is its removal.
    pub removed: bool,
    /// The values that differ from the version before, by their paths; nothing of the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Line difference from the version before; the whole text of the first.
    pub diff: String,
}

/// The difference between two versions of an object or an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DiffView {
    /// The one version.
    pub from: i64,
    /// The other.
    pub to: i64,
    /// Line difference; empty where they are equal.
    pub diff: String,
}

/// Which old version to make the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// The version.
    pub version: i64,
}

/// Facts of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FactsView {
    /// The node.
    pub node: String,
    /// Who wrote them: `greenroom`, `ohai` or `facter`.
    pub format: String,
    /// When they last changed.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The facts as they came, and under `machine` what is the same whoever wrote them.
    #[schema(value_type = Object)]
    pub facts: Value,
}

/// Files to apply together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The files.
    pub files: Vec<ApplyFile>,
    /// Only say what would change.
    #[serde(default)]
    pub plan: bool,
    /// Also remove the objects that the files do not describe.
    #[serde(default)]
    pub prune: bool,
    /// With `plan`: also say what it would change on the fleet's nodes.
    #[serde(default)]
    pub fleet: bool,
}

/// A file with one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyFile {
    /// What findings call it; YAML where it ends with `.yaml` or `.yml`, else JSON.
    pub name: String,
    /// Its text.
    pub content: String,
}

/// What applying files changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApplyView {
    /// Whether it was done, rather than only planned.
    pub applied: bool,
    /// What changes, in the order it is done.
    pub changes: Vec<ChangeView>,
    /// How many objects stay as they are.
    pub unchanged: usize,
    /// Warnings about the files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Diagnostic>,
    /// What it would change on the fleet's nodes, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetPlanView>,
}

/// A change of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChangeView {
    /// `create`, `change` or `remove`.
    pub action: String,
    /// `node`, `app`, ...
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// The file that describes it; empty where none does any more.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Line difference.
    pub diff: String,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SearchView {
    /// How many there are in all, exactly.
    pub total: i64,
    /// How many were passed over.
    pub start: i64,
    /// This page's rows.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Value>,
    /// Give this as `cursor` to get the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The apps that an app needs, or that need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DependenciesView {
    /// The app that was asked about.
    pub app: String,
    /// The environment whose endpoints are given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The datacenter that is looked at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<String>,
    /// Who needs whom.
    pub edges: Vec<EdgeView>,
}

/// One app needs another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EdgeView {
    /// The app that needs.
    pub from: String,
    /// The app that is needed.
    pub to: String,
    /// Whether it can do without.
    pub optional: bool,
    /// How many edges away from the app that was asked about, from 1.
    pub distance: usize,
    /// Where the needed app is reached in the environment: nodes of the datacenter first; those under maintenance are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointView>,
}

/// Where an app is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndpointView {
    /// The node.
    pub node: String,
    /// Its datacenter.
    pub datacenter: String,
    /// Its address.
    pub address: String,
    /// The app's ports by name.
    pub ports: BTreeMap<String, u16>,
}

/// What stops if something goes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImpactView {
    /// The nodes that go away.
    pub nodes: Vec<String>,
    /// The apps that have nowhere left to run in an environment.
    pub stops: Vec<StoppedView>,
    /// The apps that run on fewer nodes.
    pub weakened: Vec<StoppedView>,
}

/// An app that stops, or is left with fewer nodes, in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoppedView {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// How many nodes it is left with.
    pub left: usize,
    /// Why: it ran only there, or the needed app that stops.
    pub because: String,
}

/// Where an app runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunningView {
    /// The app.
    pub app: String,
    /// The node, or the stack's name.
    pub node: String,
    /// The environment; `staging` for stacks.
    pub environment: String,
    /// The datacenter; empty for stacks.
    pub datacenter: String,
    /// The revision it should run.
    pub declared: String,
    /// The revision that its node reports; nothing where it reported none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// Whether the two differ; nothing where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted: Option<bool>,
}
