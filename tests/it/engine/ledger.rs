//! A step kind whose effects are kept in a ledger of its own, apart from the engine's journal, as an effector would: it
//! remembers operation ids where it is keyed, and it refuses a token lower than one it has seen.

use async_trait::async_trait;
use greenroom::engine::kind::{Probe, StepContext, StepError, StepKind, StepKinds};
use greenroom::engine::{CrashHook, Engine, EngineOptions};
use greenroom::model::actor::Actor;
use greenroom::model::fault::Fault;
use greenroom::model::id::RunId;
use greenroom::model::plan::{EffectClass, Plan, Retry, StepSpec};
use greenroom::model::run::{RunState, Signal};
use greenroom::store::Store;
use greenroom::store::runs::RunRecord;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const TEST: Actor = Actor::System { part: "test" };

/// What was done to the world.
#[derive(Debug, Default)]
pub struct World {
    /// Steps in effect now, with the operation that made them so.
    pub in_effect: BTreeMap<String, String>,
    /// Effective applications, in order: direction, step, operation id.
    pub applied: Vec<(String, String, String)>,
    /// Every call, in order: direction and step.
    pub calls: Vec<String>,
    /// Operation ids that were sent forward, by step.
    pub sent: BTreeMap<String, BTreeSet<String>>,
    /// Calls that came with a token lower than one seen before.
    pub refused: u32,
    /// Steps that fail, and how often still.
    pub failing: BTreeMap<String, u32>,
    /// Undos that fail, and how often still.
    pub failing_undo: BTreeMap<String, u32>,
    /// Steps that wait until they are told to stop.
    pub hanging: BTreeSet<String>,
    /// Steps that do not hear when they are told to stop.
    pub deaf: BTreeSet<String>,
    /// Steps that work for a while, whoever tells them to stop.
    pub slow: BTreeSet<String>,
    /// Steps that take effect and then say that they do not know.
    pub doubtful: BTreeSet<String>,
    /// How often the world cannot be asked.
    pub silent: u32,
    /// Why the run failed, as its undos were told.
    pub causes: Vec<Option<String>>,
    highest: BTreeMap<RunId, (i64, i64)>,
}

/// The world and the kinds that change it.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<World>>);

#[derive(Debug)]
struct Effect {
    name: &'static str,
    class: EffectClass,
    ledger: Ledger,
}

impl Ledger {
    /// The world as it is.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The kinds, by effect class.
    pub fn kinds(&self) -> StepKinds {
        let kind = |(name, class)| {
            Arc::new(Effect {
                name,
                class,
                ledger: self.clone(),
            }) as Arc<dyn StepKind>
        };
        let classes = [
            ("pure", EffectClass::Pure),
            ("convergent", EffectClass::Convergent),
            ("keyed", EffectClass::Keyed),
            ("guarded", EffectClass::Guarded),
            ("one_way", EffectClass::OneWay),
            ("raw", EffectClass::Raw),
        ];
        StepKinds::new(classes.map(kind))
    }

    /// Starts an engine over a store.
    pub fn engine(&self, store: &Store, crash: Option<CrashHook>) -> (CancellationToken, JoinHandle<()>) {
        let options = EngineOptions {
            poll: Duration::from_millis(50),
            grace: Duration::from_millis(100),
            crash,
            ..EngineOptions::default()
        };
        let cancel = CancellationToken::new();
        let handle = Engine::new(store.clone(), self.kinds(), options).start(cancel.clone());
        (cancel, handle)
    }

    /// Waits until the world is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&World) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !wanted(&self.world()) {
            assert!(tokio::time::Instant::now() < deadline, "never {what}: {:#?}", self.world());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl World {
    fn sees(&mut self, cx: &StepContext) -> Result<(), StepError> {
        let highest = self.highest.entry(cx.run.clone()).or_default();
        if (cx.term, cx.epoch) < *highest {
            self.refused += 1;
            return Err(StepError::Stopped);
        }
        *highest = (cx.term, cx.epoch);
        Ok(())
    }

    fn fails(failing: &mut BTreeMap<String, u32>, step: &str) -> Result<(), StepError> {
        let Some(left) = failing.get_mut(step).filter(|left| **left > 0) else {
            return Ok(());
        };
        *left -= 1;
        Err(StepError::Failed(Fault::new(
            "state-failed",
            format!("{step} was made to fail"),
        )))
    }
}

#[async_trait]
impl StepKind for Effect {
    fn name(&self) -> &'static str {
        self.name
    }

    fn class(&self) -> EffectClass {
        self.class
    }

