//! A worker that is gone at any point, with its lease still fresh in the store: whoever comes next ends in the state that the
//! undisturbed run ends in, and the ledger shows no effect twice.

use super::ledger::{Ledger, at_rest, diamond};
use super::stories::{expire, say, submit};
use crate::support::database::TestDatabase;
use greenroom::engine::CrashPoint;
use greenroom::model::plan::Plan;
use greenroom::model::run::{RunState, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PLACES: [&str; 3] = ["before_intent", "after_intent", "after_effect"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Success,
    Failure,
    Cancel,
}

// Stops every task of the worker where it stands: nothing it had in mind reaches the store.
async fn run_and_crash(
    database: &TestDatabase,
    plan: &Plan,
    ledger: &Ledger,
    ending: Ending,
    place: &'static str,
    step: String,
) -> bool {
    let store = database.open().await;
    let run = submit(&store, plan).await;
    let crashed = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (at, hit) = (
        CrashPoint {
            place,
            step: step.clone(),
        },
        crashed.clone(),
    );
    let url_store = store.clone();
    let other = ledger.clone();
    let stop = runtime.spawn(async move {
        let hook: greenroom::engine::CrashHook = Arc::new(move |point| {
            if *point == at && !hit.swap(true, Ordering::SeqCst) || hit.load(Ordering::SeqCst) {
                hit.store(true, Ordering::SeqCst);
                // The thread never goes on: as good as killed, and the runtime is thrown away below.
                loop {
                    std::thread::park();
                }
            }
        });
        let (_engine, _cancel, handle) = other.engine(&url_store, Some(hook));
        let _ = handle.await;
    });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let mut cancelled = false;
    loop {
        let state = store.run(&run).await.unwrap().unwrap().run.state;
        if ending == Ending::Cancel && !cancelled && ledger.0.lock().unwrap().in_effect.contains_key("left") {
            say(&store, &run, Signal::Cancel { reason: "test".into() }).await;
            cancelled = true;
        }
        if crashed.load(Ordering::SeqCst) || state.is_ended() {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "neither crashed nor ended at {place} {step}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    stop.abort();
    runtime.shutdown_background();
    if ending == Ending::Cancel && !cancelled {
        say(&store, &run, Signal::Cancel { reason: "test".into() }).await;
    }
    expire(&store, &run).await;
    let (_engine, cancel, handle) = ledger.engine(&store, None);
    let record = at_rest(&store, &run).await;
    let wanted = match ending {
        Ending::Success => RunState::Succeeded,
        Ending::Failure => RunState::Failed,
        Ending::Cancel => RunState::Cancelled,
    };
    assert_eq!(record.run.state, wanted, "after a crash {place} {step}: {record:#?}");
    assert!(
        store.open_attempts(&run).await.unwrap().is_empty() || ending != Ending::Success,
        "an intent was forgotten {place} {step}"
    );
    cancel.cancel();
    handle.await.unwrap();
    crashed.load(Ordering::SeqCst)
}

async fn matrix(kind: &str, ending: Ending) {
    let mut crashed = 0;
    for step in ["begin", "left", "right", "join", "end"] {
        for direction in ["", "undo:"] {
            for place in PLACES {
                for database in TestDatabase::both().await {
                    let ledger = Ledger::default();
                    match ending {
                        Ending::Failure => drop(ledger.0.lock().unwrap().failing.insert("end".into(), 99)),
                        Ending::Cancel => drop(ledger.0.lock().unwrap().hanging.insert("left".into())),
                        Ending::Success => {}
                    }
                    let plan = diamond(kind);
                    crashed +=
                        usize::from(run_and_crash(&database, &plan, &ledger, ending, place, format!("{direction}{step}")).await);
                    let world = ledger.0.lock().unwrap();
                    if ending == Ending::Success {
                        assert_eq!(world.in_effect.len(), 5, "{place} {step}");
                        assert_eq!(
                            world.applied.len(),
                            5,
                            "one effective application for each step, {place} {step}"
                        );
                    } else {
                        assert!(
                            world.in_effect.is_empty(),
                            "something is left after {place} {direction}{step}: {:?}",
                            world.in_effect
                        );
                    }
                }
            }
        }
    }
    assert!(crashed >= 15, "the matrix hit only {crashed} crash points");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_keyed_plan_still_ends_in_success() {
    matrix("keyed", Ending::Success).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_guarded_plan_still_ends_in_success() {
    matrix("guarded", Ending::Success).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_failing_plan_still_undoes_everything() {
    matrix("keyed", Ending::Failure).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_cancelled_plan_still_undoes_everything() {
    matrix("keyed", Ending::Cancel).await;
}

#[tokio::test]
async fn a_worker_that_wakes_up_late_writes_nothing() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let run = submit(&store, &diamond("keyed")).await;
        let old = store.claim_run(&run, "boot_old", 10_000).await.unwrap().unwrap();
        expire(&store, &run).await;
        let new = store.claim_run(&run, "boot_new", 10_000).await.unwrap().unwrap();
        assert!(new.epoch > old.epoch);
        let mut tx = store.journal().await.unwrap();
        assert!(!tx.hold_lease(&old, 10_000).await.unwrap());
        drop(tx);
        let mut tx = store.journal().await.unwrap();
        assert!(tx.hold_lease(&new, 10_000).await.unwrap());
        tx.commit().await.unwrap();
        let mut tx = store.journal().await.unwrap();
        tx.raise_term().await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = store.journal().await.unwrap();
        assert!(
            !tx.hold_lease(&new, 10_000).await.unwrap(),
            "a raised term ends every lease of before"
        );
    }
}
