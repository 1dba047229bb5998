//! `cargo bench --bench inventory`: searching a fleet, beside the same questions asked without an index in the same run.
//!
//! | figure | yardstick |
//! |---|---|
//! | a search of two words joined by AND, 10,000 nodes of 150 facts, SQLite: its total and a page of 50 | the same rows by `json_extract` over the facts |
//! | writing a node of which one value changed | |
//!
//! Figures of the machine it runs on; compare ratios, not milliseconds. `GREENROOM_BENCH_NODES` makes the fleet smaller.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

use greenroom::clock::{SystemClock, SystemIds};
use greenroom::model::actor::Actor;
use greenroom::model::inventory::{FactsFormat, Object, ObjectKind};
use greenroom::model::search::{Spelling, parse};
use greenroom::store::Store;
use greenroom::store::search::Search;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FACTS: usize = 150;
const QUESTIONS: usize = 400;
const SCANS: usize = 12;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

fn show(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "{what:<66} p50 {:>9.2?}  p99 {:>9.2?}  max {:>9.2?}  (n={})",
        at(50),
        at(99),
        times[times.len() - 1],
        times.len()
    );
    at(99)
}

fn node(index: usize, note: &str) -> Object {
    let datacenter = format!("dc{}", index % 3 + 1);
    let role = ["web", "db", "cache", "queue", "batch"][index / 3 % 5];
    let body = json!({
        "apiVersion": "greenroom/v1", "kind": "Node", "metadata": {"name": format!("node-{index:05}")},
        "spec": {"datacenter": datacenter, "environment": "production", "roles": [role], "values": {"note": note}}
    });
    Object::from_json(ObjectKind::Node, &body.to_string()).unwrap()
}

// Some facts are the same everywhere, some take a few values, some are every node's own.
fn facts(index: usize) -> Value {
    let mut facts = serde_json::Map::new();
    for fact in 0..FACTS {
        let value = match fact % 3 {
            0 => format!("common-{fact}"),
            1 => format!("one-of-{}", (index + fact) % 7),
            _ => format!("own-{index}-{fact}"),
        };
        facts.insert(format!("fact_{fact:03}"), json!(value));
    }
    Value::Object(facts)
}

async fn run() {
    let nodes: usize = std::env::var("GREENROOM_BENCH_NODES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bench.db");
    let url = format!("sqlite:{}", file.display());
    let store = Store::open(&url, Arc::new(SystemClock), Arc::new(SystemIds)).await.unwrap();
    let actor = Actor::system("bench");
    let began = Instant::now();
    for chunk in (0..nodes).collect::<Vec<_>>().chunks(500) {
        let mut tx = store.write(&actor, "bench.fill", "x").await.unwrap();
        for index in chunk {
            tx.put_object(&node(*index, "first"), 1, "bench", "").await.unwrap();
            let name = format!("node-{index:05}");
            tx.put_facts(&name, &facts(*index), FactsFormat::Greenroom).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let size = std::fs::metadata(&file).unwrap().len() >> 20;
    println!(
        "{nodes} nodes of {FACTS} facts written in {:.1?}; the database has {size} MiB\n",
        began.elapsed()
    );

    let pool = sqlx::any::AnyPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    let mut scans = Vec::new();
    for round in 0..SCANS {
        let began = Instant::now();
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT o.name, o.body FROM objects o JOIN node_facts f ON f.node = o.name WHERE o.kind = 'node' \
             AND json_extract(o.body, '$.spec.datacenter') = $1 AND json_extract(f.body, '$.fact_001') = $2 ORDER BY o.name",
        )
        .bind(format!("dc{}", round % 3 + 1))
        .bind(format!("one-of-{}", round % 7))
        .fetch_all(&pool)
        .await
        .unwrap();
        scans.push(began.elapsed());
        let found = ask(&store, round).await;
        assert_eq!(usize::try_from(found).unwrap(), rows.len(), "both find the same");
    }
    let mut searches = Vec::new();
    for round in 0..QUESTIONS {
        let began = Instant::now();
        ask(&store, round).await;
        searches.push(began.elapsed());
    }
    let mut writes = Vec::new();
    for index in 0..100 {
        let began = Instant::now();
        let mut tx = store.write(&actor, "bench.change", "x").await.unwrap();
        tx.put_object(&node(index, "second"), 2, "bench", "").await.unwrap();
        tx.commit().await.unwrap();
        writes.push(began.elapsed());
    }
    let yardstick = show("the same rows by json_extract", scans);
    let ours = show("two words joined by AND: total and a page of 50", searches);
    println!(
        "{:<66} {:.1}\n",
        "  p99, times faster than the yardstick",
        yardstick.as_secs_f64() / ours.as_secs_f64()
    );
    show("a node of which one value changed, to committed and in memory", writes);
}

async fn ask(store: &Store, round: usize) -> i64 {
    let text = format!("datacenter:dc{} AND facts.fact_001:one\\-of\\-{}", round % 3 + 1, round % 7);
    let query = parse(&text).unwrap();
    let search = Search {
        kind: "node",
        query: &query,
        spelling: Spelling::Strict,
        after: None,
        start: 0,
        rows: 50,
        facts: false,
    };
    store.search(&search).await.unwrap().unwrap().total
}
