//! A step kind whose effects are kept in a ledger of its own, apart from the engine's journal.

use async_trait::async_trait;
use greenroom::engine::kind::{Probe, StepContext, StepError, StepKind, StepKinds};
use greenroom::engine::{CrashHook, Engine, EngineOptions};
use greenroom::model::fault::Fault;
use greenroom::model::id::RunId;
use greenroom::model::plan::{EffectClass, Plan, Retry, StepSpec};
use greenroom::store::Store;
use greenroom::store::runs::RunRecord;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What was done to the world.
#[derive(Debug, Default)]
pub struct World {
    /// Steps that are in effect now, with the operation that made them so.
    pub in_effect: BTreeMap<String, String>,
    /// Every effective application: one per operation id, however often it was sent.
    pub applied: BTreeSet<String>,
    /// Every call, in order: direction and step.
    pub calls: Vec<String>,
    /// Steps that fail, and how often still.
    pub failing: BTreeMap<String, u32>,
    /// Steps that wait until they are told to stop.
    pub hanging: BTreeSet<String>,
    /// Undos that fail, and how often still.
    pub failing_undo: BTreeMap<String, u32>,
}

/// The world and the kinds that change it.
#[derive(Debug, Clone, Default)]
pub struct Ledger(pub Arc<Mutex<World>>);

#[derive(Debug)]
struct Effect {
    name: &'static str,
    class: EffectClass,
    ledger: Ledger,
}

#[async_trait]
impl StepKind for Effect {
    fn name(&self) -> &'static str {
        self.name
    }

    fn class(&self) -> EffectClass {
        self.class
    }

    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError> {
        let hangs = {
            let mut world = self.ledger.0.lock().unwrap();
            world.calls.push(format!("do {}", cx.step));
            if let Some(left) = world.failing.get_mut(&cx.step).filter(|left| **left > 0) {
                *left -= 1;
                return Err(StepError::Failed(Fault::new(
                    "state-failed",
                    format!("{} was made to fail", cx.step),
                )));
            }
            if world.applied.insert(cx.op_id.clone()) {
                world.in_effect.insert(cx.step.clone(), cx.op_id.clone());
            }
            world.hanging.contains(&cx.step)
        };
        assert!(!cx.input.get("panics").is_some_and(|p| p == true), "made to panic");
        if hangs {
            cx.cancel.cancelled().await;
            return Err(StepError::Stopped);
        }
        cx.log.line(format!("{} done", cx.step)).await;
        Ok(json!({"by": cx.op_id}))
    }

    async fn probe(&self, cx: &StepContext) -> Result<Probe, Fault> {
        let world = self.ledger.0.lock().unwrap();
        Ok(match (self.class, world.in_effect.contains_key(&cx.step)) {
            (EffectClass::Raw, _) => Probe::Unknown,
            (_, true) => Probe::Applied(json!({"by": cx.op_id})),
            (_, false) => Probe::NotApplied,
        })
    }

    async fn undo(&self, cx: &StepContext) -> Result<(), StepError> {
        let mut world = self.ledger.0.lock().unwrap();
        world.calls.push(format!("undo {}", cx.step));
        if let Some(left) = world.failing_undo.get_mut(&cx.step).filter(|left| **left > 0) {
            *left -= 1;
            return Err(StepError::Failed(Fault::new(
                "state-failed",
                format!("undoing {} was made to fail", cx.step),
            )));
        }
        world.in_effect.remove(&cx.step);
        Ok(())
    }
}

impl Ledger {
    /// The kinds, by effect class.
    pub fn kinds(&self) -> StepKinds {
        let kind = |name, class| {
            Arc::new(Effect {
                name,
                class,
                ledger: self.clone(),
            }) as Arc<dyn StepKind>
        };
        StepKinds::new([
            kind("keyed", EffectClass::Keyed),
            kind("guarded", EffectClass::Guarded),
            kind("raw", EffectClass::Raw),
        ])
    }

    /// Starts an engine over a store.
    pub fn engine(&self, store: &Store, crash: Option<CrashHook>) -> (Engine, CancellationToken, tokio::task::JoinHandle<()>) {
        let options = EngineOptions {
            poll: Duration::from_millis(50),
            crash,
            ..EngineOptions::default()
        };
        let engine = Engine::new(store.clone(), self.kinds(), options);
        let cancel = CancellationToken::new();
        let handle = engine.start(cancel.clone());
        (engine, cancel, handle)
    }
}

/// A diamond of undoable steps with a tail: begin, two branches, join, end.
pub fn diamond(kind: &str) -> Plan {
    let step = |key: &str, after: &[&str]| {
        StepSpec::new(key, kind, key)
            .after(after.iter().copied())
            .retry(Retry {
                attempts: 2,
                backoff_ms: 1,
            })
            .undoable()
    };
    Plan {
        kind: "reference".into(),
        title: "The reference plan".into(),
        subject: "stk_reference".into(),
        steps: vec![
            step("begin", &[]),
            step("left", &["begin"]),
            step("right", &["begin"]),
            step("join", &["left", "right"]),
            step("end", &["join"]),
        ],
    }
}

/// Waits until a run has come to rest: ended, or blocked.
pub async fn at_rest(store: &Store, run: &RunId) -> RunRecord {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let record = store.run(run).await.unwrap().unwrap();
        let state = record.run.state;
        if (state.is_ended() || state == greenroom::model::run::RunState::Blocked) && record.run.owner.is_none() {
            return record;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "the run did not come to rest: {record:#?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
