//! What people see a run do, on both databases.

use super::ledger::{Ledger, at_rest, diamond};
use crate::support::database::TestDatabase;
use greenroom::model::actor::Actor;
use greenroom::model::id::RunId;
use greenroom::model::plan::{Plan, StepSpec};
use greenroom::model::run::{RunState, Signal, StepState};
use greenroom::store::Store;
use greenroom::store::runs::progress::journal_hash;
use greenroom::store::runs::{RunRecord, allowed_actions, waiting_for};
use serde_json::json;

const TEST: Actor = Actor::System { part: "test" };

pub async fn submit(store: &Store, plan: &Plan) -> RunId {
    let mut tx = store.write(&TEST, "test.run", &plan.subject).await.unwrap();
    let run = tx.insert_run(plan, &TEST, None).await.unwrap();
    tx.commit().await.unwrap();
    run
}

pub async fn say(store: &Store, run: &RunId, signal: Signal) {
    let mut tx = store.write(&TEST, "test.signal", run.as_str()).await.unwrap();
    tx.insert_signal(run, &signal, &TEST, None).await.unwrap();
    tx.commit().await.unwrap();
}

fn states(record: &RunRecord) -> Vec<StepState> {
    record.steps.iter().map(|s| s.state).collect()
}

#[tokio::test]
async fn a_plan_runs_to_its_end_in_the_order_of_its_graph() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        let (_engine, cancel, handle) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        let record = at_rest(&store, &run).await;
        assert_eq!(record.run.state, RunState::Succeeded);
        let calls = ledger.0.lock().unwrap().calls.clone();
        assert_eq!(
            (calls[0].as_str(), calls[3].as_str(), calls[4].as_str()),
            ("do begin", "do join", "do end")
        );
        assert_eq!(
            store.read_log(&format!("{run}/left"), 0, 10).await.unwrap()[0].text,
            "left done\n"
        );
        assert!(store.usual_ms("reference").await.unwrap().is_some());
        assert_eq!(store.usual_step_ms("reference").await.unwrap().len(), 5);
        assert!(
            store.open_attempts(&run).await.unwrap().is_empty(),
            "every intent has an outcome"
        );
        let mut before = String::new();
        for (kind, body, hash) in store.read_journal(&run).await.unwrap() {
            before = journal_hash(&before, &kind, &body);
            assert_eq!(before, hash, "the journal's chain holds");
        }
        cancel.cancel();
        handle.await.unwrap();
    }
}

#[tokio::test]
async fn a_failure_is_retried_and_then_everything_is_undone_last_first() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger
            .0
            .lock()
            .unwrap()
            .failing
            .extend([("left".to_owned(), 1), ("join".to_owned(), 9)]);
        let (_engine, cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        let record = at_rest(&store, &run).await;
        assert_eq!(record.run.state, RunState::Failed);
        assert_eq!(record.run.fault.unwrap().code, "state-failed");
        let world = ledger.0.lock().unwrap();
        assert!(world.in_effect.is_empty(), "nothing is left: {:?}", world.in_effect);
        assert_eq!(
            world.calls.iter().filter(|c| *c == "do left").count(),
            2,
            "a brief failure is tried again"
        );
        assert_eq!(world.calls.iter().filter(|c| *c == "do end").count(), 0);
        assert_eq!(world.calls.last().unwrap(), "undo begin");
        drop(world);
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_cancelled_run_stops_what_is_under_way_and_undoes_it() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.0.lock().unwrap().hanging.insert("left".into());
        let (_engine, cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        while !ledger.0.lock().unwrap().in_effect.contains_key("left") {
            tokio::task::yield_now().await;
        }
        let record = store.run(&run).await.unwrap().unwrap();
        assert_eq!(allowed_actions(&record), ["cancel"]);
        assert!(waiting_for(&record).contains("left"));
        say(
            &store,
            &run,
            Signal::Cancel {
                reason: "changed my mind".into(),
            },
        )
        .await;
        let record = at_rest(&store, &run).await;
        assert_eq!(
            (record.run.state, record.run.cancelled.as_deref()),
            (RunState::Cancelled, Some("changed my mind"))
        );
        assert!(ledger.0.lock().unwrap().in_effect.is_empty());
        cancel.cancel();
    }
}

