//! Going forward: what an attempt came to, and what may begin.

use super::{Busy, Checked, Command, Deciding, Direction, Found, Op, Outcome, PROBE_TRIES, backoff, is_repeatable};
use crate::model::fault::Fault;
use crate::model::plan::{EffectClass, OnFailure};
use crate::model::run::{RunState, StepState};
use serde_json::Value;

const PROBE_BACKOFF_MS: i64 = 500;

impl Deciding {
    pub(super) fn settled(&mut self, op: Op, outcome: &Outcome) -> Checked {
        let expected = match op.direction {
            Direction::Do => (Busy::Applying, self.machine.record.steps[op.step].attempt),
            Direction::Undo => (Busy::Undoing, self.machine.record.steps[op.step].undo_attempt),
        };
        if (self.machine.busy[op.step], op.attempt) != expected {
            return Ok(());
        }
        self.machine.busy[op.step] = Busy::Idle;
        if op.direction == Direction::Undo {
            return self.undo_settled(op, outcome);
        }
        let class = self.machine.class(op.step).unwrap_or(EffectClass::Raw);
        match outcome {
            Outcome::Done { outputs } => self.succeed(op, outputs.clone()),
            Outcome::Failed { fault } => {
                // The effector answered for this very key, so the doubts about it are gone. Of other classes an earlier
                // attempt may still have taken effect.
                if class == EffectClass::Keyed {
                    self.machine.record.steps[op.step].unclear = false;
                }
                self.settle(op, "failed");
                self.fail(op.step, fault.clone(), false)
            }
            Outcome::Final { fault } => {
                self.settle(op, "failed");
                self.fail(op.step, fault.clone(), true)
            }
            Outcome::Unclear { fault } => self.unclear(op, class, fault.clone(), "unclear"),
            Outcome::Stopped => {
                let title = &self.machine.record.steps[op.step].spec.title;
                let fault = Fault::new("cancelled", format!("“{title}” was stopped before its end"));
                self.unclear(op, class, fault, "stopped")
            }
        }
    }

    fn succeed(&mut self, op: Op, outputs: Value) -> Checked {
        self.settle(op, "done");
        self.step_to(op.step, StepState::Succeeded)?;
        let step = &mut self.machine.record.steps[op.step];
        step.outputs = Some(outputs);
        step.fault = None;
        step.unclear = false;
        Ok(())
    }

    // It may have taken effect. What may be repeated is; of the rest the world is asked, or else a person.
    fn unclear(&mut self, op: Op, class: EffectClass, fault: Fault, word: &'static str) -> Checked {
        self.machine.record.steps[op.step].unclear = true;
        if is_repeatable(class) {
            self.settle(op, word);
            return self.fail(op.step, fault, false);
        }
        self.doubt(op, fault)?;
        if class != EffectClass::Raw && self.is_forward() {
            self.machine.probes[op.step] = 0;
            self.probe(op.step);
        }
        Ok(())
    }

    // Nobody knows: a person decides, unless a probe is begun now.
    pub(super) fn doubt(&mut self, op: Op, fault: Fault) -> Checked {
        self.settle(op, "in_doubt");
        self.step_to(op.step, StepState::InDoubt)?;
        let step = &mut self.machine.record.steps[op.step];
        step.unclear = true;
        step.fault = Some(fault);
        Ok(())
    }

    // `wake_at` in a doubtful step's row says that the world is to be asked, also by the next worker.
    pub(super) fn probe(&mut self, index: usize) {
        if self.machine.record.steps[index].state == StepState::InDoubt {
            self.machine.record.steps[index].wake_at = Some(self.at);
        }
        self.machine.busy[index] = Busy::Probing;
        let op = self.forward_op(index);
        self.commands.push(Command::Probe(op));
    }

    pub(super) fn probed(&mut self, index: usize, found: &Found) -> Checked {
        let step = &self.machine.record.steps[index];
        let open = matches!(step.state, StepState::Running | StepState::InDoubt);
        if self.machine.busy[index] != Busy::Probing || !open {
            return Ok(());
        }
        let recovering = step.state == StepState::Running;
        let known = step.fault.clone();
        let in_doubt = known.clone().unwrap_or_else(|| in_doubt(&step.spec.title));
        let op = self.forward_op(index);
        self.machine.busy[index] = Busy::Idle;
        match found {
            Found::Applied { outputs } => self.succeed(op, outputs.clone()),
            // The attempt was cut short before its effect: it goes on under the same operation id.
            Found::NotApplied if recovering && self.is_forward() => {
                if !self.machine.held {
                    self.machine.busy[index] = Busy::Applying;
                    self.commands.push(Command::Resume(op));
                }
                Ok(())
            }
            Found::NotApplied => {
                self.machine.record.steps[index].unclear = false;
                self.settle(op, "not_applied");
                self.fail(index, in_doubt, false)
            }
            Found::Unavailable { .. } if self.is_forward() && self.machine.probes[index] + 1 < PROBE_TRIES => {
                self.machine.probes[index] += 1;
                let wait = backoff(PROBE_BACKOFF_MS, self.machine.probes[index]);
                self.machine.record.steps[index].wake_at = Some(self.at.plus(wait));
                Ok(())
            }
            Found::Unknown | Found::Unavailable { .. } => {
                let fault = match found {
                    Found::Unavailable { fault } => in_doubt.why(fault),
                    _ => in_doubt,
                };
                if recovering {
                    self.doubt(op, fault)
                } else {
                    let step = &mut self.machine.record.steps[index];
                    step.wake_at = None;
                    step.fault = Some(fault);
                    Ok(())
                }
            }
        }
    }

