//! A model of everything around the engine's core, for the simulation: a store that keeps or loses commits and their answers,
//! workers that crash, fall asleep and wake up late, effectors with ledgers of their own, people, and a clock that jumps.

use greenroom::engine::core::{Command, Direction, Event, Found, Machine, Op, Outcome, is_repeatable};
use greenroom::model::fault::Fault;
use greenroom::model::plan::EffectClass;
use greenroom::model::record::RunRecord;
use greenroom::model::run::{RunState, Signal, StepState};
use greenroom::model::time::Timestamp;
use rand::RngExt;
use rand::rngs::SmallRng;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub const TTL: i64 = 10_000;

/// The store: rows, journal, lease.
pub struct Db {
    pub record: RunRecord,
    pub journal: Vec<(Event, Timestamp)>,
    pub intents: BTreeSet<Op>,
    pub settled: BTreeSet<Op>,
    pub epoch: i64,
    pub held: bool,
    pub lease_until: i64,
    pub due: bool,
    pub signals: Vec<Signal>,
}

/// An attempt under way in some worker.
#[derive(Clone, Copy)]
struct Task {
    op: Op,
    probe: bool,
    told_to_stop: bool,
}

/// A process that drives the run, as far as it knows.
struct Worker {
    machine: Machine,
    epoch: i64,
    // By its own clock.
    renewed: i64,
    asleep: bool,
    tasks: Vec<Task>,
}

/// The effectors' own books.
#[derive(Default)]
pub struct Effects {
    pub in_effect: BTreeMap<usize, Op>,
    pub applied: BTreeMap<Op, u32>,
    highest: i64,
}

pub struct World {
    pub db: Db,
    pub effects: Effects,
    workers: Vec<Option<Worker>>,
    classes: BTreeMap<String, EffectClass>,
    pub now: i64,
    cancelled: bool,
    retried: bool,
    pub calm: bool,
}

fn fault(code: &'static str) -> Fault {
    Fault::new(code, "Simulated")
}

impl World {
    pub fn new(record: RunRecord, classes: BTreeMap<String, EffectClass>) -> Self {
        Self {
            db: Db {
                record,
                journal: Vec::new(),
                intents: BTreeSet::new(),
                settled: BTreeSet::new(),
                epoch: 0,
                held: false,
                lease_until: 0,
                due: true,
                signals: Vec::new(),
            },
            effects: Effects::default(),
            workers: (0..3).map(|_| None).collect(),
            classes,
            now: 1_000_000,
            cancelled: false,
            retried: false,
            calm: false,
        }
    }

    fn class(&self, step: usize) -> EffectClass {
        self.classes[&self.db.record.steps[step].spec.kind]
    }

    /// Says something to the run.
    pub fn say(&mut self, signal: Signal) {
        let over = self.db.record.run.state.is_ended() && self.db.record.run.state != RunState::Stuck;
        if !over {
            self.retried |= matches!(signal, Signal::Retry { .. });
            self.db.signals.push(signal);
            self.db.due = true;
        }
    }

    /// Whether nothing will happen by itself any more.
    pub fn is_at_rest(&self) -> bool {
        !self.db.due && !self.db.held
    }

    /// One thing happens to one of the workers.
    pub fn happen(&mut self, rng: &mut SmallRng) {
        let index = rng.random_range(0..self.workers.len());
        let Some(mut worker) = self.workers[index].take() else {
            self.claim(index, rng);
            return;
        };
        if worker.asleep {
            worker.asleep = !(self.calm || rng.random_bool(0.2));
            self.workers[index] = Some(worker);
            return;
        }
        let alive = match rng.random_range(0..20) {
            // Killed: what it had begun may take effect in its last moment.
            0 if !self.calm => {
                for task in worker.tasks.clone() {
                    if rng.random_bool(0.3) {
                        self.work(&worker, task, rng);
                    }
                }
                false
            }
            1 if !self.calm => {
                worker.asleep = true;
                true
            }
            2 | 3 => self.renew(&mut worker),
            4 | 5 => self.hear(&mut worker, rng),
            6 | 7 => self.take(&mut worker, vec![Event::Woken], rng),
            _ => self.finish(&mut worker, rng),
        };
        if alive && !worker.machine.is_resting() {
            self.workers[index] = Some(worker);
        }
    }

