//! Nodes: registration, desired configuration, reports.

use super::inventory::{owner, stack};
use crate::support::database::TestDatabase;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::id::{NodeId, StackId};
use greenroom::model::time::Timestamp;
use greenroom::store::Store;
use greenroom::store::logs::Piece;
use greenroom::store::vault::{KEY, Vault};
use serde_json::json;

async fn node(store: &Store) -> (StackId, NodeId) {
    let owner = owner(store).await;
    let stack = stack(store, &owner, "velvet-solo");
    let node = NodeId::from_bits(store.next_id());
    let mut tx = store.journal().await.unwrap();
    tx.insert_stack(&stack).await.unwrap();
    tx.insert_node(&node, &stack.id, "fake").await.unwrap();
    tx.set_node_bootstrap(&node, "boot").await.unwrap();
    tx.commit().await.unwrap();
    (stack.id, node)
}

async fn register(store: &Store, node: &NodeId, token: &str, key: &str) -> bool {
    let mut tx = store.journal().await.unwrap();
    let done = tx.register_node(node, token, key, &json!({})).await.unwrap();
    tx.commit().await.unwrap();
    done
}

#[tokio::test]
async fn a_token_registers_one_key_and_the_same_key_again() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let (_, node) = node(&store).await;
        assert!(!register(&store, &node, "wrong", "key").await);
        assert!(register(&store, &node, "boot", "key").await);
        assert!(
            register(&store, &node, "boot", "key").await,
            "an agent killed before the answer asks again"
        );
        assert!(
            !register(&store, &node, "boot", "other").await,
            "nobody else can take the node over"
        );
        let mut tx = store.journal().await.unwrap();
        tx.set_node_gone(&node).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!register(&store, &node, "boot", "key").await);
        assert!(store.live_nodes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn going_back_to_a_configuration_forgets_the_old_report_about_it() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let (stack, node) = node(&store).await;
        let body = NodeConfiguration {
            restorable: false,
            audit: false,
            format: 1,
            states: vec![],
        };
        let want = async |hash: &str| {
            let mut tx = store.journal().await.unwrap();
            tx.set_node_desired(&node, hash, Some(&body), ("run_1", "converge"))
                .await
                .unwrap();
            tx.commit().await.unwrap();
        };
        want("sha256:a").await;
        let mut tx = store.journal().await.unwrap();
        tx.save_report(&node, &stack, "sha256:a", "r1", "applied", &json!({"x": 1}))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        want("sha256:a").await;
        assert!(
            store.report(&node, "sha256:a").await.unwrap().is_some(),
            "wanting the same again changes nothing"
        );
        want("sha256:b").await;
        want("sha256:a").await;
        assert!(
            store.report(&node, "sha256:a").await.unwrap().is_none(),
            "a report from before says nothing about now"
        );
    }
}

#[tokio::test]
async fn secrets_are_stored_sealed_and_those_from_before_are_sealed_too() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let (stack, _) = node(&store).await;
        let put = async |store: &Store, name: &str, value: &str| {
            let mut tx = store.journal().await.unwrap();
            tx.insert_secret(&stack, name, value).await.unwrap();
            tx.commit().await.unwrap();
        };
        put(&store, "before", "hunter2").await;
        assert!(raw(&store).await.iter().any(|value| value == "hunter2"));
        let key = |byte| Vault::new(&[byte; KEY]).unwrap();
        store.lock_secrets(key(1)).await.unwrap();
        put(&store, "after", "swordfish").await;
        put(&store, "after", "never taken").await;
        let stored = raw(&store).await;
        assert!(
            stored.len() == 2 && stored.iter().all(|value| value.starts_with("sealed1:")),
            "{stored:?}"
        );
        for (name, value) in [("before", "hunter2"), ("after", "swordfish")] {
            assert_eq!(store.secret(&stack, name).await.unwrap().as_deref(), Some(value));
        }
        let error = store.lock_secrets(key(2)).await.unwrap_err().to_string();
        assert!(error.contains("the key is not the one"), "{error}");
        store.lock_secrets(key(1)).await.unwrap();
    }
}

async fn raw(store: &Store) -> Vec<String> {
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(store.url()).await.unwrap();
    sqlx::query_scalar("SELECT value FROM secrets")
        .fetch_all(&pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn pieces_of_logs_are_stored_together_and_once() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let piece = |number: i64, stream: &str| Piece {
            stream: stream.into(),
            writer: "node".into(),
            writer_seq: Some(number),
            at: Timestamp(number),
            text: format!("{stream} {number}\n"),
        };
        store
            .append_logs(&[piece(1, "a"), piece(2, "a"), piece(1, "b")])
            .await
            .unwrap();
        // Sent again after a lost answer, with more.
        store
            .append_logs(&[piece(2, "a"), piece(1, "b"), piece(3, "a")])
            .await
            .unwrap();
        let text = async |stream: &str| -> Vec<String> {
            let chunks = store.read_log(stream, 0, 10).await.unwrap();
            chunks.into_iter().map(|chunk| chunk.text).collect()
        };
        assert_eq!(text("a").await, ["a 1\n", "a 2\n", "a 3\n"]);
        assert_eq!(text("b").await, ["b 1\n"]);
    }
}
