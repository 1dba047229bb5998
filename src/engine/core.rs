//! The decision core: `step(state, event) -> commands`. No clock, no database, no tasks, so the simulation drives the very
//! code that the worker drives.
//!
//! Invariants, checked by the simulation after every event: a step starts only after all it waits for has succeeded or was
//! skipped; nothing starts forward once the run is cancelled or compensating; an undo starts only when everything that came
//! after it is undone; an ended run has nothing under way.

use crate::model::fault::Fault;
use crate::model::plan::{EffectClass, OnFailure, StepSpec};
use crate::model::run::{RunState, Signal, StepState};
use crate::model::time::Timestamp;
use serde_json::Value;

/// A step as the core sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepNode {
    /// What it is.
    pub spec: StepSpec,
    /// Its state.
    pub state: StepState,
    /// Attempts begun going forward.
    pub attempt: u32,
    /// Attempts begun undoing.
    pub undo_attempt: u32,
    /// Whether an attempt may have had an effect that is not undone.
    pub touched: bool,
    /// When the next attempt may begin.
    pub wake_at: Option<Timestamp>,
    /// What it gave.
    pub outputs: Option<Value>,
    /// Why its last attempt failed.
    pub fault: Option<Fault>,
    /// Why a person skipped or completed it.
    pub reason: Option<String>,
}

/// A run as the core sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Its state.
    pub state: RunState,
    /// Why a person cancelled it.
    pub cancelled: Option<String>,
    /// What made it fail.
    pub fault: Option<Fault>,
    /// Its steps, in the plan's order.
    pub steps: Vec<StepNode>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker took the run over: every attempt without an outcome is looked into.
    Claimed,
    /// Time may have passed a wake-up.
    Tick,
    /// An attempt succeeded.
    Succeeded {
        /// Which step.
        step: usize,
        /// Its outputs.
        outputs: Value,
    },
    /// An attempt failed without an effect left.
    Failed {
        /// Which step.
        step: usize,
        /// Why.
        fault: Fault,
        /// Whether trying again is pointless.
        last: bool,
    },
    /// It is not known whether an attempt took effect.
    InDoubt {
        /// Which step.
        step: usize,
        /// What is known.
        fault: Fault,
    },
    /// An attempt was told to stop and did.
    Stopped {
        /// Which step.
        step: usize,
    },
    /// An undo succeeded.
    Undone {
        /// Which step.
        step: usize,
    },
    /// An undo failed.
    UndoFailed {
        /// Which step.
        step: usize,
        /// Why.
        fault: Fault,
        /// Whether trying again is pointless.
        last: bool,
    },
    /// A person said something.
    Said(Signal),
}

/// What to do now. The caller stores the changed machine with an intent for each start before it carries any of it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Begin an attempt of this step.
    Apply(usize),
    /// Take up the interrupted attempt of this step: probe or repeat as its class says.
    Resume(usize),
    /// Begin an undo of this step.
    Undo(usize),
    /// Tell the attempt of this step to stop.
    Stop(usize),
}

/// Undo attempts before a run is stuck.
pub const UNDO_ATTEMPTS: u32 = 5;
const UNDO_BACKOFF_MS: i64 = 250;
const BACKOFF_CAP_MS: i64 = 60_000;

/// Which step state may follow which; every change goes through [`StepNode::to`].
pub const STEP_TRANSITIONS: &[(StepState, &[StepState])] = {
    use StepState::{
        Backoff, Cancelled, Failed, InDoubt, Ready, Running, Skipped, Succeeded, UndoFailed, Undoing, Undone, Waiting,
    };
    &[
        (Waiting, &[Ready, Running, Skipped, Succeeded, Cancelled]),
        (Ready, &[Running, Skipped, Succeeded, Cancelled]),
        (Running, &[Succeeded, Failed, Backoff, InDoubt, Undoing, Cancelled]),
        (Backoff, &[Running, Skipped, Succeeded, Failed, Undoing, Undone, Cancelled]),
        (Succeeded, &[Undoing, Undone]),
        (Failed, &[Backoff, Skipped, Succeeded, Undoing, Undone]),
        (InDoubt, &[Backoff, Skipped, Succeeded, Undoing, Undone]),
        (Undoing, &[Undone, UndoFailed, Backoff]),
        (UndoFailed, &[Undoing]),
        (Skipped, &[]),
        (Undone, &[]),
        (Cancelled, &[]),
    ]
};

