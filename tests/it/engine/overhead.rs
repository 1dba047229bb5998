//! What the engine itself costs: the time between one step's end and the next one's start, beside a yardstick from the same
//! run: two bare transactions on the same database. `cargo test overhead -- --nocapture` prints the figures.

use super::ledger::{at_rest, plan, submit};
use crate::support::database::TestDatabase;
use async_trait::async_trait;
use greenroom::engine::kind::{StepContext, StepError, StepKind, StepKinds};
use greenroom::engine::{Engine, EngineOptions};
use greenroom::model::plan::{EffectClass, StepSpec};
use greenroom::model::run::RunState;
use serde_json::Value;
use sqlx::Connection;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

// As long as the launch of a stack of some apps.
const STEPS: usize = 15;
const RUNS: usize = 12;

#[derive(Debug, Default)]
struct Mark(Mutex<Vec<Instant>>);

#[async_trait]
impl StepKind for Mark {
    fn name(&self) -> &'static str {
        "mark"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Keyed
    }

    async fn apply(&self, _cx: &StepContext) -> Result<Value, StepError> {
        self.0.lock().unwrap().push(Instant::now());
        Ok(Value::Null)
    }
}

fn percentiles(mut spans: Vec<Duration>) -> (Duration, Duration) {
    spans.sort_unstable();
    (spans[spans.len() / 2], spans[spans.len() * 95 / 100])
}

// Two transactions of one insert each, with the journal mode and durability that the store has.
async fn bare_commits() -> Vec<Duration> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("bare.db").display());
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    let prepare = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x BIGINT)";
    sqlx::raw_sql(prepare).execute(&mut connection).await.unwrap();
    let mut spans = Vec::new();
    for _ in 0..STEPS * RUNS {
        let began = Instant::now();
        for _ in 0..2 {
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
            sqlx::query("INSERT INTO t (x) VALUES (1)").execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        spans.push(began.elapsed());
    }
    spans
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overhead_of_a_step_is_small_beside_two_bare_commits() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    let bare = bare_commits().await;
    let mark = Arc::new(Mark::default());
    let cancel = CancellationToken::new();
    let kinds = StepKinds::new([Arc::clone(&mark) as Arc<dyn StepKind>]);
    let handle = Engine::new(store.clone(), kinds, EngineOptions::default()).start(cancel.clone());
    let (mut spans, mut first) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let steps = (0..STEPS).map(|index| {
            let step = StepSpec::new(format!("s{index}"), "mark", "Mark");
            if index == 0 {
                step
            } else {
                step.after([format!("s{}", index - 1)])
            }
        });
        let submitted = Instant::now();
        let run = submit(&store, &plan("chain", steps.collect())).await;
        let stored = submitted.elapsed();
        assert_eq!(at_rest(&store, &run).await.run.state, RunState::Succeeded);
        let marks = std::mem::take(&mut *mark.0.lock().unwrap());
        spans.extend(marks.windows(2).map(|pair| pair[1].duration_since(pair[0])));
        first.push(marks[0].duration_since(submitted).saturating_sub(stored));
    }
    let (step, bare, first) = (percentiles(spans), percentiles(bare), percentiles(first));
    println!(
        "engine overhead a step, sqlite, {RUNS} chains of {STEPS}: p50 {:.1?}, p95 {:.1?}; two bare commits: p50 {:.1?}, p95 {:.1?}; \
         from the submitting commit to the first effect: p50 {:.1?}",
        step.0, step.1, bare.0, bare.1, first.0
    );
    // Far above what is measured on a quiet machine, so that a busy one does not cry wolf.
    assert!(step.0 < Duration::from_millis(25), "{step:?}");
    cancel.cancel();
    handle.await.unwrap();
}
