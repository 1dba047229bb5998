//! A worker that is gone at any point, and gone again in recovery: whoever comes next ends in the state that the undisturbed
//! run ends in, and the ledger, which is not the engine's, shows no effect twice and none left over.

use super::ledger::{Ledger, at_rest, cancel_run, diamond, expire, submit};
use super::stories::check_journal;
use crate::support::database::TestDatabase;
use greenroom::engine::{CrashHook, CrashPoint};
use greenroom::model::id::RunId;
use greenroom::model::run::RunState;
use greenroom::store::Store;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    Success,
    Failure,
    Cancel,
}

impl Ending {
    fn state(self) -> RunState {
        match self {
            Self::Success => RunState::Succeeded,
            Self::Failure => RunState::Failed,
            Self::Cancel => RunState::Cancelled,
        }
    }
}

// Decides at each point whether the worker dies there; once dead, nothing of it gets past any point.
struct Death {
    kills: Box<dyn FnMut(&CrashPoint) -> bool + Send>,
    at: Option<CrashPoint>,
}

fn dying(kills: impl FnMut(&CrashPoint) -> bool + Send + 'static) -> (CrashHook, Arc<Mutex<Death>>, Arc<Notify>) {
    let death = Arc::new(Mutex::new(Death {
        kills: Box::new(kills),
        at: None,
    }));
    let (inner, notify) = (Arc::clone(&death), Arc::new(Notify::new()));
    let told = Arc::clone(&notify);
    let hook: CrashHook = Arc::new(move |point| {
        let mut death = inner.lock().unwrap();
        if death.at.is_none() && point.place != "before_renewal" && (death.kills)(point) {
            death.at = Some(point.clone());
            told.notify_one();
        }
        let dead = death.at.is_some();
        Box::pin(async move {
            if dead {
                std::future::pending::<()>().await;
            }
        })
    });
    (hook, death, notify)
}

fn at_number(number: usize) -> impl FnMut(&CrashPoint) -> bool + Send + 'static {
    let mut seen = 0;
    move |_| {
        seen += 1;
        seen == number
    }
}

// One life of a worker: until it dies or the run ends. Where it died.
async fn live(
    store: &Store,
    ledger: &Ledger,
    run: &RunId,
    kills: impl FnMut(&CrashPoint) -> bool + Send + 'static,
) -> Option<CrashPoint> {
    let (hook, death, notify) = dying(kills);
    let (_, handle) = ledger.engine(store, Some(hook));
    tokio::select! {
        () = notify.notified() => {}
        _ = at_rest(store, run) => {}
    }
    handle.abort();
    let _ = handle.await;
    // On SQLite the next worker knows that this one is dead.
    if store.backend_name() == "postgres" {
        expire(store, run).await;
    }
    death.lock().unwrap().at.take()
}

fn world_for(ending: Ending) -> Ledger {
    let ledger = Ledger::default();
    match ending {
        Ending::Success => {}
        Ending::Failure => drop(ledger.world().failing.insert("end".into(), 99)),
        Ending::Cancel => drop(ledger.world().hanging.insert("left".into())),
    }
    ledger
}

// A person who cancels once the left branch is under way.
fn person(store: &Store, ledger: &Ledger, run: &RunId, ending: Ending) -> Option<tokio::task::JoinHandle<()>> {
    let (store, ledger, run) = (store.clone(), ledger.clone(), run.clone());
    (ending == Ending::Cancel).then(|| {
        tokio::spawn(async move {
            ledger
                .until("at the left step", |world| world.in_effect.contains_key("left"))
                .await;
            cancel_run(&store, &run).await;
        })
    })
}

async fn check(store: &Store, ledger: &Ledger, run: &RunId, ending: Ending, crashes: &[CrashPoint]) {
    let record = store.run(run).await.unwrap().unwrap();
    assert_eq!(record.run.state, ending.state(), "after {crashes:?}: {record:#?}");
    assert!(
        store.open_attempts(run).await.unwrap().is_empty(),
        "an intent was forgotten after {crashes:?}"
    );
    check_journal(store, run).await;
    let world = ledger.world();
    assert_eq!(world.refused, 0, "no worker was driven beside another, {crashes:?}");
    let mut ops = BTreeSet::new();
    for (direction, step, op) in &world.applied {
        assert!(ops.insert(op), "{direction} {step} took effect twice after {crashes:?}");
    }
    for (step, sent) in &world.sent {
        assert_eq!(sent.len(), 1, "{step} was sent under two keys after {crashes:?}");
    }
    if ending == Ending::Success {
        assert_eq!((world.in_effect.len(), world.applied.len()), (5, 5), "{crashes:?}");
    } else {
        assert!(
            world.in_effect.is_empty(),
            "something is left after {crashes:?}: {:?}",
            world.in_effect
        );
        assert!(!world.calls.contains(&"do end".to_owned()) || ending == Ending::Failure);
    }
}