/// Which run state may follow which; every change goes through [`Machine::to`].
pub const RUN_TRANSITIONS: &[(RunState, &[RunState])] = {
    use RunState::{Abandoned, Blocked, Cancelled, Compensating, Failed, Pending, Running, Stuck, Succeeded};
    &[
        (Pending, &[Running, Compensating, Cancelled]),
        (Running, &[Succeeded, Blocked, Compensating]),
        (Blocked, &[Running, Compensating, Abandoned]),
        (Compensating, &[Failed, Cancelled, Stuck]),
        (Stuck, &[Compensating, Abandoned]),
        (Succeeded, &[]),
        (Failed, &[]),
        (Cancelled, &[]),
        (Abandoned, &[]),
    ]
};

impl StepNode {
    /// A step that has not been touched.
    pub fn new(spec: StepSpec) -> Self {
        Self {
            spec,
            state: StepState::Waiting,
            attempt: 0,
            undo_attempt: 0,
            touched: false,
            wake_at: None,
            outputs: None,
            fault: None,
            reason: None,
        }
    }

    fn to(&mut self, next: StepState) {
        debug_assert!(
            self.state == next
                || STEP_TRANSITIONS
                    .iter()
                    .any(|(from, to)| *from == self.state && to.contains(&next)),
            "step {} may not go from {} to {next}",
            self.spec.key,
            self.state
        );
        self.state = next;
    }

    /// Whether the steps after it may go on.
    pub const fn is_passed(&self) -> bool {
        matches!(self.state, StepState::Succeeded | StepState::Skipped)
    }

    const fn is_under_way(&self) -> bool {
        matches!(self.state, StepState::Running | StepState::Undoing)
    }
}

impl Machine {
    /// A run of these steps that has not begun.
    pub fn new(steps: Vec<StepSpec>) -> Self {
        Self {
            state: RunState::Pending,
            cancelled: None,
            fault: None,
            steps: steps.into_iter().map(StepNode::new).collect(),
        }
    }

    fn to(&mut self, next: RunState) {
        debug_assert!(
            self.state == next
                || RUN_TRANSITIONS
                    .iter()
                    .any(|(from, to)| *from == self.state && to.contains(&next)),
            "a run may not go from {} to {next}",
            self.state
        );
        self.state = next;
    }

