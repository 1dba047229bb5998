//! What people say. A word that does not fit the state is refused with the reason, and changes nothing.

use super::{Busy, Checked, Deciding};
use crate::model::fault::Fault;
use crate::model::record::Action;
use crate::model::run::{RunState, Signal, StepState};

impl Deciding {
    pub(super) fn signalled(&mut self, actor: &str, signal: &Signal) -> Checked {
        let action = Action::of(signal);
        if !self.machine.record.allows(action) {
            let why = if action == Action::Cancel && self.is_forward() {
                "the run is past the point where it can be undone".to_owned()
            } else {
                format!("the run is {}, and there is nothing to {}", self.state(), action.as_str())
            };
            self.refused = Some(why);
            return Ok(());
        }
        match signal {
            Signal::Cancel { reason } => {
                self.machine.record.run.cancelled = Some(worded(actor, reason));
                let cause = Fault::new("cancelled", format!("It was cancelled by {actor}")).why(reason);
                self.compensate(cause)
            }
            Signal::Retry { step } => self.retry(step.as_deref()),
            Signal::Skip { step, reason } => self.decide(action, step, StepState::Skipped, &worded(actor, reason)),
            Signal::Complete { step, reason } => self.decide(action, step, StepState::Succeeded, &worded(actor, reason)),
            Signal::Abandon { reason } => {
                self.machine.record.run.cancelled = Some(worded(actor, reason));
                for index in 0..self.machine.record.steps.len() {
                    if matches!(self.machine.record.steps[index].state, StepState::Waiting | StepState::Ready) {
                        self.step_to(index, StepState::Cancelled)?;
                    }
                }
                self.run_to(RunState::Abandoned)
            }
        }
    }

    fn retry(&mut self, only: Option<&str>) -> Checked {
        let record = &self.machine.record;
        let chosen: Vec<usize> = (0..record.steps.len())
            .filter(|index| only.is_none_or(|key| record.steps[*index].spec.key == key))
            .filter(|index| record.accepts(Action::Retry, &record.steps[*index]) && self.machine.busy[*index] == Busy::Idle)
            .collect();
        if chosen.is_empty() {
            self.refused = Some("no such step waits for another try".into());
            return Ok(());
        }
        for index in chosen {
            match self.machine.record.steps[index].state {
                // The person says that it did not take effect, or that it does no harm twice.
                state @ (StepState::Failed | StepState::InDoubt) => {
                    self.step_to(index, StepState::Ready)?;
                    let step = &mut self.machine.record.steps[index];
                    step.unclear &= state == StepState::Failed;
                    step.tries = 0;
                }
                StepState::UndoFailed => {
                    self.step_to(index, StepState::Undoing)?;
                    self.machine.record.steps[index].tries = 0;
                    self.machine.record.steps[index].wake_at = Some(self.at);
                }
                _ => self.machine.record.steps[index].wake_at = Some(self.at),
            }
        }
        self.unstick()
    }

    fn decide(&mut self, action: Action, key: &str, to: StepState, note: &str) -> Checked {
        let record = &self.machine.record;
        let chosen = record.steps.iter().position(|step| step.spec.key == key);
        let fits = |index: &usize| record.accepts(action, &record.steps[*index]) && self.machine.busy[*index] == Busy::Idle;
        let Some(index) = chosen.filter(fits) else {
            self.refused = Some(format!("step `{key}` does not wait for a person"));
            return Ok(());
        };
        match self.machine.record.steps[index].state {
            StepState::UndoFailed => self.step_to(index, StepState::Undone)?,
            StepState::InDoubt => {
                let op = self.forward_op(index);
                self.settle(op, "by_hand");
                self.step_to(index, to)?;
            }
            _ => self.step_to(index, to)?,
        }
        note.clone_into(&mut self.machine.record.steps[index].note);
        self.machine.record.steps[index].unclear = false;
        self.unstick()
    }

    fn unstick(&mut self) -> Checked {
        if self.state() == RunState::Stuck {
            self.run_to(RunState::Compensating)?;
        }
        Ok(())
    }
}

fn worded(actor: &str, reason: &str) -> String {
    format!("{actor}: {reason}")
}
