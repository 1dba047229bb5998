//! What agents say and ask over HTTP.

use super::server::{Ask, Server};
use crate::store::inventory::stack;
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use flate2::Compression;
use flate2::write::GzEncoder;
use greenroom::clock::Clock;
use greenroom::model::actor::Role;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::id::{NodeId, StackId};
use greenroom::model::secret;
use greenroom::model::signature::{SigningKey, content_digest, document};
use greenroom::model::time::Timestamp;
use greenroom::wire::agent::{NewKey, Report};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write;
use std::time::{Duration, Instant};

struct Node {
    id: NodeId,
    stack: StackId,
    key: SigningKey,
}

impl Node {
    fn sign(&self, server: &Server, ask: Ask) -> Ask {
        ask.signed(&self.key, self.id.as_str(), server.clock.now())
    }
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
    let key = SigningKey::from_seed(&"7".repeat(64)).unwrap();
    let register = json!({"node": id.as_str(), "key": key.public().to_string(), "facts": {"os": "linux"}});
    let ask = |token: &str, key: &SigningKey| {
        let ask = Ask::post("/agent/v1/register").token(token).json(&register);
        ask.signed(key, id.as_str(), server.clock.now())
    };
    let answer = server.send(ask("boot", &key)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json()["node"], id.as_str());
    assert_eq!(server.send(ask("guess", &key)).await.problem(), "not-signed-in");
    let other = SigningKey::from_seed(&"8".repeat(64)).unwrap();
    let stolen = server.send(ask("boot", &other)).await;
    assert_eq!(stolen.problem(), "signature-refused", "whoever registers a key holds it");
    Node { stack: row.id, key, id }
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
    restorable: false,
    audit: false,
    format: 1,
    states: Vec::new(),
};

#[tokio::test]
async fn a_node_gets_its_configuration_and_is_told_when_it_changes() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let node = node(&server).await;
        let ask = || node.sign(&server, Ask::get("/agent/v1/configuration"));
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
    let ask = node
        .sign(&server, Ask::get("/agent/v1/configuration"))
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
    let ask = |name: &str| node.sign(&server, Ask::get(&format!("/agent/v1/secrets/{name}")));
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
            .send(node.sign(&server, Ask::post("/agent/v1/reports").json(&report)))
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
            .send(node.sign(&server, Ask::post("/agent/v1/logs").json(&batch)))
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }
    let foreign = json!({"chunks": [{"stream": "../x", "writer": "w", "writer_seq": 1, "at_ms": 5, "text": "x"}]});
    let answer = server
        .send(node.sign(&server, Ask::post("/agent/v1/logs").json(&foreign)))
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

#[tokio::test]
async fn what_the_server_hands_out_is_signed_for_that_node() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    let hash = want(&server, &node, &EMPTY).await;
    let answer = server.send(node.sign(&server, Ask::get("/agent/v1/configuration"))).await;
    let (issued, signature) = answer.header("greenroom-signature").split_once(";sig=").unwrap();
    let issued: i64 = issued.strip_prefix("issued=").unwrap().parse().unwrap();
    let seed = server.store.signing_seed().await.unwrap();
    let key = SigningKey::from_seed(&seed).unwrap().public();
    let signed = |node: &str, body: &str| document(node, &hash, issued, body.as_bytes());
    assert!(key.verify(&signed(node.id.as_str(), &answer.text), signature));
    assert!(!key.verify(&signed("nod_another", &answer.text), signature));
    assert!(!key.verify(&signed(node.id.as_str(), &format!("{} ", answer.text)), signature));
}

#[tokio::test]
async fn a_message_counts_once_and_a_question_may_be_asked_again() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    let hash = want(&server, &node, &EMPTY).await;
    let ask = node.sign(&server, Ask::get("/agent/v1/configuration"));
    for _ in 0..2 {
        assert_eq!(server.send(ask.clone()).await.status, StatusCode::OK);
    }
    let tell = node.sign(&server, Ask::post("/agent/v1/reports").json(&report("r1", &hash)));
    assert_eq!(server.send(tell.clone()).await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.send(tell.clone()).await.problem(), "signature-refused");
    // A server that was started meanwhile does not remember it, and takes nothing from before its start.
    server.clock.advance(2_000);
    let restarted = server.again();
    assert_eq!(restarted.send(tell).await.problem(), "clock-skew");
}

