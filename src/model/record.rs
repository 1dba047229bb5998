//! A run as it is stored, and what can be told from it alone: what it waits for, and what a person may do about it.
//!
//! The engine's core works on these values and the store keeps them; neither adds anything to them, so what the portal offers
//! is what the engine accepts.

use super::fault::Fault;
use super::id::RunId;
use super::plan::{OnFailure, StepSpec};
use super::run::{RunState, Signal, StepState};
use super::time::Timestamp;
use serde_json::Value;

/// A run and its steps, in the plan's order.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The run.
    pub run: RunRow,
    /// Its steps.
    pub steps: Vec<StepRow>,
}

/// A run, without its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// The kind of its plan.
    pub kind: String,
    /// What it does, for people.
    pub title: String,
    /// What it is about.
    pub subject: String,
    /// Who asked for it, as the audit names them.
    pub actor: String,
    /// Its state.
    pub state: RunState,
    /// Who cancelled it and why.
    pub cancelled: Option<String>,
    /// Why it is being undone, was undone, or waits for a person.
    pub fault: Option<Fault>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// What the plan says of it.
    pub spec: StepSpec,
    /// Its state.
    pub state: StepState,
    /// Which attempt at doing it is the latest, from 1; 0 where there was none. Names the operation to effectors.
    pub attempt: u32,
    /// The same of undoing it.
    pub undo_attempt: u32,
    /// Tries since it began, or since a person asked for another; limited by the plan.
    pub tries: u32,
    /// Whether an attempt may have taken effect although it did not succeed.
    pub unclear: bool,
    /// When to try, undo or probe again.
    pub wake_at: Option<Timestamp>,
    /// What it gave.
    pub outputs: Option<Value>,
    /// Why its latest attempt failed.
    pub fault: Option<Fault>,
    /// Who passed over or completed it by hand, and why.
    pub note: String,
    /// What it waits for while it runs, in its kind's words.
    pub waiting_for: String,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it came to its present end.
    pub ended_at: Option<Timestamp>,
}

impl StepRow {
    /// A step that nobody has touched.
    pub fn new(spec: StepSpec) -> Self {
        Self {
            spec,
            state: StepState::Waiting,
            attempt: 0,
            undo_attempt: 0,
            tries: 0,
            unclear: false,
            wake_at: None,
            outputs: None,
            fault: None,
            note: String::new(),
            waiting_for: String::new(),
            started_at: None,
            ended_at: None,
        }
    }

    /// Whether the run cannot go on before a person says something about this step.
    pub fn needs_person(&self) -> bool {
        match self.state {
            StepState::InDoubt => self.wake_at.is_none(),
            StepState::Failed => self.spec.on_failure != OnFailure::Continue,
            _ => false,
        }
    }

    /// Whether it has to be undone where the run is: it was tried, so it may have had an effect whatever it said of itself,
    /// or its effect came with the run.
    pub fn is_to_undo(&self) -> bool {
        self.spec.undo && (self.attempt > 0 || self.spec.undo_always)
    }

    // Whether this pivot stands in the way of undoing: it took effect, or it is not known that it did not.
    fn is_passed_pivot(&self) -> bool {
        let open = matches!(self.state, StepState::Running | StepState::InDoubt | StepState::Succeeded);
        self.spec.pivot && (open || self.unclear && matches!(self.state, StepState::Backoff | StepState::Failed))
    }
}

/// What a person can say, without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Stop and undo.
    Cancel,
    /// Try again.
    Retry,
    /// Pass over a step.
    Skip,
    /// A step was done by hand.
    Complete,
    /// Give up.
    Abandon,
}

impl Action {
    /// All of them, in the order they are offered.
    pub const ALL: [Self; 5] = [Self::Cancel, Self::Retry, Self::Skip, Self::Complete, Self::Abandon];

    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Complete => "complete",
            Self::Abandon => "abandon",
        }
    }

    /// What a signal asks for.
    pub const fn of(signal: &Signal) -> Self {
        match signal {
            Signal::Cancel { .. } => Self::Cancel,
            Signal::Retry { .. } => Self::Retry,
            Signal::Skip { .. } => Self::Skip,
            Signal::Complete { .. } => Self::Complete,
            Signal::Abandon { .. } => Self::Abandon,
        }
    }
}

