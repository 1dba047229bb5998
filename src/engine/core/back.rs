//! Going back: undoing what was done, last first.

use super::{Busy, Checked, Command, Deciding, Direction, Op, Outcome, UNDO_TRIES, backoff};
use crate::model::fault::Fault;
use crate::model::run::{RunState, StepState};

const UNDO_BACKOFF_MS: i64 = 250;

impl Deciding {
    /// Turns the run back: nothing new begins, what is under way is told to stop, and what was done is undone.
    pub(super) fn compensate(&mut self, cause: Fault) -> Checked {
        self.run_to(RunState::Compensating)?;
        self.machine.record.run.fault = Some(cause);
        for index in 0..self.machine.record.steps.len() {
            match (self.machine.record.steps[index].state, self.machine.busy[index]) {
                (StepState::Waiting | StepState::Ready, _) => self.step_to(index, StepState::Cancelled)?,
                (StepState::Backoff, _) => self.step_to(index, StepState::Failed)?,
                (StepState::Running, Busy::Applying) => self.commands.push(Command::Stop(index)),
                (StepState::Running, Busy::Idle) => self.give_up(index)?,
                (StepState::InDoubt, _) => self.machine.record.steps[index].wake_at = None,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn undo_settled(&mut self, op: Op, outcome: &Outcome) -> Checked {
        let (fault, last) = match outcome {
            Outcome::Done { .. } => {
                self.settle(op, "done");
                return self.step_to(op.step, StepState::Undone);
            }
            Outcome::Failed { fault } | Outcome::Unclear { fault } => (fault.clone(), false),
            Outcome::Final { fault } => (fault.clone(), true),
            Outcome::Stopped => (Fault::new("undo-failed", "The clean-up was stopped before its end"), false),
        };
        self.settle(op, "failed");
        let step = &mut self.machine.record.steps[op.step];
        step.fault = Some(fault);
        if last || step.tries >= step.spec.retry.attempts.max(UNDO_TRIES) {
            return self.step_to(op.step, StepState::UndoFailed);
        }
        let first = step.spec.retry.backoff_ms.clamp(1, UNDO_BACKOFF_MS);
        step.wake_at = Some(self.at.plus(backoff(first, step.tries)));
        Ok(())
    }

    pub(super) fn go_back(&mut self) -> Checked {
        let count = self.machine.record.steps.len();
        let order = self.first_to_last();
        // Whether nothing of the step, and of all that came after it, is left to undo.
        let mut clean = vec![false; count];
        let mut working = false;
        let mut failed = false;
        for index in order.into_iter().rev() {
            let steps = &self.machine.record.steps;
            let step = &steps[index];
            let later_clean = (0..count).all(|later| clean[later] || !steps[later].spec.after.contains(&step.spec.key));
            match step.state {
                // What runs forward is let end first: an undo beside its own attempt would race it.
                _ if self.machine.busy[index] != Busy::Idle => working = true,
                StepState::Undoing => {
                    if self.is_due(step.wake_at) && !self.machine.held {
                        self.undo(index)?;
                    }
                    let given_up = self.machine.record.steps[index].state == StepState::UndoFailed;
                    failed |= given_up;
                    working |= !given_up;
                }
                StepState::UndoFailed => failed = true,
                StepState::Undone => clean[index] = later_clean,
                _ if !step.is_to_undo() => clean[index] = later_clean,
                _ if later_clean => {
                    if !self.machine.held {
                        self.undo(index)?;
                    }
                    let given_up = self.machine.record.steps[index].state == StepState::UndoFailed;
                    failed |= given_up;
                    working |= !given_up;
                }
                _ => {}
            }
        }
        if clean.iter().all(|clean| *clean) {
            let cancelled = self.machine.record.run.cancelled.is_some();
            return self.run_to(if cancelled { RunState::Cancelled } else { RunState::Failed });
        }
        if failed && !working {
            return self.run_to(RunState::Stuck);
        }
        Ok(())
    }

    fn undo(&mut self, index: usize) -> Checked {
        if self.machine.record.steps[index].state != StepState::Undoing {
            self.step_to(index, StepState::Undoing)?;
            self.machine.record.steps[index].tries = 0;
        }
        let known = self.machine.class(index).is_some();
        let step = &mut self.machine.record.steps[index];
        step.wake_at = None;
        if !known {
            let kind = &step.spec.kind;
            step.fault = Some(Fault::new(
                "internal",
                format!("This version of Greenroom has no step kind `{kind}`"),
            ));
            return self.step_to(index, StepState::UndoFailed);
        }
        step.undo_attempt += 1;
        step.tries += 1;
        let op = Op {
            step: index,
            direction: Direction::Undo,
            attempt: step.undo_attempt,
        };
        self.machine.busy[index] = Busy::Undoing;
        self.commands.push(Command::Begin(op));
        Ok(())
    }

    // The steps in an order in which each comes after all it waits for.
    fn first_to_last(&self) -> Vec<usize> {
        let steps = &self.machine.record.steps;
        let mut order: Vec<usize> = Vec::with_capacity(steps.len());
        while order.len() < steps.len() {
            let before = order.len();
            for index in 0..steps.len() {
                let placed = |key: &String| order.iter().any(|earlier| steps[*earlier].spec.key == *key);
                if !order.contains(&index) && steps[index].spec.after.iter().all(placed) {
                    order.push(index);
                }
            }
            // A plan in a circle is refused when it is stored; this only keeps a damaged row from hanging the worker.
            if order.len() == before {
                let rest: Vec<usize> = (0..steps.len()).filter(|index| !order.contains(index)).collect();
                order.extend(rest);
            }
        }
        order
    }
}
