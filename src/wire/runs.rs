//! Runs, steps and logs.

use crate::model::fault::Fault;
use crate::model::run::{RunState, StepState};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One execution of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunView {
    /// Its id.
    pub id: String,
    /// `launch_stack`, `update_stack`, `destroy_stack`.
    pub kind: String,
    /// What it does.
    pub title: String,
    /// The id of the thing it is about.
    pub subject: String,
    /// Who asked for it.
    pub actor: String,
    /// Its state.
    pub state: RunState,
    /// What it waits for now, for people; empty once ended.
    pub waiting_for: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When its first step began.
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
    /// How long such a run usually takes, from history, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<i64>,
    /// Its steps in the plan's order.
    pub steps: Vec<StepView>,
    /// What a person may do now: `cancel`, `retry`, `skip`, `complete`, `abandon`.
    pub actions: Vec<String>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepView {
    /// Its key in the plan.
    pub key: String,
    /// Its kind.
    pub kind: String,
    /// What it does.
    pub title: String,
    /// Keys of the steps it waits for.
    pub after: Vec<String>,
    /// Its state.
    pub state: StepState,
    /// Attempts so far.
    pub attempt: u32,
    /// When the first attempt began.
    #[schema(value_type = Option<String>)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended_at: Option<Timestamp>,
    /// How long it usually takes, from history, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usual_ms: Option<i64>,
    /// What it waits for, while it runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waiting_for: String,
    /// What it is at, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Doing>,
    /// Why its last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// What a step is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Doing {
    /// What, for people.
    pub what: String,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
}

/// Part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogPage {
    /// Chunks in order.
    pub chunks: Vec<LogChunk>,
    /// Give this as `after` to read on.
    pub next: i64,
    /// Whether more may come: the step or stack is still alive.
    pub open: bool,
}

/// A piece of a log: whole lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogChunk {
    /// Its place in the stream, from 1.
    pub seq: i64,
    /// When it was written.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The text.
    pub text: String,
}