    /// The step of this key.
    pub fn index(&self, key: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.spec.key == key)
    }

    /// When the next backoff ends.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.state.is_ended() {
            None
        } else {
            self.steps
                .iter()
                .filter(|s| s.state == StepState::Backoff)
                .filter_map(|s| s.wake_at)
                .min()
        }
    }

    /// Takes one event into account and says what to do.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Command> {
        let mut commands = Vec::new();
        match event {
            Event::Claimed => {
                if self.state == RunState::Pending {
                    self.to(RunState::Running);
                }
                let forward = self.state != RunState::Compensating;
                for (index, step) in self.steps.iter_mut().enumerate() {
                    match step.state {
                        StepState::Running if forward => commands.push(Command::Resume(index)),
                        // Nobody wants its effect any more, and its undo copes with half of one.
                        StepState::Running => step.to(StepState::Failed),
                        StepState::Undoing => commands.push(Command::Undo(index)),
                        _ => {}
                    }
                }
            }
            Event::Tick => {}
            Event::Succeeded { step, outputs } => self.on_success(step, outputs),
            Event::Failed { step, fault, last } => self.on_failure(step, fault, last, now),
            Event::InDoubt { step, fault } => self.on_doubt(step, fault),
            // It said that it stopped, not that it did nothing: its undo, or another attempt, copes.
            Event::Stopped { step } => {
                let fault = Fault::new(
                    "cancelled",
                    format!("{} was stopped before its end", self.steps[step].spec.title),
                );
                self.on_failure(step, fault, false, now);
            }
            Event::Undone { step } => {
                if self.steps[step].state == StepState::Undoing {
                    self.steps[step].touched = false;
                    self.steps[step].to(StepState::Undone);
                }
            }
            Event::UndoFailed { step, fault, last } => self.on_undo_failure(step, fault, last, now),
            Event::Said(signal) => self.on_signal(&signal, &mut commands),
        }
        self.advance(now, &mut commands);
        commands
    }

    fn on_success(&mut self, index: usize, outputs: Value) {
        let step = &mut self.steps[index];
        if step.state == StepState::Running {
            step.outputs = Some(outputs);
            step.fault = None;
            step.to(StepState::Succeeded);
        }
    }

    fn on_failure(&mut self, index: usize, fault: Fault, last: bool, now: Timestamp) {
        let going_on = self.state == RunState::Running && self.cancelled.is_none();
        let past_pivot = self.is_past_pivot();
        let step = &mut self.steps[index];
        if step.state != StepState::Running {
            return;
        }
        step.fault = Some(fault.clone());
        if !last && going_on && step.attempt < step.spec.retry.attempts {
            let doubled = step.spec.retry.backoff_ms.saturating_mul(1 << (step.attempt - 1).min(16));
            step.wake_at = Some(now.plus(doubled.min(BACKOFF_CAP_MS)));
            step.to(StepState::Backoff);
            return;
        }
        step.to(StepState::Failed);
        if !going_on {
            return;
        }
        match step.spec.on_failure {
            OnFailure::Continue => {
                step.reason = Some("the plan goes on without it".into());
                step.to(StepState::Skipped);
            }
            OnFailure::Compensate if !past_pivot => {
                self.fault = Some(fault);
                self.to(RunState::Compensating);
            }
            OnFailure::Compensate | OnFailure::Block => {
                self.fault = Some(fault);
                self.to(RunState::Blocked);
            }
        }
    }

    fn on_doubt(&mut self, index: usize, fault: Fault) {
        let step = &mut self.steps[index];
        if step.state != StepState::Running {
            return;
        }
        step.fault = Some(fault.clone());
        step.to(StepState::InDoubt);
        if self.state == RunState::Running && self.cancelled.is_none() {
            self.fault = Some(fault);
            self.to(RunState::Blocked);
        }
    }

    fn on_undo_failure(&mut self, index: usize, fault: Fault, last: bool, now: Timestamp) {
        let step = &mut self.steps[index];
        if step.state != StepState::Undoing {
            return;
        }
        step.fault = Some(fault);
        if !last && step.undo_attempt % UNDO_ATTEMPTS != 0 {
            step.wake_at = Some(now.plus((UNDO_BACKOFF_MS << (step.undo_attempt % UNDO_ATTEMPTS)).min(BACKOFF_CAP_MS)));
            step.to(StepState::Backoff);
        } else {
            step.to(StepState::UndoFailed);
        }
    }

    fn on_signal(&mut self, signal: &Signal, commands: &mut Vec<Command>) {
        match signal {
            Signal::Cancel { reason } => self.on_cancel(reason, commands),
            Signal::Retry { step } => {
                let wanted = |key: &str| step.as_deref().is_none_or(|only| only == key);
                match self.state {
                    RunState::Blocked => {
                        let mut any = false;
                        for node in &mut self.steps {
                            if matches!(node.state, StepState::Failed | StepState::InDoubt) && wanted(&node.spec.key) {
                                // A person asked for it, so the count of attempts begins anew; op ids go on counting.
                                node.wake_at = None;
                                node.spec.retry.attempts += node.attempt;
                                any = true;
                                node.to(StepState::Backoff);
                            }
                        }
                        if any {
                            self.fault = None;
                            self.to(RunState::Running);
                        }
                    }
                    RunState::Stuck => {
                        for node in &mut self.steps {
                            if node.state == StepState::UndoFailed && wanted(&node.spec.key) {
                                node.to(StepState::Undoing);
                                node.wake_at = None;
                                node.to(StepState::Backoff);
                            }
                        }
                        self.to(RunState::Compensating);
                    }
                    _ => {}
                }
            }
            Signal::Skip { step, reason } | Signal::Complete { step, reason } => {
                let next = if matches!(signal, Signal::Skip { .. }) {
                    StepState::Skipped
                } else {
                    StepState::Succeeded
                };
                if !matches!(self.state, RunState::Blocked | RunState::Running) || self.cancelled.is_some() {
                    return;
                }
                let Some(index) = self.index(step) else { return };
                let node = &mut self.steps[index];
                let open = [
                    StepState::Waiting,
                    StepState::Ready,
                    StepState::Backoff,
                    StepState::Failed,
                    StepState::InDoubt,
                ];
                if open.contains(&node.state) {
                    node.reason = Some(reason.clone());
                    node.to(next);
                }
                let still = self
                    .steps
                    .iter()
                    .any(|s| matches!(s.state, StepState::Failed | StepState::InDoubt));
                if self.state == RunState::Blocked && !still {
                    self.fault = None;
                    self.to(RunState::Running);
                }
            }
            Signal::Abandon { reason } => {
                if matches!(self.state, RunState::Stuck | RunState::Blocked) && !self.steps.iter().any(StepNode::is_under_way) {
                    self.cancelled = Some(reason.clone());
                    self.to(RunState::Abandoned);
                }
            }
        }
    }

    fn on_cancel(&mut self, reason: &str, commands: &mut Vec<Command>) {
        if self.cancelled.is_some() || !matches!(self.state, RunState::Pending | RunState::Running | RunState::Blocked) {
            return;
        }
        self.cancelled = Some(reason.to_owned());
        for (index, step) in self.steps.iter().enumerate() {
            if step.state == StepState::Running {
                commands.push(Command::Stop(index));
            }
        }
        self.to(RunState::Compensating);
    }

    fn is_past_pivot(&self) -> bool {
        self.steps.iter().any(|s| s.spec.pivot && s.is_passed())
    }

    fn advance(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        match self.state {
            RunState::Running => self.go_forward(now, commands),
            RunState::Compensating => self.go_back(now, commands),
            _ => {}
        }
    }

    fn go_forward(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        for index in 0..self.steps.len() {
            let step = &self.steps[index];
            let due = match step.state {
                StepState::Waiting | StepState::Ready => step
                    .spec
                    .after
                    .iter()
                    .all(|key| self.index(key).is_some_and(|i| self.steps[i].is_passed())),
                StepState::Backoff => step.wake_at.is_none_or(|at| at <= now),
                _ => false,
            };
            if due {
                let step = &mut self.steps[index];
                step.attempt += 1;
                step.touched = true;
                step.wake_at = None;
                step.to(StepState::Running);
                commands.push(Command::Apply(index));
            }
        }
        if self.steps.iter().all(StepNode::is_passed) {
            self.to(RunState::Succeeded);
        }
    }

    fn go_back(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        // What runs forward is let end first: an undo beside its own attempt would race it.
        for index in 0..self.steps.len() {
            if self.steps[index].state == StepState::Running {
                if !commands.contains(&Command::Stop(index)) && !commands.contains(&Command::Resume(index)) {
                    commands.push(Command::Stop(index));
                }
            } else if matches!(self.steps[index].state, StepState::Waiting | StepState::Ready) {
                self.steps[index].to(StepState::Cancelled);
            }
        }
        // Leaves first; repeated, because a step without an undo frees the one before it at once.
        loop {
            let mut moved = false;
            for index in (0..self.steps.len()).rev() {
                let step = &self.steps[index];
                let open = match step.state {
                    StepState::Succeeded | StepState::Failed | StepState::InDoubt => true,
                    StepState::Backoff => step.wake_at.is_none_or(|at| at <= now) || step.undo_attempt == 0,
                    _ => false,
                };
                let key = step.spec.key.clone();
                let free = self
                    .steps
                    .iter()
                    .filter(|later| later.spec.after.contains(&key))
                    .all(|later| matches!(later.state, StepState::Undone | StepState::Cancelled | StepState::Skipped));
                if !open || !free {
                    continue;
                }
                let step = &mut self.steps[index];
                if step.spec.undo && step.touched {
                    step.undo_attempt += 1;
                    step.wake_at = None;
                    step.to(StepState::Undoing);
                    commands.push(Command::Undo(index));
                } else {
                    step.touched = false;
                    step.to(StepState::Undone);
                }
                moved = true;
            }
            if !moved {
                break;
            }
        }
        let quiet = |s: &StepNode| matches!(s.state, StepState::Undone | StepState::Cancelled | StepState::Skipped);
        if self.steps.iter().all(quiet) {
            self.to(if self.cancelled.is_some() {
                RunState::Cancelled
            } else {
                RunState::Failed
            });
        } else if self.steps.iter().any(|s| s.state == StepState::UndoFailed)
            && !self.steps.iter().any(|s| s.is_under_way() || (s.state == StepState::Backoff))
        {
            self.to(RunState::Stuck);
        }
    }
}

/// What recovery does with an attempt whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Run it again under the same operation id.
    Repeat,
    /// Ask the world first.
    Probe,
    /// A person decides.
    Ask,
}

/// What recovery may do about an effect of this class (DESIGN: the engine's promise).
pub const fn recovery(class: EffectClass) -> Recovery {
    match class {
        EffectClass::Pure | EffectClass::Convergent | EffectClass::Keyed => Recovery::Repeat,
        EffectClass::Guarded | EffectClass::OneWay => Recovery::Probe,
        EffectClass::Raw => Recovery::Ask,
    }
}
