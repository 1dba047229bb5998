//! Stacks: launching, looking, changing.

use super::runs::RunView;
use crate::model::fault::Fault;
use crate::model::stack::{DataChoice, Link, Size, StackState};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A launch, as a person fills it in. Everything but the apps has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LaunchRequest {
    /// What to call it; a name is made up where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A preset to start from; what else is given wins over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The apps; what they depend on is added. Those of the preset where there is none.
    #[serde(default)]
    pub apps: Vec<AppChoice>,
    /// What each database starts with, by `app/resource`; the app's default where absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, DataChoice>,
    /// How much room; small where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// How long it lives, such as `8h`; the server's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// Where it runs; the server's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Sent twice with the same value, the second launch is the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// An app at a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppChoice {
    /// The app's name.
    pub app: String,
    /// Branch, tag or commit; the app's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// What a launch would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanView {
    /// The apps at their commits, dependencies first.
    pub apps: Vec<StackAppView>,
    /// What each database would start with.
    pub data: BTreeMap<String, DataChoice>,
    /// How much room.
    pub size: Size,
    /// Where it would run.
    pub provider: String,
    /// How well it would be kept apart.
    pub isolation: String,
    /// When it would end by itself.
    #[schema(value_type = String)]
    pub lease_until: Timestamp,
    /// The steps.
    pub steps: Vec<PlanStepView>,
    /// What will be true on the node, in order.
    pub states: Vec<PlanStateView>,
    /// How long it usually takes, from history, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<i64>,
}

/// A step before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanStepView {
    /// Its key.
    pub key: String,
    /// What it does.
    pub title: String,
    /// Keys of the steps it waits for.
    pub after: Vec<String>,
    /// How long it usually takes, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<i64>,
}

/// A state before it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanStateView {
    /// Its id.
    pub id: String,
    /// What it does.
    pub title: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it was written.
    pub origin: String,
}

/// An app of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StackAppView {
    /// The app's name.
    pub app: String,
    /// What people call it.
    pub title: String,
    /// What was asked for.
    pub revision: String,
    /// What it resolved to.
    pub commit: String,
    /// The commit's subject line.
    pub subject: String,
    /// Whether a person picked it, or a dependency brought it.
    pub chosen: bool,
    /// Version of the descriptor it was planned from.
    pub descriptor_version: i64,
    /// Its services as its agent last said.
    #[serde(default)]
    pub services: Vec<ServiceView>,
}

/// A service of a stack as its agent last said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceView {
    /// Its name on the node.
    pub name: String,
    /// `running`, `starting`, `backoff`, `failed`, `stopped`.
    pub state: String,
    /// How often it was restarted.
    pub restarts: u32,
}

/// A staging server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StackView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Who launched it.
    pub owner: String,
    /// Whether the asker owns it.
    pub mine: bool,
    /// Its state.
    pub state: StackState,
    /// Whether its services are as they should be: `healthy`, `degraded`, `unknown`.
    pub health: String,
    /// Why it is failed or tainted, or what its agent complains of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Where it runs.
    pub provider: String,
    /// How well it is kept apart.
    pub isolation: String,
    /// How much room.
    pub size: Size,
    /// Its apps, dependencies first.
    pub apps: Vec<StackAppView>,
    /// What each database started with.
    pub data: BTreeMap<String, DataChoice>,
    /// Where its apps are; those for people first.
    pub links: Vec<Link>,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was first ready.
    #[schema(value_type = Option<String>)]
    pub ready_at: Option<Timestamp>,
    /// When it ends by itself.
    #[schema(value_type = String)]
    pub lease_until: Timestamp,
    /// How far it may be extended.
    #[schema(value_type = String)]
    pub lease_max: Timestamp,
    /// When it was put to sleep, while it sleeps.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Timestamp>,
    /// The run that last worked on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunView>,
    /// Row version, for `If-Match`.
    pub version: i64,
    /// What the asker may do now: `open`, `extend`, `update`, `retry`, `stop`, `start`, `rebuild`, `destroy`.
    pub actions: Vec<String>,
}

/// What a launch, update, retry or destroy answers: the stack, whose `run` is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Accepted {
    /// The stack.
    pub stack: StackView,
    /// The id of the run that works on it.
    pub run: String,
}

/// More time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExtendRequest {
    /// How long from now it should live, such as `4h`.
    pub lease: String,
}

/// Other revisions of some of a stack's apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRequest {
    /// The apps to change; the others stay.
    pub apps: Vec<AppChoice>,
}
