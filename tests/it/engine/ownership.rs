//! Who may drive a run: leases, tokens, and workers that wake up late.

use super::ledger::{Ledger, at_rest, diamond, expire, in_state, plan, step, submit, until_run};
use super::stories::check_journal;
use crate::support::database::TestDatabase;
use greenroom::clock::ManualClock;
use greenroom::engine::CrashHook;
use greenroom::model::run::{RunState, StepState};
use greenroom::model::time::Timestamp;
use greenroom::store::runs::progress::{Hold, Progress, Written};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

#[tokio::test]
async fn a_worker_that_wakes_up_late_writes_nothing_and_changes_nothing() {
    let places = [
        ("before_commit", "settled do left"),
        ("after_intent", "left"),
        ("after_effect", "left"),
    ];
    for database in TestDatabase::both().await {
        for (place, what) in places {
            let (store, ledger) = (database.open().await, Ledger::default());
            let run = submit(&store, &diamond("keyed")).await;
            let (asleep, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
            let (flag, alarm) = (Arc::clone(&asleep), Arc::clone(&wake));
            let sleeps: CrashHook = Arc::new(move |point| {
                let here = point.place == place && point.step == what && !flag.swap(true, Ordering::SeqCst);
                if !here && point.place == place && point.step == what {
                    return Box::pin(std::future::ready(()));
                }
                let alarm = Arc::clone(&alarm);
                if here {
                    return Box::pin(async move { alarm.notified().await });
                }
                Box::pin(std::future::ready(()))
            });
            let late = ledger.engine(&store, Some(sleeps));
            ledger
                .until("at the left step", |world| world.calls.contains(&"do right".to_owned()))
                .await;
            while !asleep.load(Ordering::SeqCst) {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            // The sleeper itself must not take the run up again, so only the lease of this run passes on.
            expire(&store, &run).await;
            late.0.cancel();
            let (cancel, handle) = ledger.engine(&store, None);
            at_rest(&store, &run).await;
            let before = (store.run(&run).await.unwrap(), store.run_journal(&run).await.unwrap());
            wake.notify_one();
            late.1.await.unwrap();
            let after = (store.run(&run).await.unwrap(), store.run_journal(&run).await.unwrap());
            assert_eq!(before, after, "woken {place} {what}");
            assert_eq!(before.0.unwrap().run.state, RunState::Succeeded);
            check_journal(&store, &run).await;
            assert_eq!(ledger.world().applied.len(), 5, "woken {place} {what}");
            let log = store.read_log(&format!("{run}/left"), 0, 10).await.unwrap();
            assert!(log.len() <= 2, "what a late worker says is not the run's: {log:?}");
            if place == "after_intent" {
                assert!(ledger.world().refused <= 1);
            }
            cancel.cancel();
            handle.await.unwrap();
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_lease_passes_on_only_when_it_has_ended_and_a_token_never_comes_back() {
    for database in TestDatabase::both().await {
        let clock = ManualClock::at(Timestamp(1_700_000_000_000));
        let store = database.open_at(clock.clone()).await;
        let run = submit(&store, &diamond("keyed")).await;
        let old = store.claim_run("boot_old", 10_000).await.unwrap().unwrap();
        assert_eq!((&old.lease.run, old.lease.epoch), (&run, 1));
        assert!(store.claim_run("boot_new", 10_000).await.unwrap().is_none(), "it is held");
        clock.advance(9_000);
        assert!(store.renew_lease(&old.lease, 10_000).await.unwrap());
        clock.advance(9_000);
        assert!(store.claim_run("boot_new", 10_000).await.unwrap().is_none(), "it was renewed");
        clock.advance(2_000);
        let new = store.claim_run("boot_new", 10_000).await.unwrap().unwrap();
        assert_eq!(new.lease.epoch, 2);
        assert!(!store.renew_lease(&old.lease, 10_000).await.unwrap(), "the old one is lost");
        assert!(!store.give_back(&old.lease, 0).await.unwrap());
        let mut progress = progress(&old.lease, &old.record, old.head.clone());
        assert_eq!(store.record_progress(&progress).await.unwrap(), Written::LeaseLost);
        assert_eq!(store.run_journal(&run).await.unwrap().len(), 1);

        // A commit whose answer was lost is tried again and finds itself done.
        progress.lease = new.lease.clone();
        for _ in 0..2 {
            assert_eq!(store.record_progress(&progress).await.unwrap(), Written::Yes);
            assert_eq!(store.run_journal(&run).await.unwrap().len(), 2);
        }
        store.append_step_log(&old.lease, "left", "late\n").await.unwrap();
        assert!(store.read_log(&format!("{run}/left"), 0, 9).await.unwrap().is_empty());

        // A clock put back by an hour leaves leases in the far future; they do not hold anyone up.
        clock.advance(-3_600_000);
        let moved = store.claim_run("boot_other", 10_000).await.unwrap();
        assert!(moved.is_none(), "but what is due in the future is not due");
        clock.advance(3_600_000);
        assert_eq!(store.raise_term("restored").await.unwrap(), 2);
        assert!(
            !store.renew_lease(&new.lease, 10_000).await.unwrap(),
            "a raised term ends every lease of before"
        );
        let newest = store.claim_run("boot_new", 10_000).await.unwrap().unwrap();
        assert_eq!((newest.lease.term, newest.lease.epoch), (2, 3));
    }
}

fn progress(
    lease: &greenroom::store::runs::claim::Lease,
    record: &greenroom::store::runs::RunRecord,
    before: greenroom::store::runs::journal::Head,
) -> Progress {
    let mut head = before.clone();
    let entry = head.follow(&lease.run, Timestamp(1), "system:test", "woken", "{}".into());
    Progress {
        lease: lease.clone(),
        hold: Hold::Keep(10_000),
        run: record.run.clone(),
        listed: false,
        steps: Vec::new(),
        intents: Vec::new(),
        settled: Vec::new(),
        heard: Vec::new(),
        before,
        entries: vec![entry],
    }
}

#[tokio::test]
async fn a_server_that_stops_lets_steps_end_or_leaves_them_to_the_next_under_the_same_key() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().hanging.insert("waits".into());
        ledger.world().slow.insert("works".into());
        let steps = vec![
            step("waits", "keyed", &[]),
            step("works", "one_way", &[]),
            step("after", "keyed", &["works"]),
        ];
        let run = submit(&store, &plan("stk_stop", steps)).await;
        let (cancel, handle) = ledger.engine(&store, None);
        ledger.until("at work", |world| world.in_effect.len() == 2).await;
        cancel.cancel();
        handle.await.unwrap();
        let record = store.run(&run).await.unwrap().unwrap();
        let states: Vec<StepState> = record.steps.iter().map(|s| s.state).collect();
        assert_eq!(
            states,
            [StepState::Running, StepState::Succeeded, StepState::Ready],
            "nothing new began"
        );
        ledger.world().hanging.clear();
        // Given back, so nobody waits for a lease to end.
        let (cancel, handle) = ledger.engine(&store, None);
        in_state(&store, &run, RunState::Succeeded).await;
        assert_eq!(ledger.world().sent["waits"].len(), 1, "under the same key");
        assert_eq!(ledger.world().applied.len(), 3);
        check_journal(&store, &run).await;
        cancel.cancel();
        handle.await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_worker_on_sqlite_is_followed_at_once() {
    let database = TestDatabase::sqlite();
    let (store, ledger) = (database.open().await, Ledger::default());
    ledger.world().hanging.insert("left".into());
    let run = submit(&store, &diamond("keyed")).await;
    let (_, handle) = ledger.engine(&store, None);
    until_run(&store, &run, "at its left step", |record| {
        record.steps[1].state == StepState::Running
    })
    .await;
    handle.abort();
    let _ = handle.await;
    ledger.world().hanging.clear();
    let began = std::time::Instant::now();
    let (cancel, _) = ledger.engine(&store, None);
    in_state(&store, &run, RunState::Succeeded).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(3), "no lease was waited for");
    cancel.cancel();
}