    // A free worker takes the run over where its lease has ended.
    fn claim(&mut self, index: usize, rng: &mut SmallRng) {
        let free = !self.db.held || self.db.lease_until <= self.now || self.db.lease_until > self.now + 3 * TTL;
        if !self.db.due || !free {
            return;
        }
        self.db.epoch += 1;
        self.db.held = true;
        self.db.lease_until = self.now + TTL;
        let mut worker = Worker {
            machine: Machine::new(self.db.record.clone()),
            epoch: self.db.epoch,
            renewed: self.now,
            asleep: false,
            tasks: Vec::new(),
        };
        let signals = std::mem::take(&mut self.db.signals);
        let hold = !signals.is_empty();
        let mut events = vec![Event::Claimed {
            boot_id: format!("boot_{index}"),
            term: 1,
            epoch: worker.epoch,
            classes: self.classes.clone(),
            hold,
        }];
        events.extend(signals.iter().map(said));
        if hold {
            events.push(Event::Held { on: false });
        }
        let before = self.db.journal.len();
        if !self.take(&mut worker, events, rng) {
            // It died before or after the commit; a signal is consumed only by the commit.
            if self.db.journal.len() == before {
                self.db.signals = signals;
            }
        } else if !worker.machine.is_resting() {
            self.workers[index] = Some(worker);
        }
    }

    fn holds(&self, worker: &Worker) -> bool {
        self.db.held && self.db.epoch == worker.epoch
    }

    fn renew(&mut self, worker: &mut Worker) -> bool {
        if self.holds(worker) {
            self.db.lease_until = self.now + TTL;
            worker.renewed = self.now;
            return true;
        }
        false
    }

    fn hear(&mut self, worker: &mut Worker, rng: &mut SmallRng) -> bool {
        if self.db.signals.is_empty() {
            return true;
        }
        let signals = std::mem::take(&mut self.db.signals);
        let before = self.db.journal.len();
        let alive = self.take(worker, signals.iter().map(said).collect(), rng);
        if self.db.journal.len() == before {
            self.db.signals = signals;
        }
        alive
    }

    // One of the attempts under way comes to its end.
    fn finish(&mut self, worker: &mut Worker, rng: &mut SmallRng) -> bool {
        if worker.tasks.is_empty() {
            return true;
        }
        let task = worker.tasks.swap_remove(rng.random_range(0..worker.tasks.len()));
        let event = self.work(worker, task, rng);
        self.take(worker, vec![event], rng)
    }

    // What the driver does with events: decide, store under the token, then begin. False where the worker is gone.
    fn take(&mut self, worker: &mut Worker, events: Vec<Event>, rng: &mut SmallRng) -> bool {
        let at = Timestamp(self.now);
        let mut machine = worker.machine.clone();
        let (mut commands, mut stored) = (Vec::new(), Vec::new());
        for event in events {
            let turn = machine.step(&event, at).unwrap();
            let before = machine.record.run.state;
            let over = before.is_ended() && before != RunState::Stuck;
            assert!(
                !over || turn.machine.record == machine.record,
                "{event:?} changed an ended run: {:#?}",
                turn.machine.record
            );
            if event == Event::Woken && turn.machine == machine {
                continue;
            }
            machine = turn.machine;
            commands.extend(turn.commands);
            stored.push((event, at));
        }
        if stored.is_empty() {
            return true;
        }
        // Killed before the commit; or its token is stale, and then nothing is written and everything is dropped.
        if !self.calm && rng.random_bool(0.02) || !self.holds(worker) {
            return false;
        }
        self.commit(&machine, &commands, stored);
        worker.machine = machine;
        worker.renewed = self.now;
        // Killed after the commit.
        if !self.calm && rng.random_bool(0.02) {
            return false;
        }
        for command in commands {
            match command {
                Command::Begin(op) | Command::Resume(op) => self.begin(worker, op, false),
                Command::Probe(op) => self.begin(worker, op, true),
                Command::Stop(step) => {
                    for task in worker.tasks.iter_mut().filter(|task| task.op.step == step) {
                        task.told_to_stop = true;
                    }
                }
                Command::Settle { .. } => {}
            }
        }
        true
    }

    fn commit(&mut self, machine: &Machine, commands: &[Command], stored: Vec<(Event, Timestamp)>) {
        for command in commands {
            match command {
                Command::Begin(op) => {
                    self.check_begin(machine, *op);
                    assert!(self.db.intents.insert(*op), "{op:?} has an intent already");
                }
                Command::Settle { op, .. } => {
                    assert!(self.db.intents.contains(op), "an outcome without an intent: {op:?}");
                    self.db.settled.insert(*op);
                }
                _ => {}
            }
        }
        self.cancelled |= machine.record.run.cancelled.is_some();
        self.db.journal.extend(stored);
        self.db.record = machine.record.clone();
        self.db.lease_until = self.now + TTL;
        if machine.is_resting() {
            assert!(machine.is_idle(), "a run rests while something is under way");
            self.db.held = false;
            let over = machine.record.run.state.is_ended() && machine.record.run.state != RunState::Stuck;
            if over {
                self.db.signals.clear();
            }
            self.db.due = !self.db.signals.is_empty();
        }
    }