impl RunRecord {
    /// Whether the run only goes forward: a pivot took effect, or may have, or there is nothing but pivots.
    pub fn is_past_pivot(&self) -> bool {
        let only_pivots = !self.steps.is_empty() && self.steps.iter().all(|step| step.spec.pivot);
        only_pivots || self.steps.iter().any(StepRow::is_passed_pivot)
    }

    /// Whether this may be said about this step now.
    pub fn accepts(&self, action: Action, step: &StepRow) -> bool {
        let undoing = matches!(self.run.state, RunState::Compensating | RunState::Stuck);
        let forward = matches!(self.run.state, RunState::Running | RunState::Blocked);
        match action {
            Action::Retry if undoing => {
                step.state == StepState::UndoFailed || step.state == StepState::Undoing && step.wake_at.is_some()
            }
            Action::Skip | Action::Complete if undoing => step.state == StepState::UndoFailed,
            Action::Retry | Action::Skip | Action::Complete => {
                forward && (step.needs_person() || step.state == StepState::Backoff)
            }
            Action::Cancel | Action::Abandon => false,
        }
    }

    /// Whether this may be said to the run now.
    pub fn allows(&self, action: Action) -> bool {
        match action {
            Action::Cancel => {
                matches!(self.run.state, RunState::Pending | RunState::Running | RunState::Blocked) && !self.is_past_pivot()
            }
            Action::Abandon => {
                let probed = |step: &StepRow| step.state == StepState::InDoubt && step.wake_at.is_some();
                let busy = |step: &StepRow| matches!(step.state, StepState::Running | StepState::Undoing) || probed(step);
                matches!(self.run.state, RunState::Blocked | RunState::Stuck) && !self.steps.iter().any(busy)
            }
            _ => self.steps.iter().any(|step| self.accepts(action, step)),
        }
    }
}

/// What a person may do about a run now, by the names of the API.
pub fn allowed_actions(record: &RunRecord) -> Vec<String> {
    let allowed = Action::ALL.into_iter().filter(|action| record.allows(*action));
    allowed.map(|action| action.as_str().to_owned()).collect()
}

/// What a run waits for now, for people; empty once it ended.
pub fn waiting_for(record: &RunRecord) -> String {
    let in_state = |state: StepState| record.steps.iter().filter(move |s| s.state == state);
    let first = |state: StepState, words: &dyn Fn(&StepRow) -> String| {
        let mut steps = in_state(state);
        let text = words(steps.next()?);
        let more = steps.count();
        Some(if more == 0 { text } else { format!("{text}, and {more} more") })
    };
    let forward = |step: &StepRow| {
        if step.waiting_for.is_empty() {
            step.spec.title.clone()
        } else {
            step.waiting_for.clone()
        }
    };
    let text = match record.run.state {
        RunState::Pending => Some("Its turn: one run after the other works on the same thing".to_owned()),
        RunState::Running => first(StepState::Running, &forward)
            .or_else(|| first(StepState::Backoff, &|s| format!("Another try of “{}”", s.spec.title)))
            .or_else(|| {
                first(StepState::InDoubt, &|s| {
                    format!("Finding out whether “{}” took effect", s.spec.title)
                })
            }),
        RunState::Blocked => first(StepState::InDoubt, &|s| {
            format!("A person: it is not known whether “{}” took effect", s.spec.title)
        })
        .or_else(|| {
            let failed = record.steps.iter().find(|s| s.needs_person())?;
            Some(format!("A person: “{}” failed", failed.spec.title))
        }),
        RunState::Compensating => first(StepState::Undoing, &|s| format!("Undoing “{}”", s.spec.title))
            .or_else(|| first(StepState::Running, &|s| format!("Stopping “{}”", s.spec.title))),
        _ => return String::new(),
    };
    text.unwrap_or_else(|| "The engine".to_owned())
}
