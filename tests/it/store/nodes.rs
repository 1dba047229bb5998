//! Nodes: registration, desired configuration, reports.

use super::inventory::{owner, stack};
use crate::support::database::TestDatabase;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::id::{NodeId, StackId};
use greenroom::store::Store;
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
