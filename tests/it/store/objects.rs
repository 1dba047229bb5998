//! Objects of the inventory as rows, in memory, and in their history.

use super::inventory::TEST;
use crate::support::database::TestDatabase;
use greenroom::model::inventory::{FactsFormat, Object, ObjectKind};
use greenroom::store::{Store, StoreError};
use serde_json::{Value, json};

pub(crate) fn node(name: &str, roles: &[&str], values: &Value) -> Object {
    let body = json!({
        "apiVersion": "greenroom/v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"datacenter": "dc1", "environment": "production", "roles": roles, "values": values}
    });
    Object::from_json(ObjectKind::Node, &body.to_string()).unwrap()
}

pub(crate) fn role(name: &str, roles: &[&str]) -> Object {
    let body = json!({
        "apiVersion": "greenroom/v1", "kind": "Role", "metadata": {"name": name}, "spec": {"roles": roles}
    });
    Object::from_json(ObjectKind::Role, &body.to_string()).unwrap()
}

pub(crate) async fn put(store: &Store, object: &Object) -> i64 {
    let mut tx = store.write(&TEST, "object.save", object.name()).await.unwrap();
    let version = tx
        .object_version(object.kind(), object.name())
        .await
        .unwrap()
        .map_or(1, |(v, _)| v + 1);
    tx.put_object(object, version, "test", "").await.unwrap();
    tx.commit().await.unwrap();
    version
}

async fn remove(store: &Store, object: &Object) {
    let mut tx = store.write(&TEST, "object.remove", object.name()).await.unwrap();
    let (version, _) = tx.object_version(object.kind(), object.name()).await.unwrap().unwrap();
    tx.remove_object(object.kind(), object.name(), version + 1, "test")
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// All terms of the index: name of the document, path, value.
async fn index(store: &Store) -> Vec<(String, String, String)> {
    let pool = sqlx::any::AnyPoolOptions::new()
        .max_connections(1)
        .connect(store.url())
        .await
        .unwrap();
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT d.name, k.path, t.value FROM index_terms t JOIN index_keys k ON k.id = t.key_id \
         JOIN index_documents d ON d.id = t.document ORDER BY d.name, k.path, t.value",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    pool.close().await;
    rows
}

async fn values(store: &Store, name: &str, path: &str) -> Vec<String> {
    let all = index(store).await.into_iter();
    all.filter(|(n, p, _)| n == name && p == path)
        .map(|(_, _, value)| value)
        .collect()
}

#[tokio::test]
async fn what_is_saved_is_in_memory_and_in_the_index_at_once_and_what_is_dropped_in_neither() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let mut tx = store.write(&TEST, "object.save", "web1").await.unwrap();
        tx.put_object(&node("web1", &[], &json!({"x": 1})), 1, "test", "")
            .await
            .unwrap();
        assert!(store.inventory().nodes.is_empty());
        drop(tx);
        assert!(index(&store).await.is_empty());

        put(&store, &node("web1", &[], &json!({"x": 1}))).await;
        let name = "web1".parse().unwrap();
        assert_eq!(store.inventory().node(&name).unwrap().version, 1);
        assert_eq!(values(&store, "web1", "values.x").await, ["1"]);
        put(&store, &node("web1", &[], &json!({"y": 2}))).await;
        assert_eq!(store.inventory().node(&name).unwrap().version, 2);
        assert!(
            values(&store, "web1", "values.x").await.is_empty(),
            "what is no more is not found"
        );
        assert_eq!(values(&store, "web1", "values.y").await, ["2"]);
        remove(&store, &node("web1", &[], &json!({}))).await;
        assert!(store.inventory().nodes.is_empty() && index(&store).await.is_empty());
    }
}

#[tokio::test]
async fn every_version_stays_and_any_revision_can_be_looked_at() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        for x in 1..=2 {
            put(&store, &node("web1", &[], &json!({ "x": x }))).await;
        }
        remove(&store, &node("web1", &[], &json!({}))).await;
        assert_eq!(
            put(&store, &node("web1", &[], &json!({"x": 4}))).await,
            4,
            "versions go on after a removal"
        );
        let versions = store.object_versions(ObjectKind::Node, "web1").await.unwrap();
        assert_eq!(versions.iter().map(|v| v.version).collect::<Vec<_>>(), [4, 3, 2, 1]);
        assert!(
            versions.windows(2).all(|pair| pair[0].revision > pair[1].revision),
            "{versions:?}"
        );
        assert!(versions[1].body.is_none());

        for (version, x) in [(0, Some(4)), (1, None), (2, Some(2)), (3, Some(1))] {
            let revision = versions[version].revision;
            let then = store.inventory_at(revision).await.unwrap();
            let found = then.nodes.values().next().map(|record| record.body.spec.values["x"].clone());
            assert_eq!(found, x.map(Value::from), "at revision {revision}");
            let one = store.object_at(ObjectKind::Node, "web1", revision).await.unwrap().unwrap();
            assert_eq!(one, versions[version]);
        }
        assert!(store.inventory_at(0).await.unwrap().nodes.is_empty());
    }
}

