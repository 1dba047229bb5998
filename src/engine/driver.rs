//! Driving one run: events in, one transaction, effects out. Invariant: nothing is begun that is not stored, and nothing is
//! stored or begun without the lease.

use super::attempt::{Attempt, StoredLog, broken, point_name};
use super::core::{Busy, Command, Direction, Event, Machine, Op, Outcome, is_repeatable};
use super::decide::{Decision, named};
use super::kind::{StepContext, StepLog};
use super::worker::Engine;
use crate::model::plan::EffectClass;
use crate::model::run::RunState;
use crate::store::runs::claim::{Claim, Lease};
use crate::store::runs::journal::Head;
use crate::store::runs::progress::Written;
use crate::store::{Change, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How driving a run ended.
#[derive(Debug)]
pub(super) enum Over {
    /// The run rests or was given back.
    Done,
    /// Someone else has the lease, or may have.
    Lost,
    /// The engine itself cannot go on with it.
    Mistaken(String),
}

pub(super) type Alive<T = ()> = Result<T, Over>;

// An event with the id of the signal it came from.
pub(super) type Heard = (Event, Option<String>);

struct Task {
    op: Op,
    probe: bool,
    cancel: CancellationToken,
}

pub(super) struct Driver {
    pub(super) engine: Engine,
    pub(super) lease: Lease,
    pub(super) head: Head,
    pub(super) machine: Machine,
    tasks: JoinSet<Event>,
    under_way: HashMap<Id, Task>,
    // When the lease was last known to be ours, by this process's own clock.
    renewed: Instant,
    stopping: Option<Instant>,
}

impl Driver {
    pub(super) fn new(engine: Engine, claim: Claim) -> Self {
        Self {
            engine,
            lease: claim.lease,
            head: claim.head,
            machine: Machine::new(claim.record),
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            renewed: Instant::now(),
            stopping: None,
        }
    }

    /// Drives until the run rests, the lease is lost, or `cancel` fires. Dropping the future drops every task of it.
    pub(super) async fn drive(mut self, cancel: CancellationToken) -> Over {
        let over = match self.go(&cancel).await {
            Ok(()) => Over::Done,
            Err(over) => over,
        };
        for task in self.under_way.values() {
            task.cancel.cancel();
        }
        over
    }

    async fn go(&mut self, cancel: &CancellationToken) -> Alive {
        let mut changes = self.engine.store.changes();
        self.take_over().await?;
        while !self.machine.is_resting() {
            if self.stopping.is_some() && self.tasks.is_empty() {
                return self.give_back().await;
            }
            let lease = self.engine.options.lease;
            let renewal = self.renewed + lease.mul_f32(0.3);
            let wake = self.wake();
            let topic = format!("signal:{}", self.lease.run);
            tokio::select! {
                () = cancel.cancelled(), if self.stopping.is_none() => self.begin_stopping().await?,
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => self.ended(ended).await?,
                () = said(&mut changes, &topic) => self.hear().await?,
                () = tokio::time::sleep_until(renewal) => {
                    self.renew().await?;
                    self.hear().await?;
                }
                () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {
                    self.take(vec![(Event::Woken, None)]).await?;
                }
                () = tokio::time::sleep_until(self.stopping.unwrap_or(renewal)), if self.stopping.is_some() => {
                    self.tasks.abort_all();
                    return self.give_back().await;
                }
            }
        }
        Ok(())
    }

    // Everything that was said meanwhile is heard before anything new begins.
    async fn take_over(&mut self) -> Alive {
        let said = self.unheard().await?;
        let hold = !said.is_empty();
        let classes = self.machine.record.steps.iter().filter_map(|step| {
            let kind = self.engine.kinds.get(&step.spec.kind)?;
            Some((step.spec.kind.clone(), kind.class()))
        });
        let claimed = Event::Claimed {
            boot_id: self.lease.boot_id.clone(),
            term: self.lease.term,
            epoch: self.lease.epoch,
            classes: classes.collect(),
            hold,
        };
        let mut events = vec![(claimed, None)];
        if hold {
            events.extend(said);
            events.push((Event::Held { on: false }, None));
        }
        self.take(events).await
    }

    async fn unheard(&self) -> Alive<Vec<Heard>> {
        let signals = loop {
            match self.engine.store.unheard_signals(&self.lease.run).await {
                Ok(signals) => break signals,
                Err(error @ StoreError::Corrupt { .. }) => return Err(mistaken(error)),
                Err(error) => self.wait_for_store(&error).await?,
            }
        };
        let events = signals.into_iter().map(|said| {
            let event = Event::Signalled {
                actor: said.actor,
                signal: said.signal,
            };
            (event, Some(said.id))
        });
        Ok(events.collect())
    }

    async fn hear(&mut self) -> Alive {
        let said = self.unheard().await?;
        if said.is_empty() { Ok(()) } else { self.take(said).await }
    }

    async fn ended(&mut self, ended: Result<(Id, Event), JoinError>) -> Alive {
        let (task, event) = match ended {
            Ok((id, event)) => (self.under_way.remove(&id), event),
            Err(error) => {
                let Some(task) = self.under_way.remove(&error.id()) else {
                    return Ok(());
                };
                let key = self.machine.record.steps[task.op.step].spec.key.clone();
                let Ok(panic) = error.try_into_panic() else { return Ok(()) };
                let event = broken(task.op, task.probe, &key, panic.as_ref());
                (Some(task), event)
            }
        };
        let stopped = task.is_some_and(|task| task.cancel.is_cancelled());
        let done = matches!(
            &event,
            Event::Settled {
                outcome: Outcome::Done { .. },
                ..
            }
        );
        // An attempt cut short because the server stops stays open: whoever takes over finds its intent and goes on.
        if self.stopping.is_some() && stopped && !done {
            return Ok(());
        }
        self.take(vec![(event, None)]).await
    }

    async fn begin_stopping(&mut self) -> Alive {
        self.take(vec![(Event::Held { on: true }, None)]).await?;
        self.stopping = Some(Instant::now() + self.engine.options.grace * 2);
        for task in self.under_way.values() {
            let class = self.machine.class(task.op.step).unwrap_or(EffectClass::Raw);
            // The others are given time to end: cut short, they would be in doubt.
            if task.probe || task.op.direction == Direction::Undo || is_repeatable(class) {
                task.cancel.cancel();
            }
        }
        Ok(())
    }

    async fn give_back(&mut self) -> Alive {
        match self.engine.store.give_back(&self.lease, 0).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Over::Lost),
            Err(error) => Err(mistaken(error)),
        }
    }

    fn is_safe(&self) -> bool {
        self.renewed.elapsed() < self.engine.options.lease.mul_f32(0.7)
    }

    async fn renew(&mut self) -> Alive {
        self.engine.options.reach("before_renewal", String::new).await;
        loop {
            let asked = Instant::now();
            let held = self
                .engine
                .store
                .renew_lease(&self.lease, self.engine.options.lease_ms())
                .await;
            match held {
                Ok(true) => {
                    self.renewed = asked;
                    return Ok(());
                }
                Ok(false) => return Err(Over::Lost),
                Err(error) => self.wait_for_store(&error).await?,
            }
        }
    }

    // The database did not do what it was asked: again in a moment, for as long as the lease is surely ours.
    async fn wait_for_store(&self, error: &StoreError) -> Alive {
        tracing::warn!(run = %self.lease.run, %error, "the database did not answer; trying again");
        tokio::time::sleep(AGAIN_AFTER).await;
        if self.is_safe() { Ok(()) } else { Err(Over::Lost) }
    }

    fn wake(&self) -> Option<Duration> {
        let wait = self.machine.next_wake()?.since(self.engine.store.now());
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or_default());
        Some(wait.min(self.engine.options.poll))
    }

    /// Takes events into account: decides, stores the consequences, and only then lets the effects begin.
    async fn take(&mut self, events: Vec<Heard>) -> Alive {
        let Some(decision) = self.decide(events)? else {
            return Ok(());
        };
        let Decision {
            progress,
            machine,
            head,
            commands,
        } = decision;
        let what = || {
            let names: Vec<String> = progress.entries.iter().map(|e| named(&e.kind, &e.body)).collect();
            names.join(", ")
        };
        for command in &commands {
            if let Command::Begin(op) = command {
                let key = &self.machine.record.steps[op.step].spec.key;
                self.engine
                    .options
                    .reach("before_intent", || point_name(op.direction, key))
                    .await;
            }
        }
        self.engine.options.reach("before_commit", what).await;
        let asked = loop {
            let asked = Instant::now();
            match self.engine.store.record_progress(&progress).await {
                Ok(Written::Yes) => break asked,
                Ok(Written::LeaseLost) => return Err(Over::Lost),
                Err(error @ StoreError::Corrupt { .. }) => return Err(mistaken(error)),
                Err(error) => self.wait_for_store(&error).await?,
            }
        };
        self.engine.options.reach("after_commit", what).await;
        self.machine = machine;
        self.head = head;
        self.renewed = asked;
        for command in commands {
            match command {
                Command::Begin(op) | Command::Resume(op) => self.begin(op, false).await?,
                Command::Probe(op) => self.begin(op, true).await?,
                Command::Stop(step) => {
                    for task in self.under_way.values().filter(|task| task.op.step == step) {
                        task.cancel.cancel();
                    }
                }
                Command::Settle { .. } => {}
            }
        }
        Ok(())
    }

    async fn begin(&mut self, op: Op, probe: bool) -> Alive {
        if !self.is_safe() {
            self.renew().await?;
        }
        let record = &self.machine.record;
        let step = &record.steps[op.step];
        let Some(kind) = self.engine.kinds.get(&step.spec.kind).cloned() else {
            return Err(Over::Mistaken(format!("there is no step kind {}", step.spec.kind)));
        };
        let cancel = CancellationToken::new();
        let outputs = record
            .steps
            .iter()
            .filter_map(|s| Some((s.spec.key.clone(), s.outputs.clone()?)));
        let undoing = record.run.state == RunState::Compensating && record.run.cancelled.is_none();
        let context = StepContext {
            run: record.run.id.clone(),
            subject: record.run.subject.clone(),
            step: step.spec.key.clone(),
            input: step.spec.input.clone(),
            outputs: outputs.collect(),
            op_id: self.op_id(op),
            attempt: op.attempt,
            term: self.lease.term,
            epoch: self.lease.epoch,
            cause: record.run.fault.clone().filter(|_| undoing),
            log: StepLog(Arc::new(StoredLog {
                store: self.engine.store.clone(),
                lease: self.lease.clone(),
                step: step.spec.key.clone(),
            })),
            cancel: cancel.clone(),
        };
        let attempt = Attempt {
            op,
            probe,
            kind,
            context,
            limit: Duration::from_millis(u64::try_from(step.spec.timeout_ms).unwrap_or(1).max(1)),
            options: Arc::clone(&self.engine.options),
            permits: Arc::clone(&self.engine.permits),
        };
        debug_assert_ne!(self.machine.busy(op.step), Busy::Idle, "an attempt nobody waits for");
        let handle = self.tasks.spawn(attempt.carry_out());
        self.under_way.insert(handle.id(), Task { op, probe, cancel });
        Ok(())
    }
}

pub(super) fn mistaken(error: impl std::fmt::Display) -> Over {
    Over::Mistaken(error.to_string())
}

async fn said(changes: &mut Receiver<Change>, topic: &str) {
    loop {
        match changes.recv().await {
            Ok(change) if change.topics.iter().any(|t| t == topic || t == "*") => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
