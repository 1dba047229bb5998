//! From events to one transaction: what the core decides, as rows. It touches neither the database nor a task.

use super::attempt::op_id;
use super::core::{Command, Direction, Event, Found, Machine, Op, Outcome};
use super::driver::{Alive, Driver, Heard, mistaken};
use crate::model::fault::Fault;
use crate::store::runs::journal::Head;
use crate::store::runs::progress::{Hold, Intent, Progress, Settled};
use serde_json::Value;
use std::collections::BTreeMap;

/// What some events lead to: what is stored first, and what is then true and to be done.
pub(super) struct Decision {
    pub(super) progress: Progress,
    pub(super) machine: Machine,
    pub(super) head: Head,
    pub(super) commands: Vec<Command>,
}

impl Driver {
    /// Takes events into account one by one, at one time; none where nothing comes of them.
    pub(super) fn decide(&self, events: Vec<Heard>) -> Alive<Option<Decision>> {
        let run = &self.lease.run;
        let at = self.engine.store.now();
        let mut machine = self.machine.clone();
        let mut head = self.head.clone();
        let mut commands = Vec::new();
        let mut settled: BTreeMap<String, Settled> = BTreeMap::new();
        let (mut entries, mut heard) = (Vec::new(), Vec::new());
        for (event, signal) in events {
            let turn = machine.step(&event, at).map_err(mistaken)?;
            if event == Event::Woken && turn.machine == machine {
                continue;
            }
            for command in &turn.commands {
                if let Command::Settle { op, outcome } = command {
                    let op_id = self.op_id(*op);
                    let fault = fault_of(&event);
                    settled.insert(op_id.clone(), Settled { op_id, outcome, fault });
                }
            }
            let actor = match &event {
                Event::Signalled { actor, .. } => actor.as_str(),
                _ => "system:engine",
            };
            let body = self.body(&event).map_err(mistaken)?;
            entries.push(head.follow(run, at, actor, event.name(), body));
            if let Some(id) = signal {
                let answer = turn
                    .refused
                    .map_or_else(|| "taken".to_owned(), |why| format!("refused: {why}"));
                heard.push((id, answer));
            }
            machine = turn.machine;
            commands.extend(turn.commands);
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let intents = self.intents(&mut machine, &commands);
        let before = &self.machine.record;
        let changed = (0_i64..).zip(before.steps.iter().zip(&machine.record.steps));
        let steps = changed
            .filter(|(_, (old, new))| old != new)
            .map(|(position, (_, new))| (position, new.clone()));
        let hold = if machine.is_resting() {
            Hold::Rest
        } else {
            Hold::Keep(self.engine.options.lease_ms())
        };
        let progress = Progress {
            lease: self.lease.clone(),
            hold,
            run: machine.record.run.clone(),
            listed: before.run.state != machine.record.run.state,
            steps: steps.collect(),
            intents,
            settled: settled.into_values().collect(),
            heard,
            before: self.head.clone(),
            entries,
        };
        Ok(Some(Decision {
            progress,
            machine,
            head,
            commands,
        }))
    }

    // An intent for each attempt that begins; and each step says what it waits for while it works.
    fn intents(&self, machine: &mut Machine, commands: &[Command]) -> Vec<Intent> {
        let mut intents = Vec::new();
        for command in commands {
            if let Command::Begin(op) | Command::Resume(op) = command {
                let step = &mut machine.record.steps[op.step];
                let kind = self.engine.kinds.get(&step.spec.kind);
                let words = kind
                    .filter(|_| op.direction == Direction::Do)
                    .and_then(|k| k.waits_for(&step.spec.input));
                step.waiting_for = words.unwrap_or_default();
            }
            if let Command::Begin(op) = command {
                intents.push(Intent {
                    step: machine.record.steps[op.step].spec.key.clone(),
                    direction: op.direction.as_str(),
                    attempt: op.attempt,
                    op_id: self.op_id(*op),
                });
            }
        }
        intents
    }

    pub(super) fn op_id(&self, op: Op) -> String {
        let key = &self.machine.record.steps[op.step].spec.key;
        op_id(&self.lease.run, key, op.direction, op.attempt)
    }

    // The event, with the step's key for whoever reads it.
    fn body(&self, event: &Event) -> Result<String, serde_json::Error> {
        let mut body = serde_json::to_value(event)?;
        if let (Some(step), Value::Object(fields)) = (event.step(), &mut body) {
            let key = self.machine.record.steps[step].spec.key.clone();
            fields.insert("key".into(), Value::String(key));
        }
        serde_json::to_string(&body)
    }
}

fn fault_of(event: &Event) -> Option<Fault> {
    match event {
        Event::Settled {
            outcome: Outcome::Failed { fault } | Outcome::Final { fault } | Outcome::Unclear { fault },
            ..
        }
        | Event::Probed {
            found: Found::Unavailable { fault },
            ..
        } => Some(fault.clone()),
        _ => None,
    }
}

/// An entry's name with the step it is about, for crash points.
pub(super) fn named(kind: &str, body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match (
        body.get("key").and_then(Value::as_str),
        body.pointer("/op/direction").and_then(Value::as_str),
    ) {
        (Some(key), Some(direction)) => format!("{kind} {direction} {key}"),
        (Some(key), None) => format!("{kind} {key}"),
        _ => kind.to_owned(),
    }
}
