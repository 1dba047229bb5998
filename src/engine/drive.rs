//! Driving one run: events in, one transaction, effects out.

use super::core::{Command, Event, Machine, Recovery, StepNode, recovery};
use super::kind::{LogSink, Probe, StepContext, StepError, StepKind, StepLog};
use super::worker::Engine;
use crate::model::fault::Fault;
use crate::model::id::RunId;
use crate::model::plan::EffectClass;
use crate::model::run::{RunState, StepState};
use crate::model::time::Timestamp;
use crate::store::runs::progress::{Intent, Lease};
use crate::store::runs::{RunRecord, RunRow, StepRow};
use crate::store::{Result, Store};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A point where a crash would matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashPoint {
    /// `before_intent`, `after_intent`, `after_effect`, `after_outcome`.
    pub place: &'static str,
    /// The step's key, after `undo:` while it is undone.
    pub step: String,
}

/// Called at every [`CrashPoint`]; may end the process.
pub type CrashHook = Arc<dyn Fn(&CrashPoint) + Send + Sync>;

/// What an attempt came to, on its way back to the driver.
struct Outcome {
    op_id: String,
    event: Event,
    word: &'static str,
}

struct Driver<'a> {
    engine: &'a Engine,
    lease: Lease,
    run: RunRow,
    machine: Machine,
    times: Vec<(Option<Timestamp>, Option<Timestamp>)>,
    under_way: BTreeMap<usize, CancellationToken>,
    outcomes: mpsc::UnboundedSender<Outcome>,
    renewed: Instant,
}

