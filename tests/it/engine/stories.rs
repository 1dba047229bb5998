//! What a run does by itself, on both databases.

use super::ledger::{Ledger, at_rest, cancel_run, diamond, in_state, plan, step, submit, tamper, until_run};
use crate::support::database::TestDatabase;
use greenroom::engine::replay::replay;
use greenroom::model::id::RunId;
use greenroom::model::plan::{OnFailure, Retry, StepSpec};
use greenroom::model::run::{RunState, StepState};
use greenroom::store::Store;
use greenroom::store::runs::journal::first_break;
use greenroom::store::runs::{allowed_actions, waiting_for};
use serde_json::json;

// The journal is whole, and folding it gives the rows again.
pub async fn check_journal(store: &Store, run: &RunId) {
    let entries = store.run_journal(run).await.unwrap();
    assert_eq!(first_break(run, &entries), None, "the journal's chain holds");
    let mut record = store.run(run).await.unwrap().unwrap();
    for step in &mut record.steps {
        step.waiting_for.clear();
    }
    let replayed = replay(run, &entries).unwrap().record;
    assert_eq!(replayed, record, "the journal tells the same story as the rows");
}

#[tokio::test]
async fn a_plan_runs_to_its_end_in_the_order_of_its_graph() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        let (cancel, handle) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        let record = at_rest(&store, &run).await;
        assert_eq!(record.run.state, RunState::Succeeded);
        let calls = ledger.world().calls.clone();
        assert_eq!(calls.len(), 5, "each step is done once");
        assert_eq!((&*calls[0], &*calls[3], &*calls[4]), ("do begin", "do join", "do end"));
        let log = store.read_log(&format!("{run}/left"), 0, 10).await.unwrap();
        assert_eq!((log.len(), log[0].text.as_str()), (1, "left done\n"));
        assert!(store.usual_ms("reference").await.unwrap().is_some());
        assert_eq!(store.usual_step_ms("reference").await.unwrap().len(), 5);
        assert!(
            store.open_attempts(&run).await.unwrap().is_empty(),
            "every intent has an outcome"
        );
        assert_eq!(allowed_actions(&record), Vec::<String>::new());
        assert_eq!(waiting_for(&record), "");
        check_journal(&store, &run).await;
        cancel.cancel();
        handle.await.unwrap();
    }
}

