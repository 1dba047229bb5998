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
    // That a step comes after those right above it, or with one of them, goes without saying.
    let above: Vec<&String> = all[..index].iter().rev().take(step.after.len()).map(|s| &s.key).collect();
    let obvious = step.after.iter().all(|key| above.contains(&key)) || (index > 0 && step.after == all[index - 1].after);
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
        // From its beginning to its undo is no measure of its work.
        late: !matches!(step.state, StepState::Undoing | StepState::Undone | StepState::UndoFailed)
            && matches!((took, step.usual_ms), (Some(took), Some(usual)) if took > usual * 2 && took > usual + 2000),
        waits_for,
        step: step.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(key: &str, after: &[&str], state: StepState) -> StepView {
        StepView {
            key: key.into(),
            kind: "fetch_revision".into(),
            title: format!("Do {key}"),
            after: after.iter().map(|key| (*key).to_owned()).collect(),
            state,
            attempt: 1,
            started_at: Some(Timestamp(0)),
            ended_at: Some(Timestamp(60_000)),
            usual_ms: Some(5),
            waiting_for: String::new(),
            doing: None,
            fault: None,
        }
    }

    #[test]
    fn what_goes_without_saying_is_not_said() {
        let waiting = |key: &str, after: &[&str]| step(key, after, StepState::Waiting);
        let all = [
            waiting("a", &[]),
            waiting("b", &[]),
            waiting("both", &["a", "b"]),
            waiting("one-check", &["both"]),
            waiting("another-check", &["both"]),
            waiting("far", &["a"]),
        ];
        let said: Vec<_> = (0..all.len()).map(|index| row(index, &all, Timestamp(0)).waits_for).collect();
        assert_eq!(said[..5], vec![Vec::<String>::new(); 5]);
        assert_eq!(said[5], ["Do a"]);
    }

    #[test]
    fn only_a_steps_own_work_can_be_slow() {
        let late = |state| row(0, &[step("a", &[], state)], Timestamp(0)).late;
        assert!(late(StepState::Succeeded));
        assert!(!late(StepState::Undone));
    }
}