#[tokio::test]
async fn an_undo_that_keeps_failing_leaves_the_run_stuck_until_a_person_retries() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        {
            let mut world = ledger.0.lock().unwrap();
            world.failing.insert("end".into(), 9);
            world.failing_undo.insert("right".into(), 5);
        }
        let (_engine, cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        let record = at_rest(&store, &run).await;
        assert_eq!(record.run.state, RunState::Stuck);
        assert!(
            ledger.0.lock().unwrap().in_effect.contains_key("right"),
            "and it says so rather than forget"
        );
        assert_eq!(allowed_actions(&record), ["retry", "abandon"]);
        say(&store, &run, Signal::Retry { step: None }).await;
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while store.run(&run).await.unwrap().unwrap().run.state != RunState::Failed {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(ledger.0.lock().unwrap().in_effect.is_empty());
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_panic_an_unknown_kind_and_a_time_limit_are_coded_failures() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.0.lock().unwrap().hanging.insert("hangs".into());
        let (_engine, cancel, _) = ledger.engine(&store, None);
        for (step, code) in [
            (
                StepSpec::new("panics", "keyed", "Panics").input(json!({"panics": true})),
                "internal",
            ),
            (StepSpec::new("unknown", "no_such_kind", "Unknown"), "internal"),
            (StepSpec::new("hangs", "keyed", "Hangs").timeout_ms(30), "timed-out"),
        ] {
            let mut step = step.undoable();
            step.retry = greenroom::model::plan::Retry::NEVER;
            let plan = Plan {
                kind: "one".into(),
                title: "One".into(),
                subject: format!("one-{}", step.key),
                steps: vec![step],
            };
            let record = at_rest(&store, &submit(&store, &plan).await).await;
            assert_eq!(record.run.fault.as_ref().unwrap().code, code, "{record:#?}");
        }
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_raw_effect_in_doubt_waits_for_a_person_who_says_done() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        let run = submit(&store, &diamond("raw")).await;
        // A worker that dies between intent and outcome: claim, write the intent, and never be seen again.
        let (_dead, cancel, handle) = ledger.engine(
            &store,
            Some(std::sync::Arc::new(|point| {
                assert!(
                    !(point.place == "after_intent" && point.step == "begin"),
                    "the worker dies here"
                );
            })),
        );
        while store.open_attempts(&run).await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancel.cancel();
        handle.await.unwrap();
        expire(&store, &run).await;
        let (_engine, cancel, _) = ledger.engine(&store, None);
        let record = at_rest(&store, &run).await;
        assert_eq!(
            (record.run.state, states(&record)[0]),
            (RunState::Blocked, StepState::InDoubt)
        );
        say(
            &store,
            &run,
            Signal::Complete {
                step: "begin".into(),
                reason: "I looked: it is done".into(),
            },
        )
        .await;
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while store.run(&run).await.unwrap().unwrap().run.state != RunState::Succeeded {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        cancel.cancel();
    }
}

#[tokio::test]
async fn runs_of_one_subject_wait_for_each_other_and_a_key_makes_two_requests_one() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.0.lock().unwrap().hanging.insert("left".into());
        let (_engine, cancel, _) = ledger.engine(&store, None);
        let first = submit(&store, &diamond("keyed")).await;
        let second = submit(&store, &diamond("keyed")).await;
        while !ledger.0.lock().unwrap().in_effect.contains_key("left") {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.run(&second).await.unwrap().unwrap().run.state, RunState::Pending);
        ledger.0.lock().unwrap().hanging.clear();
        say(
            &store,
            &first,
            Signal::Cancel {
                reason: "make room".into(),
            },
        )
        .await;
        assert_eq!(at_rest(&store, &second).await.run.state, RunState::Succeeded);

        let mut tx = store.write(&TEST, "x", "x").await.unwrap();
        let one = tx.insert_run(&diamond("keyed"), &TEST, Some("key")).await.unwrap();
        let two = tx.insert_run(&diamond("keyed"), &TEST, Some("key")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(one, two);
        cancel.cancel();
    }
}

/// Lets the lease of a dead worker run out, without waiting for it.
pub async fn expire(store: &Store, run: &RunId) {
    let pool = sqlx::any::AnyPoolOptions::new()
        .max_connections(1)
        .connect(store.url())
        .await
        .unwrap();
    sqlx::query("UPDATE runs SET lease_until = 0 WHERE id = $1")
        .bind(run.as_str().to_owned())
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}