    // A failed attempt: another one later, or what the plan says of a final failure.
    pub(super) fn fail(&mut self, index: usize, fault: Fault, last: bool) -> Checked {
        let forward = self.is_forward();
        let step = &mut self.machine.record.steps[index];
        step.fault = Some(fault.clone());
        let retry = step.spec.retry;
        if forward && !last && step.tries < retry.attempts {
            let wake = self.at.plus(backoff(retry.backoff_ms, step.tries));
            self.step_to(index, StepState::Backoff)?;
            self.machine.record.steps[index].wake_at = Some(wake);
            return Ok(());
        }
        self.step_to(index, StepState::Failed)?;
        let on_failure = self.machine.record.steps[index].spec.on_failure;
        if forward && on_failure == OnFailure::Compensate && !self.machine.record.is_past_pivot() {
            self.compensate(fault)?;
        }
        Ok(())
    }

    pub(super) fn go_forward(&mut self) -> Checked {
        loop {
            let person = self.machine.record.steps.iter().find(|step| step.needs_person());
            let fault = person.and_then(|step| step.fault.clone());
            match (self.state(), person.is_some()) {
                (RunState::Running, true) => {
                    self.machine.record.run.fault = fault;
                    self.run_to(RunState::Blocked)?;
                }
                (RunState::Blocked, false) => {
                    self.machine.record.run.fault = None;
                    self.run_to(RunState::Running)?;
                }
                _ => {}
            }
            if !self.machine.held {
                self.probe_due();
            }
            if self.state() != RunState::Running {
                return Ok(());
            }
            if self.machine.record.steps.iter().all(is_passed) {
                return self.run_to(RunState::Succeeded);
            }
            // A step of an unknown kind fails as it begins, which changes what else may begin.
            if !self.begin_ready()? {
                return Ok(());
            }
            if !self.is_forward() {
                return self.advance();
            }
        }
    }

    fn probe_due(&mut self) {
        for index in 0..self.machine.record.steps.len() {
            let step = &self.machine.record.steps[index];
            let asks = matches!(step.state, StepState::Running | StepState::InDoubt) && self.machine.busy[index] == Busy::Idle;
            if asks && self.is_due(step.wake_at) {
                self.probe(index);
            }
        }
    }

    // Begins whatever may begin; whether a step failed at once.
    fn begin_ready(&mut self) -> Checked<bool> {
        for index in 0..self.machine.record.steps.len() {
            let steps = &self.machine.record.steps;
            let step = &steps[index];
            let passed = |key: &String| steps.iter().find(|s| s.spec.key == *key).is_some_and(is_passed);
            if step.state == StepState::Waiting && step.spec.after.iter().all(passed) {
                self.step_to(index, StepState::Ready)?;
            }
            let step = &self.machine.record.steps[index];
            let due = match step.state {
                StepState::Ready => true,
                StepState::Backoff => self.is_due(step.wake_at),
                _ => false,
            };
            if due && !self.machine.held && !self.begin(index)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn begin(&mut self, index: usize) -> Checked<bool> {
        let Some(class) = self.machine.class(index) else {
            let kind = &self.machine.record.steps[index].spec.kind;
            let fault = Fault::new("internal", format!("This version of Greenroom has no step kind `{kind}`"));
            self.fail(index, fault, true)?;
            return Ok(false);
        };
        self.step_to(index, StepState::Running)?;
        let step = &mut self.machine.record.steps[index];
        // A key in doubt is sent again: another one could take effect a second time.
        let same = step.unclear && class == EffectClass::Keyed && step.attempt > 0;
        if !same {
            step.attempt += 1;
        }
        step.tries += 1;
        self.machine.busy[index] = Busy::Applying;
        let op = self.forward_op(index);
        self.commands
            .push(if same { Command::Resume(op) } else { Command::Begin(op) });
        Ok(true)
    }
}

/// The fault of a step of which nobody knows whether it took effect.
pub(super) fn in_doubt(title: &str) -> Fault {
    Fault::new("in-doubt", format!("It is not known whether “{title}” took effect"))
        .why("the server stopped between its start and its outcome")
}

fn is_passed(step: &crate::model::record::StepRow) -> bool {
    match step.state {
        StepState::Succeeded | StepState::Skipped => true,
        StepState::Failed => step.spec.on_failure == OnFailure::Continue,
        _ => false,
    }
}