/// Claims a run and drives it until it ends, blocks, is lost, or the engine stops.
pub(super) async fn drive(engine: &Engine, run: &RunId, cancel: &CancellationToken) -> Result<()> {
    let ttl = millis(engine.options.lease);
    let Some(lease) = engine.store.claim_run(run, &engine.options.boot_id, ttl).await? else {
        return Ok(());
    };
    let Some(record) = engine.store.run(run).await? else {
        return Ok(());
    };
    let mut changes = engine.store.changes();
    let (outcomes, mut inbox) = mpsc::unbounded_channel();
    let mut driver = Driver::new(engine, lease, record, outcomes);
    // With what people said meanwhile: a blocked run is only claimed because of it.
    let mut first = vec![(Event::Claimed, None)];
    first.extend(driver.hear().await?);
    let mut alive = driver.take(first).await?;
    let topic = format!("run:{run}");
    while alive && !driver.is_resting() {
        let heard = driver.hear().await?;
        if !heard.is_empty() {
            alive = driver.take(heard).await?;
            continue;
        }
        let pause = driver.pause();
        let woken = async {
            loop {
                match changes.recv().await {
                    Ok(change) if change.topics.contains(&topic) => return,
                    Ok(_) => {}
                    Err(_) => return tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::select! {
            () = cancel.cancelled() => break,
            Some(first) = inbox.recv() => {
                let mut events = vec![(first.event, Some((first.op_id, first.word)))];
                while let Ok(next) = inbox.try_recv() {
                    events.push((next.event, Some((next.op_id, next.word))));
                }
                alive = driver.take(events).await?;
            }
            () = woken => {}
            () = tokio::time::sleep(pause) => alive = driver.take(vec![(Event::Tick, None)]).await?,
        }
        if driver.renewed.elapsed() > engine.options.lease * 7 / 10 {
            tracing::warn!(run = %driver.run.id, "the lease was not renewed in time; leaving the run to whoever takes it up");
            alive = false;
        }
    }
    driver.let_go();
    Ok(())
}

impl<'a> Driver<'a> {
    fn new(engine: &'a Engine, lease: Lease, record: RunRecord, outcomes: mpsc::UnboundedSender<Outcome>) -> Self {
        let times = record.steps.iter().map(|s| (s.started_at, s.ended_at)).collect();
        let steps = record.steps.into_iter().map(node).collect();
        let machine = Machine {
            state: record.run.state,
            cancelled: record.run.cancelled.clone(),
            fault: record.run.fault.clone(),
            steps,
        };
        Self {
            engine,
            lease,
            run: record.run,
            machine,
            times,
            under_way: BTreeMap::new(),
            outcomes,
            renewed: Instant::now(),
        }
    }

    /// Whether there is nothing left to do but wait for a person.
    fn is_resting(&self) -> bool {
        let state = self.machine.state;
        self.under_way.is_empty() && (state.is_ended() || state == RunState::Blocked)
    }

    fn pause(&self) -> Duration {
        let third = self.engine.options.lease / 3;
        match self.machine.next_wake() {
            Some(at) => Duration::from_millis(u64::try_from(at.since(self.engine.store.now())).unwrap_or_default())
                .clamp(Duration::from_millis(1), third),
            None => third,
        }
    }

    async fn hear(&self) -> Result<Vec<(Event, Option<(String, &'static str)>)>> {
        let signals = self.engine.store.unheard_signals(&self.lease.run).await?;
        Ok(signals
            .into_iter()
            .map(|(id, signal)| (Event::Said(signal), Some((id, "heard"))))
            .collect())
    }

    /// Takes events into account: decides, stores the consequence with the intents that follow, and lets the effects begin.
    /// False where the lease is lost.
    async fn take(&mut self, events: Vec<(Event, Option<(String, &'static str)>)>) -> Result<bool> {
        let ttl = millis(self.engine.options.lease);
        let before = self.machine.clone();
        let mut commands = Vec::new();
        let mut settled = Vec::new();
        let now = self.engine.store.now();
        let asked = Instant::now();
        for (event, source) in events {
            if let Some(index) = ended_attempt(&event) {
                self.under_way.remove(&index);
            }
            let quiet = matches!(event, Event::Tick);
            let entry = journal_entry(&self.machine, &event);
            commands.extend(self.machine.step(event, now));
            if !quiet {
                settled.push((source, entry));
            }
        }
        let intents: Vec<(Command, Intent)> = commands
            .iter()
            .filter_map(|c| self.intent(*c).map(|intent| (*c, intent)))
            .collect();
        for (_, intent) in &intents {
            self.crash_point("before_intent", intent.direction, &intent.step);
        }
        let mut tx = self.engine.store.journal().await?;
        if !tx.hold_lease(&self.lease, ttl).await? {
            tracing::warn!(run = %self.run.id, "another worker has taken the run over");
            return Ok(false);
        }
        for (source, (kind, body)) in settled {
            if let Some((id, word)) = source {
                if word == "heard" {
                    tx.consume_signal(&id).await?;
                } else {
                    tx.settle_attempt(&id, word).await?;
                }
            }
            tx.write_journal(&self.run.id, kind, &body).await?;
        }
        for (_, intent) in &intents {
            tx.insert_intent(&self.lease, intent).await?;
            let body = json!({"step": intent.step, "direction": intent.direction, "attempt": intent.attempt, "op": intent.op_id});
            tx.write_journal(&self.run.id, "intent", &body).await?;
        }
        for index in 0..self.machine.steps.len() {
            if self.machine.steps[index] != before.steps[index] {
                self.mark_times(index, now);
                tx.save_step(&self.run.id, &row(&self.machine.steps[index], self.times[index]))
                    .await?;
            }
        }
        self.run.state = self.machine.state;
        self.run.cancelled.clone_from(&self.machine.cancelled);
        self.run.fault.clone_from(&self.machine.fault);
        let keep = !self.is_resting() || !intents.is_empty();
        if before != self.machine || !keep {
            tx.save_run(&self.run, keep).await?;
        }
        if before.state != self.machine.state {
            tx.write_journal(
                &self.run.id,
                "state",
                &json!({"from": before.state.as_str(), "to": self.machine.state.as_str()}),
            )
            .await?;
        }
        tx.commit().await?;
        self.renewed = asked;
        for (command, intent) in intents {
            self.begin(command, intent);
        }
        for command in commands {
            if let Command::Stop(index) = command
                && let Some(token) = self.under_way.get(&index)
            {
                token.cancel();
            }
        }
        Ok(true)
    }

    fn mark_times(&mut self, index: usize, now: Timestamp) {
        let (started, ended) = &mut self.times[index];
        match self.machine.steps[index].state {
            StepState::Running => *started = started.or(Some(now)),
            StepState::Succeeded | StepState::Failed | StepState::Undone | StepState::UndoFailed => *ended = Some(now),
            _ => {}
        }
    }

    fn intent(&self, command: Command) -> Option<Intent> {
        let (index, direction) = match command {
            Command::Apply(index) | Command::Resume(index) => (index, "do"),
            Command::Undo(index) => (index, "undo"),
            Command::Stop(_) => return None,
        };
        let step = &self.machine.steps[index];
        let attempt = if direction == "do" { step.attempt } else { step.undo_attempt };
        let op_id = crate::model::secret::hash(&format!("{}/{}/{direction}/{attempt}", self.run.id, step.spec.key));
        Some(Intent {
            op_id: format!("op_{}", &op_id[..32]),
            step: step.spec.key.clone(),
            direction,
            attempt,
        })
    }

    fn crash_point(&self, place: &'static str, direction: &str, step: &str) {
        crash_point(self.engine, place, direction, step);
    }

    /// Lets an attempt work in a task of its own; its outcome comes back as an event, whatever happens to the task.
    fn begin(&mut self, command: Command, intent: Intent) {
        let (Command::Apply(index) | Command::Resume(index) | Command::Undo(index)) = command else {
            return;
        };
        let step = &self.machine.steps[index];
        let token = CancellationToken::new();
        self.under_way.insert(index, token.clone());
        let stream = format!("{}/{}", self.run.id, step.spec.key);
        let context = StepContext {
            run: self.run.id.clone(),
            subject: self.run.subject.clone(),
            step: step.spec.key.clone(),
            input: step.spec.input.clone(),
            outputs: self
                .machine
                .steps
                .iter()
                .filter_map(|s| Some((s.spec.key.clone(), s.outputs.clone()?)))
                .collect(),
            op_id: intent.op_id.clone(),
            attempt: intent.attempt,
            term: self.lease.term,
            epoch: self.lease.epoch,
            cause: if self.machine.cancelled.is_some() {
                None
            } else {
                self.machine.fault.clone()
            },
            log: StepLog(Arc::new(StreamLog {
                store: self.engine.store.clone(),
                stream,
            })),
            cancel: token.clone(),
        };
        let kind = self.engine.kinds.get(&step.spec.kind).cloned();
        let kind_name = step.spec.kind.clone();
        let limit = Duration::from_millis(u64::try_from(step.spec.timeout_ms).unwrap_or(1));
        let engine = self.engine.clone();
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            crash_point(&engine, "after_intent", intent.direction, &intent.step);
            let undo = intent.direction == "undo";
            let (event, word) = match kind {
                None => no_such_kind(index, &kind_name, undo),
                Some(kind) => {
                    let class = kind.class();
                    let work = tokio::spawn(attempt(kind, context, command, token.clone()));
                    let abort = work.abort_handle();
                    let ended = tokio::time::timeout(limit, work).await;
                    let result = match ended {
                        Ok(Ok(result)) => result,
                        // A panic is a fault of ours, and says nothing of what was done by then.
                        Ok(Err(error)) => Err(StepError::InDoubt(
                            Fault::new("internal", format!("The step `{}` broke", intent.step)).why(error),
                        )),
                        Err(_) => {
                            token.cancel();
                            abort.abort();
                            let what = format!(
                                "The step `{}` did not end within {}",
                                intent.step,
                                crate::model::time::show_length(millis(limit))
                            );
                            Err(StepError::InDoubt(Fault::new("timed-out", what)))
                        }
                    };
                    event_of(index, undo, class, result)
                }
            };
            crash_point(&engine, "after_effect", intent.direction, &intent.step);
            // Nobody listens where the lease was lost; then nobody may.
            let _ = outcomes.send(Outcome {
                op_id: intent.op_id,
                event,
                word,
            });
        });
    }

    fn let_go(&self) {
        for token in self.under_way.values() {
            token.cancel();
        }
    }
}

fn crash_point(engine: &Engine, place: &'static str, direction: &str, step: &str) {
    if let Some(hook) = &engine.options.crash {
        let step = if direction == "undo" {
            format!("undo:{step}")
        } else {
            step.to_owned()
        };
        hook(&CrashPoint { place, step });
    }
}

async fn attempt(
    kind: Arc<dyn StepKind>,
    context: StepContext,
    command: Command,
    token: CancellationToken,
) -> Result<Value, StepError> {
    let work = async {
        match command {
            Command::Undo(_) => kind.undo(&context).await.map(|()| Value::Null),
            Command::Resume(_) => match recovery(kind.class()) {
                Recovery::Repeat => kind.apply(&context).await,
                Recovery::Probe => match kind.probe(&context).await {
                    Ok(Probe::Applied(outputs)) => Ok(outputs),
                    Ok(Probe::NotApplied) => kind.apply(&context).await,
                    Ok(Probe::Unknown) => Err(StepError::InDoubt(in_doubt(&context))),
                    Err(fault) => Err(StepError::InDoubt(fault)),
                },
                Recovery::Ask => Err(StepError::InDoubt(in_doubt(&context))),
            },
            Command::Apply(_) | Command::Stop(_) => kind.apply(&context).await,
        }
    };
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => result,
        () = token.cancelled() => {
            // Well-behaved kinds stop by themselves; the others are cut off after a while.
            tokio::time::timeout(Duration::from_secs(5), work).await.unwrap_or(Err(StepError::Stopped))
        }
    }
}

fn in_doubt(context: &StepContext) -> Fault {
    Fault::new(
        "in-doubt",
        format!("It is not known whether the step `{}` took effect", context.step),
    )
    .why("the server stopped between its start and its outcome")
}

fn no_such_kind(index: usize, kind: &str, undo: bool) -> (Event, &'static str) {
    let fault = Fault::new("internal", format!("This version of Greenroom has no step kind `{kind}`"));
    if undo {
        (
            Event::UndoFailed {
                step: index,
                fault,
                last: true,
            },
            "failed",
        )
    } else {
        (
            Event::Failed {
                step: index,
                fault,
                last: true,
            },
            "failed",
        )
    }
}

fn event_of(index: usize, undo: bool, class: EffectClass, result: Result<Value, StepError>) -> (Event, &'static str) {
    if undo {
        return match result {
            Ok(_) => (Event::Undone { step: index }, "done"),
            Err(StepError::Final(fault)) => (
                Event::UndoFailed {
                    step: index,
                    fault,
                    last: true,
                },
                "failed",
            ),
            Err(StepError::Failed(fault) | StepError::InDoubt(fault)) => (
                Event::UndoFailed {
                    step: index,
                    fault,
                    last: false,
                },
                "failed",
            ),
            Err(StepError::Stopped) => {
                let fault = Fault::new("undo-failed", "The clean-up was stopped");
                (
                    Event::UndoFailed {
                        step: index,
                        fault,
                        last: false,
                    },
                    "stopped",
                )
            }
        };
    }
    match result {
        Ok(outputs) => (Event::Succeeded { step: index, outputs }, "done"),
        Err(StepError::Failed(fault)) => (
            Event::Failed {
                step: index,
                fault,
                last: false,
            },
            "failed",
        ),
        Err(StepError::Final(fault)) => (
            Event::Failed {
                step: index,
                fault,
                last: true,
            },
            "failed",
        ),
        Err(StepError::Stopped) => (Event::Stopped { step: index }, "stopped"),
        // What may be repeated is in no doubt: the next attempt, or the undo, copes.
        Err(StepError::InDoubt(fault)) => match recovery(class) {
            Recovery::Repeat => (
                Event::Failed {
                    step: index,
                    fault,
                    last: false,
                },
                "failed",
            ),
            Recovery::Probe | Recovery::Ask => (Event::InDoubt { step: index, fault }, "in_doubt"),
        },
    }
}

fn ended_attempt(event: &Event) -> Option<usize> {
    match event {
        Event::Succeeded { step, .. }
        | Event::Failed { step, .. }
        | Event::InDoubt { step, .. }
        | Event::Stopped { step }
        | Event::Undone { step }
        | Event::UndoFailed { step, .. } => Some(*step),
        Event::Claimed | Event::Tick | Event::Said(_) => None,
    }
}

fn journal_entry(machine: &Machine, event: &Event) -> (&'static str, Value) {
    let key = |step: &usize| machine.steps[*step].spec.key.as_str();
    match event {
        Event::Claimed => ("taken_up", json!({})),
        Event::Tick => ("tick", json!({})),
        Event::Succeeded { step, .. } => ("succeeded", json!({"step": key(step)})),
        Event::Failed { step, fault, last } => ("failed", json!({"step": key(step), "fault": fault, "last": last})),
        Event::InDoubt { step, fault } => ("in_doubt", json!({"step": key(step), "fault": fault})),
        Event::Stopped { step } => ("stopped", json!({"step": key(step)})),
        Event::Undone { step } => ("undone", json!({"step": key(step)})),
        Event::UndoFailed { step, fault, last } => ("undo_failed", json!({"step": key(step), "fault": fault, "last": last})),
        Event::Said(signal) => ("said", json!({"signal": signal})),
    }
}

fn node(step: StepRow) -> StepNode {
    StepNode {
        spec: step.spec,
        state: step.state,
        attempt: step.attempt,
        undo_attempt: step.undo_attempt,
        touched: step.touched,
        wake_at: step.wake_at,
        outputs: step.outputs,
        fault: step.fault,
        reason: step.reason,
    }
}

fn row(step: &StepNode, (started_at, ended_at): (Option<Timestamp>, Option<Timestamp>)) -> StepRow {
    StepRow {
        spec: step.spec.clone(),
        state: step.state,
        attempt: step.attempt,
        undo_attempt: step.undo_attempt,
        touched: step.touched,
        wake_at: step.wake_at,
        outputs: step.outputs.clone(),
        fault: step.fault.clone(),
        reason: step.reason.clone(),
        started_at,
        ended_at,
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

struct StreamLog {
    store: Store,
    stream: String,
}

#[async_trait]
impl LogSink for StreamLog {
    async fn append(&self, text: &str) {
        if let Err(error) = self
            .store
            .append_log(&self.stream, "server", None, self.store.now(), text)
            .await
        {
            tracing::warn!(stream = self.stream, %error, "a log line could not be stored");
        }
    }
}
