//! A run as a line of steps to look at: how far it is, what each step waits for, and whether it takes longer than usual.

use crate::model::run::StepState;
use crate::model::time::Timestamp;
use crate::wire::runs::{RunView, StepView};
use serde::Serialize;

/// A run's steps in order, with sums.
#[derive(Debug, Clone, Serialize)]
pub struct Timeline {
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// Its steps.
    pub rows: Vec<Row>,
    /// How many steps are done.
    pub done: usize,
    /// How many there are.
    pub total: usize,
    /// Whether nothing more happens by itself.
    pub ended: bool,
}

/// One step.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The step.
    #[serde(flatten)]
    pub step: StepView,
    /// Whether it has begun, so that there may be a log.
    pub begun: bool,
    /// Whether it is under way.
    pub live: bool,
    /// Titles of the steps that it still waits for.
    pub waits_for: Vec<String>,
    /// Whether it has taken clearly longer than usual.
    pub late: bool,
}

impl Timeline {
    /// The timeline of a run.
    pub fn of(run: &RunView, now: Timestamp) -> Self {
        let rows: Vec<Row> = (0..run.steps.len()).map(|index| row(index, &run.steps, now)).collect();
        Self {
            done: run.steps.iter().filter(|s| is_done(s.state)).count(),
            total: run.steps.len(),
            ended: run.state.is_ended(),
            run: run.clone(),
            rows,
        }
    }
}

fn is_done(state: StepState) -> bool {
    matches!(state, StepState::Succeeded | StepState::Skipped)
}

fn row(index: usize, all: &[StepView], now: Timestamp) -> Row {
    let step = &all[index];
    let took = step.started_at.map(|start| step.ended_at.unwrap_or(now).since(start));
    // That a step comes after the one above it goes without saying.
    let obvious = index > 0 && step.after.len() == 1 && step.after[0] == all[index - 1].key;
    let waits_for = if step.state == StepState::Waiting && !obvious {
        let open = |key: &&String| all.iter().any(|other| &other.key == *key && !is_done(other.state));
        let title = |key: &String| all.iter().find(|other| &other.key == key).map(|other| other.title.clone());
        step.after.iter().filter(open).filter_map(title).collect()
    } else {
        Vec::new()
    };
    Row {
        begun: step.started_at.is_some(),
        live: matches!(step.state, StepState::Running | StepState::Backoff | StepState::Undoing),
        late: matches!((took, step.usual_ms), (Some(took), Some(usual)) if took > usual * 2 && took > usual + 2000),
        waits_for,
        step: step.clone(),
    }
}