    fn waits_for(&self, input: &Value) -> Option<String> {
        input.get("waits").and_then(Value::as_str).map(str::to_owned)
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        assert!(cx.input.get("panics").is_none_or(|p| p != true), "made to panic");
        let (hangs, deaf, slow, doubtful) = {
            let mut world = self.ledger.world();
            world.calls.push(format!("do {}", cx.step));
            world.sees(cx)?;
            World::fails(&mut world.failing, &cx.step)?;
            world.sent.entry(cx.step.clone()).or_default().insert(cx.op_id.clone());
            // Who is keyed knows its keys; who sets a value sees that it is set; the others do it again and again.
            let known = match self.class {
                EffectClass::Keyed => world.applied.iter().any(|(_, _, op)| *op == cx.op_id),
                EffectClass::Convergent => world.in_effect.contains_key(&cx.step),
                _ => false,
            };
            if !known && self.class != EffectClass::Pure {
                world.applied.push(("do".into(), cx.step.clone(), cx.op_id.clone()));
                world.in_effect.insert(cx.step.clone(), cx.op_id.clone());
            }
            (
                world.hanging.contains(&cx.step),
                world.deaf.contains(&cx.step),
                world.slow.contains(&cx.step),
                world.doubtful.remove(&cx.step),
            )
        };
        if deaf {
            std::future::pending::<()>().await;
        }
        if slow {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if hangs {
            cx.cancel.cancelled().await;
            return Err(StepError::Stopped);
        }
        if doubtful {
            return Err(StepError::InDoubt(Fault::new("agent-lost", "No answer came")));
        }
        cx.log.line(format!("{} done", cx.step)).await;
        Ok(json!({"by": cx.op_id}))
    }

    async fn probe(&self, cx: &StepContext) -> Result<Probe, Fault> {
        let mut world = self.ledger.world();
        world.calls.push(format!("probe {}", cx.step));
        if world.silent > 0 {
            world.silent -= 1;
            return Err(Fault::new("agent-lost", "Nobody answers"));
        }
        Ok(match (self.class, world.in_effect.get(&cx.step)) {
            (EffectClass::Raw, _) => Probe::Unknown,
            (_, Some(op)) => Probe::Applied(json!({"by": op})),
            (_, None) => Probe::NotApplied,
        })
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        let mut world = self.ledger.world();
        world.calls.push(format!("undo {}", cx.step));
        world.causes.push(cx.cause.as_ref().map(|fault| fault.code.clone()));
        world.sees(cx)?;
        World::fails(&mut world.failing_undo, &cx.step)?;
        if world.in_effect.remove(&cx.step).is_some() {
            world.applied.push(("undo".into(), cx.step.clone(), cx.op_id.clone()));
        }
        Ok(())
    }
}

/// An undoable step that is tried twice.
pub fn step(key: &str, kind: &str, after: &[&str]) -> StepSpec {
    StepSpec::new(key, kind, key)
        .after(after.iter().copied())
        .retry(Retry {
            attempts: 2,
            backoff_ms: 1,
        })
        .undoable()
}

/// A plan of these steps about a thing of its own.
pub fn plan(subject: &str, steps: Vec<StepSpec>) -> Plan {
    Plan {
        kind: "reference".into(),
        title: "The reference plan".into(),
        subject: subject.into(),
        steps,
    }
}

/// A diamond of undoable steps with a tail: begin, two branches, join, end.
pub fn diamond(kind: &str) -> Plan {
    plan("stk_reference", diamond_steps(kind))
}

/// The steps of [`diamond`].
pub fn diamond_steps(kind: &str) -> Vec<StepSpec> {
    vec![
        step("begin", kind, &[]),
        step("left", kind, &["begin"]),
        step("right", kind, &["begin"]),
        step("join", kind, &["left", "right"]),
        step("end", kind, &["join"]),
    ]
}

pub async fn submit(store: &Store, plan: &Plan) -> RunId {
    let mut tx = store.write(&TEST, "test.run", &plan.subject).await.unwrap();
    let run = tx.insert_run(plan, &TEST, None).await.unwrap();
    tx.commit().await.unwrap();
    run
}

pub async fn say(store: &Store, run: &RunId, signal: Signal) {
    say_as(store, run, signal, None).await;
}

pub async fn say_as(store: &Store, run: &RunId, signal: Signal, request: Option<&str>) {
    let mut tx = store.write(&TEST, "test.signal", run.as_str()).await.unwrap();
    tx.insert_signal(run, &signal, &TEST, request).await.unwrap();
    tx.commit().await.unwrap();
}

pub async fn cancel_run(store: &Store, run: &RunId) {
    say(
        store,
        run,
        Signal::Cancel {
            reason: "changed my mind".into(),
        },
    )
    .await;
}

/// Waits until a run is in this state.
pub async fn in_state(store: &Store, run: &RunId, wanted: RunState) -> RunRecord {
    until_run(store, run, &format!("{wanted}"), |record| record.run.state == wanted).await
}

/// Waits until a run is as wanted.
pub async fn until_run(store: &Store, run: &RunId, what: &str, wanted: impl Fn(&RunRecord) -> bool) -> RunRecord {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let record = store.run(run).await.unwrap().unwrap();
        if wanted(&record) {
            return record;
        }
        assert!(tokio::time::Instant::now() < deadline, "the run is never {what}: {record:#?}");
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

/// Waits until a run has come to rest: ended, or blocked.
pub async fn at_rest(store: &Store, run: &RunId) -> RunRecord {
    until_run(store, run, "at rest", |record| {
        record.run.state.is_ended() || record.run.state == RunState::Blocked
    })
    .await
}

/// Changes the database behind the engine's back.
pub async fn tamper(store: &Store, sql: &'static str, run: &RunId) {
    let pool = sqlx::any::AnyPoolOptions::new()
        .max_connections(1)
        .connect(store.url())
        .await
        .unwrap();
    sqlx::query(sql).bind(run.as_str().to_owned()).execute(&pool).await.unwrap();
    pool.close().await;
}

/// Lets the lease of a dead worker run out, without waiting for it.
pub async fn expire(store: &Store, run: &RunId) {
    tamper(
        store,
        "UPDATE runs SET lease_until = 0 WHERE id = $1 AND boot_id IS NOT NULL",
        run,
    )
    .await;
}
