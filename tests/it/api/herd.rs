//! What happens when a server comes back and everybody has waited for it.

use super::server::{Answer, Ask, Server};
use axum::http::StatusCode;
use greenroom::clock::Clock;
use greenroom::model::actor::Role;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::id::NodeId;
use greenroom::model::signature::SigningKey;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const AGENTS: usize = 10_000;
const PATIENCE: Duration = Duration::from_mins(5);

// Fills a database with agents that have registered, each with the same wish.
async fn fleet(server: &Server) -> (Arc<SigningKey>, Vec<NodeId>, String) {
    let (operator, _) = server.account("ops", Role::Operator).await;
    assert!(operator.role().is_some());
    let key = Arc::new(SigningKey::from_seed(&"9".repeat(64)).unwrap());
    let public = key.public().to_string();
    let configuration: NodeConfiguration = serde_json::from_value(json!({ "format": 1, "states": [] })).unwrap();
    let hash = configuration.hash().unwrap();
    let mut nodes = Vec::with_capacity(AGENTS);
    let mut tx = server.store.journal().await.unwrap();
    for index in 0..AGENTS {
        let node = NodeId::from_bits(server.store.next_id());
        tx.insert_agent(&node, &format!("web-{index}"), &public, "", "0.1.0")
            .await
            .unwrap();
        tx.set_agent_desired(&node, &hash, &configuration, true).await.unwrap();
        nodes.push(node);
    }
    tx.commit().await.unwrap();
    (key, nodes, hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_agents_that_come_back_at_once_are_all_served() {
    let server = Arc::new(Server::sqlite().await);
    let (key, nodes, hash) = fleet(&server).await;
    server.clock.advance(2_000);
    let restarted = Arc::new(server.again());
    let turned_away = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for node in nodes {
        let (server, restarted) = (Arc::clone(&server), Arc::clone(&restarted));
        let (key, turned_away) = (Arc::clone(&key), Arc::clone(&turned_away));
        tasks.spawn(async move {
            loop {
                let ask = Ask::get("/agent/v1/configuration").signed(&key, node.as_str(), server.clock.now());
                let answer: Answer = restarted.send(ask).await;
                if answer.status == StatusCode::OK {
                    return answer.header("etag").to_owned();
                }
                // Nothing but being asked to come back, and when.
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
                let seconds: u64 = answer.header("retry-after").parse().expect("it is told when to come back");
                assert!((1..=120).contains(&seconds), "{seconds}");
                turned_away.fetch_add(1, Ordering::Relaxed);
                assert!(began.elapsed() < PATIENCE, "it was turned away for minutes");
                // As agents do: not all in the same moment.
                let jitter = rand::random_range(0..1_000);
                tokio::time::sleep(Duration::from_millis(seconds * 1_000 + jitter)).await;
            }
        });
    }
    let mut served = 0;
    while let Some(answered) = tasks.join_next().await {
        assert_eq!(answered.unwrap(), format!("\"{hash}\""));
        served += 1;
    }
    assert_eq!(served, AGENTS);
    // People are served beside them, and afterwards as before.
    assert_eq!(restarted.send(Ask::get("/readyz")).await.status, StatusCode::OK);
}
