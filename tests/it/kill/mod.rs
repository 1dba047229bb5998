//! `kill -9` of the real server: at every step boundary, inside every provider call, of a launch, an update, a stop, a start, a
//! rebuild and a destroy, on both databases. Each life of a stack is killed six times and must end as if nothing had happened: the
//! right page, one agent, one process of the app, every acknowledged log line, and in the end nothing at all.

mod server;

use crate::support::database::TestDatabase;
use server::{Life, Server};
use std::sync::Arc;
use tokio::sync::Semaphore;

const LAUNCH_STEPS: [&str; 7] = [
    "begin",
    "fetch-greeter",
    "node",
    "configure",
    "converge",
    "check-greeter-1",
    "publish",
];
const UPDATE_STEPS: [&str; 6] = [
    "begin",
    "fetch-greeter",
    "configure",
    "converge",
    "check-greeter-1",
    "publish",
];
const STOP_STEPS: [&str; 3] = ["begin", "stop", "rest"];
const START_STEPS: [&str; 6] = ["begin", "start", "configure", "converge", "check-greeter-1", "publish"];
const REBUILD_STEPS: [&str; 8] = [
    "begin",
    "fetch-greeter",
    "node",
    "configure",
    "converge",
    "check-greeter-1",
    "publish",
    "old",
];
const DESTROY_STEPS: [&str; 3] = ["node-1", "databases", "forget"];
const PLACES: [&str; 3] = ["before_intent", "after_intent", "after_effect"];

fn points(steps: &[&str], sandbox: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = steps
        .iter()
        .flat_map(|step| PLACES.iter().map(move |place| format!("{place}@{step}")))
        .collect();
    all.extend(sandbox.iter().map(|point| format!("sandbox@{point}")));
    all
}

async fn matrix(postgres: bool) {
    let launch = points(&LAUNCH_STEPS, greenroom::providers::sandbox::ENSURE_POINTS);
    let update = points(&UPDATE_STEPS, &[]);
    let stop = points(&STOP_STEPS, &[]);
    let start = points(&START_STEPS, &[]);
    let rebuild = points(&REBUILD_STEPS, greenroom::providers::sandbox::ENSURE_POINTS);
    let destroy = points(&DESTROY_STEPS, greenroom::providers::sandbox::DESTROY_POINTS);
    // On SQLite, lives at once only wait for the processor. On PostgreSQL, where another server could have the lease, each kill is
    // mostly a wait for its end.
    let places = Arc::new(Semaphore::new(if postgres { 6 } else { 2 }));
    let mut lives = tokio::task::JoinSet::new();
    // All of them takes minutes: in CI and with GREENROOM_KILL=all. GREENROOM_KILL=3 lives only that one; otherwise a few do.
    let wanted = std::env::var("GREENROOM_KILL").unwrap_or_default();
    let all = wanted == "all" || std::env::var_os("CI").is_some();
    let chosen: Vec<usize> = match wanted.parse() {
        Ok(only) => vec![only],
        Err(_) if all => (0..launch.len().max(rebuild.len())).collect(),
        Err(_) => vec![2, 17],
    };
    let count = chosen.len();
    for index in chosen {
        let pick = |all: &[String]| all[index % all.len()].clone();
        let (launch, update, destroy) = (pick(&launch), pick(&update), pick(&destroy));
        let (stop, start, rebuild) = (pick(&stop), pick(&start), pick(&rebuild));
        let places = Arc::clone(&places);
        lives.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            let database = if postgres { TestDatabase::postgres().await } else { None };
            if postgres && database.is_none() {
                return;
            }
            let server = Server::new(
                database,
                u16::try_from(27_000 + index * 20 + if postgres { 1_000 } else { 0 }).unwrap(),
            )
            .await;
            let mut life = Life::new(server);
            life.launch(&launch).await;
            life.update(&update).await;
            life.stop(&stop).await;
            life.start(&start).await;
            life.rebuild(&rebuild).await;
            life.destroy(&destroy).await;
        });
    }
    let mut ended = 0;
    while let Some(life) = lives.join_next().await {
        if let Err(error) = life {
            std::panic::resume_unwind(error.into_panic());
        }
        ended += 1;
    }
    assert_eq!(ended, count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_point_on_sqlite_goes_on_where_it_was() {
    matrix(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_point_on_postgresql_goes_on_where_it_was() {
    matrix(true).await;
}