    // I4, I5: what may begin.
    fn check_begin(&self, machine: &Machine, op: Op) {
        let steps = &machine.record.steps;
        let key = &steps[op.step].spec.key;
        match op.direction {
            Direction::Do => {
                assert!(!self.cancelled, "{key} began after the run was cancelled");
                for before in &steps[op.step].spec.after {
                    let before = steps.iter().find(|s| s.spec.key == *before).unwrap();
                    let passed = matches!(before.state, StepState::Succeeded | StepState::Skipped | StepState::Failed);
                    assert!(passed, "{key} began before {} had ended", before.spec.key);
                }
            }
            Direction::Undo => {
                for later in steps.iter().filter(|s| s.spec.after.contains(key)) {
                    let gone = !later.is_to_undo() || later.state == StepState::Undone;
                    assert!(gone, "{key} was undone before {}", later.spec.key);
                }
                assert!(!machine.record.is_past_pivot(), "a run was undone past its pivot");
            }
        }
    }

    fn begin(&mut self, worker: &mut Worker, op: Op, probe: bool) {
        assert!(self.db.intents.contains(&op), "I1: {op:?} has no durable intent");
        assert!(
            worker.tasks.iter().all(|task| task.op.step != op.step),
            "{op:?} was begun while under way"
        );
        worker.tasks.push(Task {
            op,
            probe,
            told_to_stop: false,
        });
    }

    // The effect itself, at an effector that refuses a token lower than one it has seen.
    fn work(&mut self, worker: &Worker, task: Task, rng: &mut SmallRng) -> Event {
        let op = task.op;
        let settled = |outcome| Event::Settled { op, outcome };
        if task.probe {
            // A probe shows its token too: what an earlier holder began may not take effect after the answer.
            self.effects.highest = self.effects.highest.max(worker.epoch);
            let found = match self.effects.in_effect.get(&op.step) {
                _ if self.class(op.step) == EffectClass::Raw || !self.calm && rng.random_bool(0.1) => Found::Unknown,
                _ if !self.calm && rng.random_bool(0.2) => Found::Unavailable {
                    fault: fault("agent-lost"),
                },
                Some(_) => Found::Applied { outputs: Value::Null },
                None => Found::NotApplied,
            };
            return Event::Probed { step: op.step, found };
        }
        if worker.epoch < self.effects.highest {
            return settled(Outcome::Stopped);
        }
        self.effects.highest = worker.epoch;
        let luck: u32 = rng.random_range(0..100);
        if op.direction == Direction::Undo {
            return settled(match luck {
                0..=9 if !self.calm => Outcome::Failed {
                    fault: fault("state-failed"),
                },
                10..=11 if !self.calm => Outcome::Final {
                    fault: fault("state-failed"),
                },
                12..=17 if !self.calm => Outcome::Unclear {
                    fault: fault("timed-out"),
                },
                _ => {
                    self.effects.in_effect.remove(&op.step);
                    Outcome::Done { outputs: Value::Null }
                }
            });
        }
        if task.told_to_stop && luck < 70 {
            if luck < 30 {
                self.apply(op);
            }
            return settled(Outcome::Stopped);
        }
        settled(match luck {
            0..=11 => Outcome::Failed {
                fault: fault("state-failed"),
            },
            12..=14 => Outcome::Final {
                fault: fault("state-failed"),
            },
            15..=22 => {
                if luck.is_multiple_of(2) {
                    self.apply(op);
                }
                Outcome::Unclear {
                    fault: fault("timed-out"),
                }
            }
            _ => {
                self.apply(op);
                Outcome::Done { outputs: Value::Null }
            }
        })
    }

    fn apply(&mut self, op: Op) {
        let class = self.class(op.step);
        let known = match class {
            EffectClass::Pure => return,
            EffectClass::Keyed => self.effects.applied.contains_key(&op),
            EffectClass::Convergent => self.effects.in_effect.contains_key(&op.step),
            _ => false,
        };
        if known {
            self.effects.in_effect.entry(op.step).or_insert(op);
            return;
        }
        // I2. What can be repeated by nobody else must not be repeated by us.
        let count = self.effects.applied.entry(op).or_default();
        *count += 1;
        assert!(
            *count == 1 || class == EffectClass::Convergent,
            "{op:?} took effect {count} times"
        );
        if !is_repeatable(class) {
            let before = self.effects.in_effect.get(&op.step);
            // A person who asks for another try takes it upon themselves that the one before did nothing.
            assert!(before.is_none() || self.retried, "{op:?} took effect on top of {before:?}");
        }
        self.effects.in_effect.insert(op.step, op);
    }

    /// The last worker may have died in its sleep; the lease runs out.
    pub fn pass(&mut self, millis: i64) {
        self.now += millis;
    }
}

fn said(signal: &Signal) -> Event {
    Event::Signalled {
        actor: "user:sim".into(),
        signal: signal.clone(),
    }
}