// A run that is left alone says which points there are, and how often each is passed; then one run dies at each.
async fn at_every_point(kind: &str, ending: Ending, least: usize) {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let mut points = one_run(&store, kind, ending, None).await.1;
        points.sort();
        let mut reached = 0;
        for index in 0..points.len() {
            let passing = points[..index].iter().filter(|point| **point == points[index]).count();
            reached += usize::from(one_run(&store, kind, ending, Some((points[index].clone(), passing))).await.0);
        }
        // Which outcomes share a commit is a matter of time, so a point of one run may be missing in another.
        assert!(reached >= least, "only {reached} points of {} were reached", points.len());
    }
}

async fn one_run(store: &Store, kind: &str, ending: Ending, fatal: Option<(CrashPoint, usize)>) -> (bool, Vec<CrashPoint>) {
    let ledger = world_for(ending);
    let run = submit(store, &diamond(kind)).await;
    let person = person(store, &ledger, &run, ending);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let passed = Arc::clone(&seen);
    let crash = live(store, &ledger, &run, move |point| {
        let mut passed = passed.lock().unwrap();
        let before = passed.iter().filter(|earlier| *earlier == point).count();
        passed.push(point.clone());
        fatal
            .as_ref()
            .is_some_and(|(fatal, passing)| fatal == point && *passing == before)
    })
    .await;
    if crash.is_some() {
        live(store, &ledger, &run, |_| false).await;
    }
    let crashes: Vec<CrashPoint> = crash.into_iter().collect();
    check(store, &ledger, &run, ending, &crashes).await;
    if let Some(person) = person {
        person.await.unwrap();
    }
    let points = seen.lock().unwrap().clone();
    (!crashes.is_empty(), points)
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_keyed_plan_still_ends_in_success() {
    at_every_point("keyed", Ending::Success, 25).await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_one_way_plan_still_ends_in_success() {
    at_every_point("one_way", Ending::Success, 25).await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_failing_plan_still_undoes_everything() {
    at_every_point("keyed", Ending::Failure, 46).await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_failing_guarded_plan_still_undoes_everything() {
    at_every_point("guarded", Ending::Failure, 46).await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_cancelled_plan_still_undoes_everything() {
    at_every_point("keyed", Ending::Cancel, 20).await;
}

#[tokio::test]
async fn a_crash_and_another_in_recovery_change_nothing_either() {
    let mut rng = SmallRng::seed_from_u64(7);
    for database in TestDatabase::both().await {
        let store = database.open().await;
        for _ in 0..40 {
            let kind = ["keyed", "one_way", "guarded", "convergent"][rng.random_range(0..4)];
            let ending = [Ending::Success, Ending::Failure, Ending::Cancel][rng.random_range(0..3)];
            let ledger = world_for(ending);
            let run = submit(&store, &diamond(kind)).await;
            let person = person(&store, &ledger, &run, ending);
            let mut crashes = Vec::new();
            for number in [rng.random_range(1..26), rng.random_range(1..8), rng.random_range(1..8)] {
                crashes.extend(live(&store, &ledger, &run, at_number(number)).await);
            }
            live(&store, &ledger, &run, |_| false).await;
            check(&store, &ledger, &run, ending, &crashes).await;
            if let Some(person) = person {
                person.await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn every_do_and_every_undo_may_be_carried_out_twice() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let ledger = world_for(Ending::Failure);
        let run = submit(&store, &diamond("keyed")).await;
        let done = Arc::new(Mutex::new(BTreeSet::new()));
        loop {
            let done = Arc::clone(&done);
            let first_time = move |point: &CrashPoint| {
                let failing = point.step == "end" || point.step == "undo:end";
                point.place == "after_effect" && !failing && done.lock().unwrap().insert(point.step.clone())
            };
            if live(&store, &ledger, &run, first_time).await.is_none() {
                break;
            }
        }
        check(&store, &ledger, &run, Ending::Failure, &[]).await;
        let world = ledger.world();
        for step in ["begin", "left", "right", "join"] {
            for direction in ["do", "undo"] {
                let call = format!("{direction} {step}");
                // A branch beside the one that crashed was cut off and is repeated too.
                assert!(
                    world.calls.iter().filter(|c| **c == call).count() >= 2,
                    "{call}: {:?}",
                    world.calls
                );
            }
        }
    }
}