#[tokio::test]
async fn the_same_version_of_an_object_cannot_be_saved_twice() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        put(&store, &node("web1", &[], &json!({"x": 1}))).await;
        let mut tx = store.write(&TEST, "object.save", "web1").await.unwrap();
        let refused = tx.put_object(&node("web1", &[], &json!({"x": 2})), 1, "test", "").await;
        assert!(matches!(refused, Err(StoreError::Taken(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn facts_and_what_people_say_of_a_node_are_indexed_beside_each_other() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        put(&store, &node("web1", &[], &json!({"x": 1}))).await;
        let report = async |facts: Value| {
            let mut tx = store.journal().await.unwrap();
            let changed = tx.put_facts("web1", &facts, FactsFormat::Ohai).await.unwrap();
            tx.commit().await.unwrap();
            changed
        };
        assert!(report(json!({"platform": "debian", "uptime": "1 day"})).await);
        assert!(
            !report(json!({"platform": "debian", "uptime": "1 day"})).await,
            "the same again is no change"
        );
        assert_eq!(values(&store, "web1", "facts.platform").await, ["debian"]);
        assert!(
            values(&store, "web1", "facts.uptime").await.is_empty(),
            "what changes by itself is not indexed"
        );
        put(&store, &node("web1", &[], &json!({"x": 2}))).await;
        assert_eq!(values(&store, "web1", "facts.platform").await, ["debian"]);
        assert!(report(json!({"platform": "ubuntu"})).await);
        assert_eq!(values(&store, "web1", "values.x").await, ["2"]);
        assert_eq!(values(&store, "web1", "facts.platform").await, ["ubuntu"]);
        assert_eq!(store.facts("web1").await.unwrap().unwrap().format, "ohai");
    }
}

#[tokio::test]
async fn nodes_are_found_by_the_roles_that_their_roles_include() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        put(&store, &role("base", &[])).await;
        put(&store, &role("web", &["base", "web"])).await;
        put(&store, &node("web1", &["web"], &json!({}))).await;
        assert_eq!(values(&store, "web1", "role").await, ["web"]);
        assert_eq!(values(&store, "web1", "roles").await, ["base", "web"]);
        put(&store, &role("web", &[])).await;
        assert_eq!(values(&store, "web1", "roles").await, ["web"]);
        put(&store, &role("web", &["base"])).await;
        assert_eq!(values(&store, "web1", "roles").await, ["base", "web"]);
    }
}

#[tokio::test]
async fn an_index_of_another_format_is_written_anew_when_the_database_is_opened() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        put(&store, &role("web", &[])).await;
        put(&store, &node("web1", &["web"], &json!({"x": 1}))).await;
        let mut tx = store.journal().await.unwrap();
        tx.put_facts("web1", &json!({"platform": "debian"}), FactsFormat::Ohai)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let before = index(&store).await;
        let pool = sqlx::any::AnyPoolOptions::new()
            .max_connections(1)
            .connect(store.url())
            .await
            .unwrap();
        for statement in [
            "DELETE FROM index_terms",
            "UPDATE settings SET value = '0' WHERE name = 'search-index'",
        ] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        pool.close().await;
        store.close().await;
        drop(store);
        let store = database.open().await;
        assert_eq!(index(&store).await, before);
    }
}

#[tokio::test]
async fn another_server_on_the_same_database_sees_a_change() {
    let Some(database) = TestDatabase::postgres().await else {
        return;
    };
    let one = database.open().await;
    let other = database.open().await;
    let mut changes = other.changes();
    put(&one, &node("web1", &[], &json!({}))).await;
    tokio::time::timeout(std::time::Duration::from_secs(10), changes.recv())
        .await
        .unwrap()
        .unwrap();
    assert!(other.inventory().node(&"web1".parse().unwrap()).is_some());
}
