//! What people say to a run, on both databases.

use super::ledger::{Ledger, at_rest, cancel_run, diamond, in_state, plan, say, say_as, step, submit, until_run};
use super::stories::check_journal;
use crate::support::database::TestDatabase;
use greenroom::engine::CrashHook;
use greenroom::model::plan::OnFailure;
use greenroom::model::run::{RunState, Signal, StepState};
use greenroom::store::runs::{allowed_actions, waiting_for};
use std::sync::Arc;

fn skip(step: &str) -> Signal {
    Signal::Skip {
        step: step.into(),
        reason: "not needed".into(),
    }
}

fn complete(step: &str) -> Signal {
    Signal::Complete {
        step: step.into(),
        reason: "I looked: it is done".into(),
    }
}

#[tokio::test]
async fn an_undo_that_keeps_failing_leaves_the_run_stuck_until_a_person_retries() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().failing.insert("end".into(), 9);
        ledger.world().failing_undo.insert("right".into(), 5);
        let (cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        let record = at_rest(&store, &run).await;
        assert_eq!(record.run.state, RunState::Stuck);
        assert!(
            ledger.world().in_effect.contains_key("right"),
            "and it says so rather than forget"
        );
        assert!(!ledger.world().in_effect.contains_key("left"), "what could be undone was");
        assert_eq!(allowed_actions(&record), ["retry", "skip", "complete", "abandon"]);
        say(&store, &run, Signal::Retry { step: None }).await;
        in_state(&store, &run, RunState::Failed).await;
        assert!(ledger.world().in_effect.is_empty());
        check_journal(&store, &run).await;
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_stuck_run_does_not_hold_its_subject_and_waits_its_turn_to_be_cleaned_up() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().failing.insert("end".into(), 9);
        ledger.world().failing_undo.insert("begin".into(), 5);
        let (cancel, _) = ledger.engine(&store, None);
        let stuck = submit(&store, &diamond("keyed")).await;
        in_state(&store, &stuck, RunState::Stuck).await;
        ledger.world().hanging.insert("only".into());
        let later = submit(&store, &plan("stk_reference", vec![step("only", "keyed", &[])])).await;
        ledger
            .until("at the later run", |world| world.in_effect.contains_key("only"))
            .await;
        say(&store, &stuck, Signal::Retry { step: None }).await;
        let other = submit(&store, &plan("stk_other", vec![step("free", "keyed", &[])])).await;
        at_rest(&store, &other).await;
        assert_eq!(
            store.run(&stuck).await.unwrap().unwrap().run.state,
            RunState::Stuck,
            "not beside the later run"
        );
        cancel_run(&store, &later).await;
        in_state(&store, &stuck, RunState::Failed).await;
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_stuck_run_can_be_cleaned_up_by_hand_or_given_up() {
    let database = TestDatabase::sqlite();
    let (store, ledger) = (database.open().await, Ledger::default());
    let (cancel, _) = ledger.engine(&store, None);
    for by_hand in [true, false] {
        ledger.world().failing.insert("end".into(), 9);
        ledger.world().failing_undo.insert("right".into(), 5);
        let run = submit(&store, &diamond("keyed")).await;
        in_state(&store, &run, RunState::Stuck).await;
        if by_hand {
            say(&store, &run, complete("right")).await;
            let record = in_state(&store, &run, RunState::Failed).await;
            assert_eq!(record.steps[2].note, "system:test: I looked: it is done");
            assert!(
                !ledger.world().in_effect.contains_key("begin"),
                "the clean-up went on from there"
            );
        } else {
            say(
                &store,
                &run,
                Signal::Abandon {
                    reason: "burnt down".into(),
                },
            )
            .await;
            let record = in_state(&store, &run, RunState::Abandoned).await;
            assert_eq!(record.run.cancelled.as_deref(), Some("system:test: burnt down"));
        }
        check_journal(&store, &run).await;
    }
    cancel.cancel();
}

#[tokio::test]
async fn a_blocked_run_goes_on_when_its_step_is_retried_skipped_or_done_by_hand() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        let (cancel, _) = ledger.engine(&store, None);
        for (signal, expected) in [
            (Signal::Retry { step: None }, StepState::Succeeded),
            (
                Signal::Retry {
                    step: Some("left".into()),
                },
                StepState::Succeeded,
            ),
            (skip("left"), StepState::Skipped),
            (complete("left"), StepState::Succeeded),
        ] {
            ledger.world().failing.insert("left".into(), 2);
            let mut wanted = diamond("keyed");
            wanted.steps[1].on_failure = OnFailure::Block;
            let run = submit(&store, &wanted).await;
            let record = until_run(&store, &run, "blocked with nothing under way", |record| {
                (record.run.state, record.steps[2].state) == (RunState::Blocked, StepState::Succeeded)
            })
            .await;
            assert_eq!(waiting_for(&record), "A person: “left” failed");
            assert_eq!(allowed_actions(&record), ["cancel", "retry", "skip", "complete", "abandon"]);
            assert_eq!(record.run.fault.as_ref().unwrap().code, "state-failed");
            say(&store, &run, signal).await;
            let record = in_state(&store, &run, RunState::Succeeded).await;
            assert_eq!((record.steps[1].state, record.run.fault), (expected, None));
            check_journal(&store, &run).await;
        }
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_raw_effect_in_doubt_waits_for_a_person() {
    for database in TestDatabase::both().await {
        for signal in [complete("begin"), Signal::Retry { step: None }, skip("begin")] {
            let (store, ledger) = (database.open().await, Ledger::default());
            let mut steps = vec![step("begin", "raw", &[]), step("end", "keyed", &["begin"])];
            steps[0].on_failure = OnFailure::Compensate;
            let run = submit(&store, &plan("raw", steps)).await;
            // A worker that is gone between the effect and its outcome.
            let gone: CrashHook = Arc::new(|point| {
                let here = point.place == "after_effect" && point.step == "begin";
                Box::pin(async move {
                    if here {
                        std::future::pending::<()>().await;
                    }
                })
            });
            let (_, dead) = ledger.engine(&store, Some(gone));
            ledger.until("in effect", |world| world.in_effect.contains_key("begin")).await;
            dead.abort();
            let _ = dead.await;
            super::ledger::expire(&store, &run).await;
            let (cancel, handle) = ledger.engine(&store, None);
            let record = in_state(&store, &run, RunState::Blocked).await;
            assert_eq!(
                (record.run.fault.unwrap().code.as_str(), record.steps[0].state),
                ("in-doubt", StepState::InDoubt)
            );
            assert_eq!(ledger.world().calls, ["do begin"], "nobody tried again by themselves");
            say(&store, &run, signal).await;
            in_state(&store, &run, RunState::Succeeded).await;
            check_journal(&store, &run).await;
            cancel.cancel();
            handle.await.unwrap();
            store.close().await;
        }
    }
}

#[tokio::test]
async fn past_its_pivot_a_run_is_neither_cancelled_nor_undone() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().failing.insert("end".into(), 2);
        ledger.world().hanging.insert("end".into());
        let (cancel, _) = ledger.engine(&store, None);
        let mut wanted = diamond("keyed");
        wanted.steps[3].pivot = true;
        let run = submit(&store, &wanted).await;
        let record = in_state(&store, &run, RunState::Blocked).await;
        assert_eq!(allowed_actions(&record), ["retry", "skip", "complete", "abandon"]);
        say(&store, &run, Signal::Retry { step: None }).await;
        ledger.until("at the end", |world| world.in_effect.contains_key("end")).await;
        cancel_run(&store, &run).await;
        let answered = until_answered(&store, &run, 2).await;
        assert_eq!(answered, "refused: the run is past the point where it can be undone");
        assert_eq!(ledger.world().in_effect.len(), 5);
        cancel.cancel();
    }
}