#[tokio::test]
async fn what_is_changed_on_the_way_is_refused() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    let hash = want(&server, &node, &EMPTY).await;
    let tell = node.sign(&server, Ask::post("/agent/v1/reports").json(&report("r1", &hash)));
    let other_body = tell.json(&report("r2", &hash));
    assert_eq!(server.send(other_body.clone()).await.problem(), "signature-refused");
    let digest = content_digest(report("r2", &hash).to_string().as_bytes());
    let other_digest = other_body.header("content-digest", &digest);
    assert_eq!(server.send(other_digest).await.problem(), "signature-refused");
    let elsewhere = node.sign(&server, Ask::get("/agent/v1/secrets/a")).to("/agent/v1/secrets/b");
    assert_eq!(server.send(elsewhere).await.problem(), "signature-refused");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_from_a_key_that_is() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    want(&server, &node, &EMPTY).await;
    for (off, wanted) in [
        (0, "ok"),
        (290, "ok"),
        (-290, "ok"),
        (310, "clock-skew"),
        (-310, "clock-skew"),
    ] {
        let at = Timestamp(server.clock.now().0 + off * 1000);
        let ask = Ask::get("/agent/v1/configuration").signed(&node.key, node.id.as_str(), at);
        let answer = server.send(ask).await;
        if wanted == "ok" {
            assert_eq!(answer.status, StatusCode::OK, "{off}: {answer:?}");
        } else {
            assert_eq!(answer.problem(), wanted, "{off}");
        }
    }
    let other = SigningKey::from_seed(&"8".repeat(64)).unwrap();
    let ask = Ask::get("/agent/v1/configuration").signed(&other, node.id.as_str(), server.clock.now());
    assert_eq!(server.send(ask).await.problem(), "signature-refused");
}

#[tokio::test]
async fn a_node_goes_over_to_another_key_that_it_holds() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    want(&server, &node, &EMPTY).await;
    let next = SigningKey::from_seed(&"9".repeat(64)).unwrap();
    let public = next.public().to_string();
    let rotate = |by: &SigningKey| {
        let proof = by.sign(NewKey::words(node.id.as_str(), &public).as_bytes());
        node.sign(
            &server,
            Ask::post("/agent/v1/keys").json(&json!({ "key": public, "proof": proof })),
        )
    };
    assert_eq!(server.send(rotate(&node.key)).await.problem(), "signature-refused");
    assert_eq!(server.send(rotate(&next)).await.status, StatusCode::NO_CONTENT);
    let ask = |key: &SigningKey| Ask::get("/agent/v1/configuration").signed(key, node.id.as_str(), server.clock.now());
    assert_eq!(server.send(ask(&next)).await.status, StatusCode::OK);
    assert_eq!(server.send(ask(&node.key)).await.problem(), "signature-refused");
}

#[tokio::test]
async fn a_report_of_100_megabytes_is_refused_however_it_is_packed() {
    let server = Server::sqlite().await;
    let node = node(&server).await;
    let hash = want(&server, &node, &EMPTY).await;
    let plain = vec![b' '; 100 * 1024 * 1024];
    let huge = node.sign(&server, Ask::post("/agent/v1/reports").body(plain.clone()));
    assert_eq!(server.send(huge).await.problem(), "too-large");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(packed.len() < 1024 * 1024);
    let ask = Ask::post("/agent/v1/reports").body(packed).header("content-encoding", "gzip");
    assert_eq!(server.send(node.sign(&server, ask)).await.problem(), "too-large");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(report("r1", &hash).to_string().as_bytes()).unwrap();
    let ask = Ask::post("/agent/v1/reports")
        .body(encoder.finish().unwrap())
        .header("content-encoding", "gzip");
    assert_eq!(server.send(node.sign(&server, ask)).await.status, StatusCode::NO_CONTENT);
}

fn report(id: &str, hash: &str) -> Value {
    json!({
        "id": id, "configuration": hash, "outcome": "applied", "states": [], "unchanged": 0, "services": [], "took_ms": 4
    })
}

proptest! {
    // Whatever someone sends in a report's place, the decoder says what is wrong with it and does not fall over.
    #[test]
    fn whatever_is_sent_for_a_report_is_decoded_or_refused(bytes in mangled_report()) {
        let _ = serde_json::from_slice::<Report>(&bytes);
        if let Ok(told) = greenroom::http::extract::decoded::<Report>(&bytes) {
            let again = serde_json::to_vec(&told).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Report>(&again).unwrap(), told);
        }
    }
}

// A good report with some bytes put out of place, which gets further than noise does.
fn mangled_report() -> impl Strategy<Value = Vec<u8>> {
    let good = json!({
        "id": "r1", "configuration": "sha256:0", "outcome": "failed", "unchanged": 3, "took_ms": 4,
        "states": [{ "id": "shop/file/x", "outcome": "failed", "note": "why", "took_ms": 1 }],
        "services": [{ "name": "web", "state": "running", "restarts": 0, "pid": 17 }],
        "fault": { "code": "state-failed", "what": "It failed", "turn": "app_owner", "log_tail": ["a", "b"] },
    });
    let good = good.to_string().into_bytes();
    let changes = proptest::collection::vec((0..good.len(), any::<u8>(), 0..4_u8), 0..6);
    changes.prop_map(move |changes| {
        let mut bytes = good.clone();
        for (at, byte, what) in changes {
            let at = at.min(bytes.len().saturating_sub(1));
            match what {
                0 => bytes.insert(at, byte),
                1 if !bytes.is_empty() => bytes[at] = byte,
                2 => bytes.truncate(at),
                _ => bytes.extend_from_slice(&good[..at]),
            }
        }
        bytes
    })
}
