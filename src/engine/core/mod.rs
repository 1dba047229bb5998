//! The decision core: `step(state, event) -> (state, commands)`. No clock, no database, no tasks, so the simulation and the
//! replay of a journal drive the very code that the worker drives.
//!
//! | event | what it may lead to |
//! |---|---|
//! | claimed | open attempts are repeated, probed or put in doubt, as their class says ([`recover`]) |
//! | settled, probed | the step's next state; then whatever became ready begins ([`forward`]), or the next undo ([`back`]) |
//! | woken | what waited for a time goes on |
//! | signalled | a person's word, or a refusal that says why ([`signals`]) |
//! | held | nothing new begins for now |
//!
//! Invariants, checked by the simulation after every event: an attempt begins only after all it waits for; nothing begins
//! forward once the run is cancelled or failing; an undo begins only when all that came after is undone or had no effect; a
//! run that ended has nothing under way; no state follows another that [`table`] does not name.

mod back;
mod forward;
mod recover;
mod signals;
pub mod table;
mod words;

pub use words::{Command, Direction, Event, Found, Op, Outcome};

use crate::model::plan::EffectClass;
use crate::model::record::RunRecord;
use crate::model::run::{RunState, StepState};
use crate::model::time::Timestamp;
use std::collections::BTreeMap;

/// The longest wait between two tries.
pub const LONGEST_BACKOFF_MS: i64 = 60_000;
/// Tries of an undo before the run is stuck, unless the step's own number is higher.
pub const UNDO_TRIES: u32 = 5;
/// Times the world is asked in vain before a person is.
pub const PROBE_TRIES: u32 = 5;

/// What a step's own task is doing; lost with the worker, and so never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// There is none.
    Idle,
    /// Doing.
    Applying,
    /// Asking the world.
    Probing,
    /// Undoing.
    Undoing,
}

/// A run as the core sees it: the stored record, and what dies with the worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// What is stored.
    pub record: RunRecord,
    classes: BTreeMap<String, EffectClass>,
    held: bool,
    busy: Vec<Busy>,
    probes: Vec<u32>,
}

/// What one event led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The state after it.
    pub machine: Machine,
    /// What to do.
    pub commands: Vec<Command>,
    /// Why a signal was refused.
    pub refused: Option<String>,
}

/// A change that the tables do not allow: a mistake in this module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who} may not go from {from} to {to}")]
pub struct Illegal {
    who: String,
    from: &'static str,
    to: &'static str,
}

type Checked<T = ()> = Result<T, Illegal>;

impl Machine {
    /// A stored run that nobody drives yet.
    pub fn new(record: RunRecord) -> Self {
        let count = record.steps.len();
        Self {
            record,
            classes: BTreeMap::new(),
            held: false,
            busy: vec![Busy::Idle; count],
            probes: vec![0; count],
        }
    }

    /// Takes one event into account. Pure: the same state, event and time give the same turn.
    ///
    /// # Errors
    /// Where a change would leave the tables; the state given stays as it was.
    pub fn step(&self, event: &Event, at: Timestamp) -> Result<Turn, Illegal> {
        let mut turn = Deciding {
            machine: self.clone(),
            at,
            commands: Vec::new(),
            refused: None,
        };
        match event {
            Event::Claimed { classes, hold, .. } => turn.claimed(classes, *hold)?,
            Event::Held { on } => turn.machine.held = *on,
            Event::Settled { op, outcome } => turn.settled(*op, outcome)?,
            Event::Probed { step, found } => turn.probed(*step, found)?,
            Event::Woken => {}
            Event::Signalled { actor, signal } => turn.signalled(actor, signal)?,
        }
        turn.advance()?;
        Ok(Turn {
            machine: turn.machine,
            commands: turn.commands,
            refused: turn.refused,
        })
    }

