//! Apps and their revisions.

use crate::model::diagnostic::Diagnostic;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An app in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AppSummary {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// One or two sentences.
    pub description: String,
    /// `website`, `service`, `worker`, ...
    pub kind: String,
    /// Whoever changes its code.
    pub dev_owner: String,
    /// Whoever is called at night.
    pub ops_owner: String,
    /// Names of the apps it needs, directly.
    pub depends_on: Vec<String>,
    /// Those of them that a stack may be launched without.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Its databases: `app/resource` keys that a launch chooses data for.
    pub databases: Vec<DatabaseView>,
    /// Whether people open it.
    pub public: bool,
    /// The revision that is taken where nobody picks one.
    pub default_ref: String,
    /// Version of the descriptor, for `If-Match`.
    pub version: i64,
    /// When that version was accepted.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

/// A database of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatabaseView {
    /// `app/resource`: the key of a launch's `data`.
    pub key: String,
    /// `sqlite` or `postgres`.
    pub engine: String,
    /// What it may start with: `empty`, and `fixture` where the app has one.
    pub choices: Vec<String>,
    /// What it starts with where nobody picks.
    pub default: String,
}

/// An app with its descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AppView {
    /// As in the list.
    #[serde(flatten)]
    pub summary: AppSummary,
    /// Names of all the apps it needs, directly or not, each before what needs it.
    pub needs: Vec<String>,
    /// Names of the apps that need it, directly.
    pub needed_by: Vec<String>,
    /// The descriptor's text as it was saved.
    pub descriptor: String,
}

/// A branch or tag of an app's repository, or a recent commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RevisionView {
    /// `v1.1`, `main`, or an abbreviated commit.
    pub name: String,
    /// `branch`, `tag` or `commit`.
    pub kind: String,
    /// The full commit.
    pub commit: String,
    /// When it was committed.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Its subject line.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
}

/// What validating a descriptor found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ValidationView {
    /// Whether it would be accepted.
    pub ok: bool,
    /// Everything that was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// What an app runs by the clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchedulesView {
    /// What the descriptor says.
    pub wanted: Vec<WantedScheduleView>,
    /// What the nodes that run the app are built to run for it.
    pub built: Vec<ScheduleView>,
    /// Places of which it is not known, each with why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// How many more places there are.
    #[serde(default)]
    pub left_out: usize,
}

/// A schedule of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WantedScheduleView {
    /// Its name.
    pub name: String,
    /// Five fields of cron.
    pub when: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether it is wanted in staging too.
    pub in_staging: bool,
    /// Whether a recipe makes some node run exactly this.
    pub runs: bool,
}

/// A `cron` or `timer` state that a recipe made for an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScheduleView {
    /// Its name.
    pub name: String,
    /// `cron` or `timer`.
    pub kind: String,
    /// Five fields of cron, or a calendar of systemd.
    pub when: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// As whom.
    pub user: String,
    /// The recipe's file and line.
    pub origin: String,
    /// Where.
    pub environment: String,
    /// Where there.
    pub datacenter: String,
    /// How many nodes of that place run the app.
    pub nodes: usize,
}