#[tokio::test]
async fn a_failure_is_retried_and_then_everything_is_undone_last_first() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        let failing = [("left".to_owned(), 1), ("join".to_owned(), 9)];
        ledger.world().failing.extend(failing);
        let (cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        let record = at_rest(&store, &run).await;
        assert_eq!(record.run.state, RunState::Failed);
        assert_eq!(record.run.fault.unwrap().code, "state-failed");
        let states: Vec<StepState> = record.steps.iter().map(|s| s.state).collect();
        let undone = StepState::Undone;
        assert_eq!(states, [undone, undone, undone, undone, StepState::Cancelled]);
        check_journal(&store, &run).await;
        let world = ledger.world();
        assert!(world.in_effect.is_empty(), "nothing is left: {:?}", world.in_effect);
        let times = |call: &str| world.calls.iter().filter(|c| *c == call).count();
        assert_eq!((times("do left"), times("do join"), times("do end")), (2, 2, 0));
        assert_eq!(world.calls.last().unwrap(), "undo begin");
        assert!(
            world.causes.iter().all(|cause| cause.as_deref() == Some("state-failed")),
            "undos know why"
        );
        drop(world);
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_cancelled_run_stops_what_is_under_way_and_undoes_it() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().hanging.insert("left".into());
        let (cancel, _) = ledger.engine(&store, None);
        let mut wanted = diamond("keyed");
        wanted.steps[1].input = json!({"waits": "The left thing to happen"});
        let run = submit(&store, &wanted).await;
        let record = until_run(&store, &run, "at its left step alone", |record| {
            (record.steps[1].state, record.steps[2].state) == (StepState::Running, StepState::Succeeded)
        })
        .await;
        assert_eq!(allowed_actions(&record), ["cancel"]);
        assert_eq!(waiting_for(&record), "The left thing to happen");
        cancel_run(&store, &run).await;
        let record = in_state(&store, &run, RunState::Cancelled).await;
        assert_eq!(record.run.cancelled.as_deref(), Some("system:test: changed my mind"));
        check_journal(&store, &run).await;
        assert!(ledger.world().in_effect.is_empty());
        assert!(
            ledger.world().causes.iter().all(Option::is_none),
            "a person's cancellation is no fault"
        );
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_run_cancelled_before_its_turn_begins_nothing_and_still_undoes_what_came_with_it() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        let mut wanted = diamond("keyed");
        wanted.steps[0] = StepSpec::new("begin", "keyed", "begin").always_undoable();
        let run = submit(&store, &wanted).await;
        cancel_run(&store, &run).await;
        let (cancel, _) = ledger.engine(&store, None);
        in_state(&store, &run, RunState::Cancelled).await;
        assert_eq!(ledger.world().calls, ["undo begin"]);
        check_journal(&store, &run).await;
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_panic_an_unknown_kind_and_a_time_limit_are_coded_failures() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().hanging.insert("hangs".into());
        ledger.world().deaf.insert("deaf".into());
        let (cancel, _) = ledger.engine(&store, None);
        let kinds = [
            (
                StepSpec::new("panics", "keyed", "Panics").input(json!({"panics": true})),
                "internal",
            ),
            (StepSpec::new("unknown", "no_such_kind", "Unknown"), "internal"),
            (StepSpec::new("hangs", "keyed", "Hangs").timeout_ms(30), "timed-out"),
            (StepSpec::new("deaf", "keyed", "Deaf").timeout_ms(30), "timed-out"),
        ];
        for (wanted, code) in kinds {
            let wanted = plan(&wanted.key.clone(), vec![wanted.retry(Retry::NEVER).undoable()]);
            let run = submit(&store, &wanted).await;
            let record = at_rest(&store, &run).await;
            assert_eq!(record.run.state, RunState::Failed);
            assert_eq!(record.run.fault.as_ref().unwrap().code, code, "{record:#?}");
            check_journal(&store, &run).await;
        }
        assert!(
            ledger.world().in_effect.is_empty(),
            "also a step that broke or was cut off is undone"
        );
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_key_in_doubt_is_sent_again_and_never_another_in_its_place() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().doubtful.insert("only".into());
        let (cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &plan("x", vec![step("only", "keyed", &[])])).await;
        assert_eq!(at_rest(&store, &run).await.run.state, RunState::Succeeded);
        assert_eq!(ledger.world().sent["only"].len(), 1, "two tries, one key");
        assert_eq!(ledger.world().applied.len(), 1);
        check_journal(&store, &run).await;
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_guarded_step_that_does_not_know_is_looked_at_before_anything_else() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().doubtful.insert("only".into());
        ledger.world().silent = 1;
        let (cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &plan("x", vec![step("only", "guarded", &[])])).await;
        assert_eq!(at_rest(&store, &run).await.run.state, RunState::Succeeded);
        assert_eq!(ledger.world().calls, ["do only", "probe only", "probe only"]);
        check_journal(&store, &run).await;
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_step_that_may_fail_does_not_hold_up_the_rest() {
    let database = TestDatabase::sqlite();
    let (store, ledger) = (database.open().await, Ledger::default());
    ledger.world().failing.insert("left".into(), 9);
    let (cancel, _) = ledger.engine(&store, None);
    let mut wanted = diamond("keyed");
    wanted.steps[1].on_failure = OnFailure::Continue;
    let run = submit(&store, &wanted).await;
    let record = at_rest(&store, &run).await;
    assert_eq!(
        (record.run.state, record.steps[1].state),
        (RunState::Succeeded, StepState::Failed)
    );
    cancel.cancel();
}

#[tokio::test]
async fn runs_of_one_subject_wait_for_each_other_and_a_key_makes_two_requests_one() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        ledger.world().hanging.insert("left".into());
        let (cancel, _) = ledger.engine(&store, None);
        let first = submit(&store, &diamond("keyed")).await;
        let second = submit(&store, &diamond("keyed")).await;
        let other = submit(&store, &plan("stk_other", vec![step("only", "keyed", &[])])).await;
        ledger
            .until("at the left step", |world| world.in_effect.contains_key("left"))
            .await;
        assert_eq!(at_rest(&store, &other).await.run.state, RunState::Succeeded, "others go on");
        assert_eq!(store.run(&second).await.unwrap().unwrap().run.state, RunState::Pending);
        ledger.world().hanging.clear();
        cancel_run(&store, &first).await;
        assert_eq!(at_rest(&store, &second).await.run.state, RunState::Succeeded);
        let (all, total) = store.runs_of(Some("stk_reference"), None, 10).await.unwrap();
        assert_eq!((all.len(), total, &all[0].run.id), (2, 2, &second), "newest first");
        let (older, total) = store.runs_of(Some("stk_reference"), Some(&second), 10).await.unwrap();
        assert_eq!((older.len(), total, &older[0].run.id), (1, 2, &first));

        let mut tx = store.journal().await.unwrap();
        let one = tx
            .insert_run(&diamond("keyed"), &super::ledger::TEST, Some("key"))
            .await
            .unwrap();
        let two = tx
            .insert_run(&diamond("keyed"), &super::ledger::TEST, Some("key"))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(one, two);
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_no_other_run_and_hides_none() {
    for database in TestDatabase::both().await {
        let (store, ledger) = (database.open().await, Ledger::default());
        let broken = submit(&store, &plan("broken", vec![step("only", "keyed", &[])])).await;
        tamper(&store, "UPDATE run_steps SET spec = '{' WHERE run_id = $1", &broken).await;
        let (cancel, _) = ledger.engine(&store, None);
        let run = submit(&store, &diamond("keyed")).await;
        assert_eq!(at_rest(&store, &run).await.run.state, RunState::Succeeded);
        let (all, total) = store.runs_of(None, None, 10).await.unwrap();
        assert_eq!((all.len(), total), (1, 2));
        assert!(store.run(&broken).await.is_err(), "and whoever asks for it is told");
        cancel.cancel();
    }
}

#[tokio::test]
async fn a_journal_that_was_changed_or_cut_shows_where() {
    let database = TestDatabase::sqlite();
    let (store, ledger) = (database.open().await, Ledger::default());
    let (cancel, _) = ledger.engine(&store, None);
    let run = submit(&store, &diamond("keyed")).await;
    at_rest(&store, &run).await;
    let mut entries = store.run_journal(&run).await.unwrap();
    let whole = entries.clone();
    entries[2].actor = "user:mallory".into();
    assert_eq!(first_break(&run, &entries), Some(3));
    let mut entries = whole;
    entries.remove(3);
    assert_eq!(first_break(&run, &entries), Some(4));
    cancel.cancel();
}