    /// When something that waits for a time is due.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let waits = |index: usize| {
            let step = &self.record.steps[index];
            let actionable = match self.record.run.state {
                RunState::Running => matches!(step.state, StepState::Backoff | StepState::Running | StepState::InDoubt),
                RunState::Blocked => matches!(step.state, StepState::Running | StepState::InDoubt),
                RunState::Compensating => step.state == StepState::Undoing,
                _ => false,
            };
            step.wake_at.filter(|_| actionable && self.busy[index] == Busy::Idle)
        };
        if self.held {
            return None;
        }
        (0..self.record.steps.len()).filter_map(waits).min()
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.busy.iter().all(|busy| *busy == Busy::Idle)
    }

    /// Whether nothing more happens until a person says something.
    pub fn is_resting(&self) -> bool {
        let state = self.record.run.state;
        self.is_idle() && (state.is_ended() || state == RunState::Blocked && self.next_wake().is_none())
    }

    /// What the task of a step is doing.
    pub fn busy(&self, step: usize) -> Busy {
        self.busy[step]
    }

    /// The class of a step's kind, where this worker knows the kind.
    pub fn class(&self, step: usize) -> Option<EffectClass> {
        self.classes.get(&self.record.steps[step].spec.kind).copied()
    }
}

/// Whether an attempt of this class may simply be made again.
pub const fn is_repeatable(class: EffectClass) -> bool {
    matches!(class, EffectClass::Pure | EffectClass::Convergent | EffectClass::Keyed)
}

// One event being taken into account.
struct Deciding {
    machine: Machine,
    at: Timestamp,
    commands: Vec<Command>,
    refused: Option<String>,
}

impl Deciding {
    fn state(&self) -> RunState {
        self.machine.record.run.state
    }

    fn is_forward(&self) -> bool {
        matches!(self.state(), RunState::Running | RunState::Blocked)
    }

    // A time that lies further ahead than any wait is one that a clock put back has left behind.
    fn is_due(&self, wake_at: Option<Timestamp>) -> bool {
        wake_at.is_some_and(|wake| wake <= self.at || wake > self.at.plus(2 * LONGEST_BACKOFF_MS))
    }

    fn run_to(&mut self, to: RunState) -> Checked {
        let run = &mut self.machine.record.run;
        if !table::may_follow(table::RUN_TRANSITIONS, &run.state, &to) {
            return Err(Illegal {
                who: "the run".into(),
                from: run.state.as_str(),
                to: to.as_str(),
            });
        }
        run.state = to;
        run.ended_at = to.is_ended().then_some(self.at);
        if to == RunState::Running {
            run.started_at.get_or_insert(self.at);
        }
        Ok(())
    }

    fn step_to(&mut self, index: usize, to: StepState) -> Checked {
        let step = &mut self.machine.record.steps[index];
        if !table::may_follow(table::STEP_TRANSITIONS, &step.state, &to) {
            return Err(Illegal {
                who: format!("step {}", step.spec.key),
                from: step.state.as_str(),
                to: to.as_str(),
            });
        }
        step.state = to;
        step.wake_at = None;
        step.waiting_for.clear();
        match to {
            StepState::Running => {
                step.started_at.get_or_insert(self.at);
                step.ended_at = None;
            }
            StepState::Waiting | StepState::Ready | StepState::Backoff | StepState::Undoing => step.ended_at = None,
            _ => step.ended_at = Some(self.at),
        }
        Ok(())
    }

    fn settle(&mut self, op: Op, outcome: &'static str) {
        self.commands.push(Command::Settle { op, outcome });
    }

    // The attempt forward that a step is at.
    fn forward_op(&self, index: usize) -> Op {
        Op {
            step: index,
            direction: Direction::Do,
            attempt: self.machine.record.steps[index].attempt,
        }
    }

    fn advance(&mut self) -> Checked {
        match self.state() {
            RunState::Running | RunState::Blocked => self.go_forward(),
            RunState::Compensating => self.go_back(),
            _ => Ok(()),
        }
    }
}

// How long to wait before the try after this many.
fn backoff(first_ms: i64, tries: u32) -> i64 {
    let doubled = first_ms.max(0).saturating_mul(1_i64 << tries.saturating_sub(1).min(20));
    doubled.min(LONGEST_BACKOFF_MS)
}
