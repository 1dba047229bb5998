//! What agents say and ask over HTTP.

use super::server::{Ask, Server};
use crate::store::inventory::stack;
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::id::{NodeId, StackId};
use greenroom::model::secret;
use serde_json::json;
use std::time::{Duration, Instant};

struct Node {
    id: NodeId,
    stack: StackId,
    bearer: String,
}

// A node that has registered with its one-time token.
async fn node(server: &Server) -> Node {
    let (owner, _) = server.account("owner", Role::Member).await;
    let row = stack(&server.store, owner.user_id().unwrap(), "velvet-solo");
    let id = NodeId::from_bits(server.store.next_id());
    let mut tx = server.store.journal().await.unwrap();
    tx.insert_stack(&row).await.unwrap();
    tx.insert_node(&id, &row.id, "fake").await.unwrap();
    tx.set_node_bootstrap(&id, &secret::hash("boot")).await.unwrap();
    tx.commit().await.unwrap();
    let key = "a".repeat(64);
    let register = json!({"node": id.as_str(), "key": key, "facts": {"os": "linux"}});
    let answer = server
        .send(Ask::post("/agent/v1/register").token("boot").json(&register))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json()["node"], id.as_str());
    let wrong = server
        .send(Ask::post("/agent/v1/register").token("guess").json(&register))
        .await;
    assert_eq!(wrong.problem(), "not-signed-in");
    Node {
        bearer: format!("{id}:{key}"),
        stack: row.id,
        id,
    }
}

async fn want(server: &Server, node: &Node, states: &NodeConfiguration) -> String {
    let hash = states.hash().unwrap();
    let mut tx = server.store.journal().await.unwrap();
    tx.set_node_desired(&node.id, &hash, Some(states), ("run_1", "converge"))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    hash
}

const EMPTY: NodeConfiguration = NodeConfiguration {
    format: 1,
    states: Vec::new(),
};

#[tokio::test]
async fn a_node_gets_its_configuration_and_is_told_when_it_changes() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let node = node(&server).await;
        let ask = || Ask::get("/agent/v1/configuration").token(&node.bearer);
        assert_eq!(server.send(ask()).await.problem(), "not-found", "there is none yet");
        let waiting = server.send(ask().header("prefer", "wait=30"));
        let changing = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            want(&server, &node, &EMPTY).await
        };
        let start = Instant::now();
        let (answer, hash) = tokio::join!(waiting, changing);
        assert!(start.elapsed() < Duration::from_secs(10), "the wait ends with the change");
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("etag"), format!("\"{hash}\""));
        assert_eq!(answer.json()["format"], 1);
        let same = server.send(ask().header("if-none-match", answer.header("etag"))).await;
        assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    }
}

#[tokio::test]
async fn a_wait_ends_when_the_server_stops() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    let hash = want(&server, &node, &EMPTY).await;
    let ask = Ask::get("/agent/v1/configuration")
        .token(&node.bearer)
        .header("prefer", "wait=55");
    let waiting = server.send(ask.header("if-none-match", &format!("\"{hash}\"")));
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.state.shutdown.cancel();
    };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(waiting, stopping) })
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_node_reads_the_secrets_of_its_own_stack_only() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    let mut tx = server.store.journal().await.unwrap();
    tx.insert_secret(&node.stack, "shop/env/SESSION_KEY", "s3cret").await.unwrap();
    tx.commit().await.unwrap();
    let ask = |name: &str| Ask::get(&format!("/agent/v1/secrets/{name}")).token(&node.bearer);
    assert_eq!(server.send(ask("shop/env/SESSION_KEY")).await.json()["value"], "s3cret");
    assert_eq!(server.send(ask("shop/env/OTHER")).await.problem(), "not-found");
}

#[tokio::test]
async fn reports_and_logs_are_taken_once_and_in_bulk() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    let hash = want(&server, &node, &EMPTY).await;
    let report = json!({
        "id": "r1", "configuration": hash, "outcome": "applied", "states": [], "unchanged": 0, "services": [], "took_ms": 4
    });
    for _ in 0..2 {
        let answer = server
            .send(Ask::post("/agent/v1/reports").token(&node.bearer).json(&report))
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }
    let text = "a line of log\n".repeat(4_000);
    let chunks: Vec<_> = (1..40)
        .map(|n| json!({"stream": "service/shop-web", "writer": "w", "writer_seq": n, "at_ms": 5, "text": text}))
        .collect();
    let batch = json!({ "chunks": chunks });
    assert!(batch.to_string().len() > 2 * 1024 * 1024);
    for _ in 0..2 {
        let answer = server
            .send(Ask::post("/agent/v1/logs").token(&node.bearer).json(&batch))
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }
    let foreign = json!({"chunks": [{"stream": "../x", "writer": "w", "writer_seq": 1, "at_ms": 5, "text": "x"}]});
    let answer = server
        .send(Ask::post("/agent/v1/logs").token(&node.bearer).json(&foreign))
        .await;
    assert_eq!(answer.problem(), "invalid-request");
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let path = format!("/api/v1/stacks/{}/services/shop-web/log", node.stack);
    let mut seen = 0;
    let mut after = json!(0);
    loop {
        let page = server
            .send(Ask::get(&format!("{path}?after={after}")).token(&token))
            .await
            .json();
        let chunks = page["chunks"].as_array().unwrap();
        if chunks.is_empty() {
            break;
        }
        seen += chunks.iter().filter(|chunk| chunk["text"] == text).count();
        after = page["next"].clone();
    }
    assert_eq!(seen, 39, "each chunk once, though the batch was sent twice");
}