async fn until_answered(store: &greenroom::store::Store, run: &greenroom::model::id::RunId, count: usize) -> String {
    loop {
        let answers = store.signal_answers(run).await.unwrap();
        if let Some(answer) = answers.get(count - 1).and_then(|(_, answer)| answer.clone()) {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(4)).await;
    }
}

#[tokio::test]
async fn a_request_is_heard_once_a_run_and_what_comes_too_late_is_told_so() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().hanging.insert("left".into());
        let (cancel, _) = ledger.engine(&store, None);
        let first = submit(&store, &diamond("keyed")).await;
        let second = submit(&store, &plan("stk_other", super::ledger::diamond_steps("keyed"))).await;
        let cancel_it = || Signal::Cancel { reason: "no".into() };
        for run in [&first, &second] {
            until_run(&store, run, "under way", |record| record.steps[1].state == StepState::Running).await;
            // The same request id may name a request to another run.
            say_as(&store, run, cancel_it(), Some("request-1")).await;
            say_as(&store, run, cancel_it(), Some("request-1")).await;
            in_state(&store, run, RunState::Cancelled).await;
            assert_eq!(store.signal_answers(run).await.unwrap().len(), 1);
        }
        say(&store, &first, cancel_it()).await;
        assert_eq!(until_answered(&store, &first, 2).await, "the run had ended");
        cancel.cancel();
    }
}
