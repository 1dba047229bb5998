//! Taking a run over: what to do about attempts that have an intent and no outcome.

use super::forward::in_doubt;
use super::{Busy, Checked, Command, Deciding, Direction, Op, is_repeatable};
use crate::model::fault::Fault;
use crate::model::plan::EffectClass;
use crate::model::run::{RunState, StepState};
use std::collections::BTreeMap;

impl Deciding {
    pub(super) fn claimed(&mut self, classes: &BTreeMap<String, EffectClass>, hold: bool) -> Checked {
        self.machine.classes.clone_from(classes);
        self.machine.held = hold;
        self.machine.busy.fill(Busy::Idle);
        self.machine.probes.fill(0);
        if self.state() == RunState::Pending {
            self.run_to(RunState::Running)?;
        }
        for index in 0..self.machine.record.steps.len() {
            let step = &self.machine.record.steps[index];
            match step.state {
                StepState::Running if self.is_forward() => self.take_up(index)?,
                StepState::Running => self.give_up(index)?,
                StepState::Undoing if step.wake_at.is_none() => {
                    let op = Op {
                        step: index,
                        direction: Direction::Undo,
                        attempt: step.undo_attempt,
                    };
                    self.machine.busy[index] = Busy::Undoing;
                    self.commands.push(Command::Resume(op));
                }
                StepState::InDoubt if step.wake_at.is_some() && self.is_forward() => self.probe(index),
                _ => {}
            }
        }
        Ok(())
    }

    // The class alone decides.
    fn take_up(&mut self, index: usize) -> Checked {
        let op = self.forward_op(index);
        let title = self.machine.record.steps[index].spec.title.clone();
        self.machine.record.steps[index].wake_at = None;
        match self.machine.class(index) {
            Some(class) if is_repeatable(class) => {
                self.machine.busy[index] = Busy::Applying;
                self.commands.push(Command::Resume(op));
                Ok(())
            }
            Some(EffectClass::Raw) | None => self.doubt(op, in_doubt(&title)),
            Some(_) => {
                self.probe(index);
                Ok(())
            }
        }
    }

    // Nobody wants its effect any more, and its undo copes with half of one.
    pub(super) fn give_up(&mut self, index: usize) -> Checked {
        let op = self.forward_op(index);
        let title = self.machine.record.steps[index].spec.title.clone();
        if self.machine.class(index).is_some_and(is_repeatable) {
            self.settle(op, "stopped");
            self.step_to(index, StepState::Failed)?;
            let step = &mut self.machine.record.steps[index];
            step.unclear = true;
            step.fault = Some(Fault::new("cancelled", format!("“{title}” was stopped before its end")));
            return Ok(());
        }
        self.doubt(op, in_doubt(&title))
    }
}
