//! Secrets for nodes of the inventory: given, never shown, and handed to those who need them only.

use super::enrol::{Machine, enrolled, key, operator, register, token};
use super::server::{Ask, Server};
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use greenroom::store::vault::{KEY, Vault};
use serde_json::{Value, json};

const VALUE: &str = "hunter2-of-production";

async fn set(server: &Server, operator: &str, environment: Option<&str>, value: &str) -> StatusCode {
    let body = json!({ "name": "postgresql/shop", "environment": environment, "value": value });
    server
        .send(Ask::new("PUT", "/api/v1/secrets").token(operator).json(&body))
        .await
        .status
}

async fn asked(server: &Server, machine: &Machine, name: &str) -> Result<String, String> {
    let path = format!("/agent/v1/secrets/{name}");
    let answer = server.send(machine.sign(server, Ask::get(&path))).await;
    if answer.status.is_success() {
        Ok(answer.json()["value"].as_str().unwrap().to_owned())
    } else {
        Err(answer.problem())
    }
}

async fn save(server: &Server, operator: &str, kind: &str, name: &str, spec: Value, version: Option<&str>) {
    let object = json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    let path = format!("/api/v1/{}s/{name}", kind.to_lowercase());
    let mut ask = Ask::new("PUT", &path).token(operator).json(&object);
    if let Some(version) = version {
        ask = ask.header("if-match", version);
    }
    let answer = server.send(ask).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

// A node whose role makes a database user with the secret for its password.
async fn database_node(server: &Server, operator: &str) -> Machine {
    let machine = enrolled(server, operator).await;
    let recipe = "recipe: shop-database\ndescription: The shop's account\nstates:\n  - database_user: { name: shop, password: { secret: postgresql/shop } }\n";
    let files = json!({ "files": { "shop-database.yaml": recipe }, "note": "test" });
    let pushed = server.send(Ask::post("/api/v1/bundles").token(operator).json(&files)).await;
    assert!(pushed.status.is_success(), "{pushed:?}");
    let hash = pushed.json()["bundle"]["hash"].as_str().unwrap().to_owned();
    let promoted = Ask::new("PUT", "/api/v1/environments/production/bundle")
        .token(operator)
        .header("if-match", "\"1\"")
        .json(&json!({ "bundle": hash }));
    let promoted = server.send(promoted).await;
    assert!(promoted.status.is_success(), "{promoted:?}");
    save(
        server,
        operator,
        "Role",
        "database",
        json!({ "recipes": [{ "name": "shop-database" }] }),
        None,
    )
    .await;
    let node = json!({ "environment": "production", "datacenter": "dc1", "roles": ["database"] });
    save(server, operator, "Node", "web-1", node, Some("\"1\"")).await;
    server.control.deliver_configuration("web-1").await.unwrap();
    machine
}

#[tokio::test]
async fn a_secret_goes_to_the_node_whose_configuration_names_it_and_to_nobody_else() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        server.store.lock_secrets(Vault::new(&[7; KEY]).unwrap()).await.unwrap();
        let (_, operator) = operator(&server).await;
        let machine = database_node(&server, &operator).await;
        assert_eq!(asked(&server, &machine, "postgresql/shop").await.unwrap_err(), "not-found");
        assert_eq!(set(&server, &operator, None, "for-everybody").await, StatusCode::NO_CONTENT);
        assert_eq!(asked(&server, &machine, "postgresql/shop").await.unwrap(), "for-everybody");
        assert_eq!(set(&server, &operator, Some("uat"), "of-uat").await, StatusCode::NO_CONTENT);
        assert_eq!(asked(&server, &machine, "postgresql/shop").await.unwrap(), "for-everybody");
        assert_eq!(
            set(&server, &operator, Some("production"), VALUE).await,
            StatusCode::NO_CONTENT
        );
        assert_eq!(asked(&server, &machine, "postgresql/shop").await.unwrap(), VALUE);
        // Another one that is there, which nothing of the node's names.
        let other = json!({ "name": "postgresql/other", "value": VALUE });
        let given = server
            .send(Ask::new("PUT", "/api/v1/secrets").token(&operator).json(&other))
            .await;
        assert_eq!(given.status, StatusCode::NO_CONTENT, "{given:?}");
        assert_eq!(asked(&server, &machine, "postgresql/other").await.unwrap_err(), "not-found");
        // Another node, whose configuration does not name it.
        let boot = token(&server, &operator, 1).await["secret"].as_str().unwrap().to_owned();
        let answer = server.send(register(&server, &boot, "web-2", &key('6'))).await;
        let stranger = Machine {
            key: key('6'),
            name: "web-2",
            id: answer.json()["node"].as_str().unwrap().to_owned(),
        };
        assert_eq!(asked(&server, &stranger, "postgresql/shop").await.unwrap_err(), "not-found");

        let gone = Ask::new("DELETE", "/api/v1/secrets?name=postgresql/shop&environment=production").token(&operator);
        assert_eq!(server.send(gone).await.status, StatusCode::NO_CONTENT);
        assert_eq!(asked(&server, &machine, "postgresql/shop").await.unwrap(), "for-everybody");
    }
}

#[tokio::test]
async fn nothing_but_the_sealed_row_knows_the_value() {
    let database = TestDatabase::sqlite();
    let file = database.url.trim_start_matches("sqlite:").to_owned();
    let server = Server::on(database).await;
    server.store.lock_secrets(Vault::new(&[7; KEY]).unwrap()).await.unwrap();
    let (_, operator) = operator(&server).await;
    let machine = database_node(&server, &operator).await;
    assert_eq!(
        set(&server, &operator, Some("production"), VALUE).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(asked(&server, &machine, "postgresql/shop").await.unwrap(), VALUE);
    let mut said = String::new();
    for path in [
        "/api/v1/secrets",
        "/api/v1/nodes/web-1",
        "/api/v1/nodes/web-1/configuration",
        "/api/v1/nodes/web-1/explain?key=shop",
        "/api/v1/agents",
        "/api/v1/agents/web-1/reports",
        "/api/v1/bundles",
        "/api/v1/search/node?q=*:*",
    ] {
        said.push_str(&server.send(Ask::get(path).token(&operator)).await.text);
    }
    said.push_str(
        &server
            .send(machine.sign(&server, Ask::get("/agent/v1/configuration")))
            .await
            .text,
    );
    assert!(said.contains("postgresql/shop"), "the configuration and the list name it");
    assert!(!said.contains(VALUE), "{said}");
    // Every table at once, and whatever is not in a table yet.
    let mut sealed = false;
    for end in ["", "-wal", "-journal"] {
        let bytes = std::fs::read(format!("{file}{end}")).unwrap_or_default();
        let has = |text: &str| bytes.windows(text.len()).any(|piece| piece == text.as_bytes());
        assert!(!has(VALUE), "the database holds it in clear, in {file}{end}");
        sealed |= has("sealed1:");
    }
    assert!(sealed, "it is not even there");
    let audit = server.store.audit(None, None, 100).await.unwrap();
    let read = audit
        .iter()
        .find(|row| row.verb == "secret.read")
        .expect("who read it is known");
    assert_eq!((read.subject.as_str(), read.detail.as_str()), ("postgresql/shop", "web-1"));
}

#[tokio::test]
async fn secrets_are_refused_where_they_could_not_be_kept_or_found() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let unsealed = set(&server, &operator, None, VALUE).await;
    assert!(unsealed.is_server_error(), "without a key nothing is stored: {unsealed}");
    server.store.lock_secrets(Vault::new(&[7; KEY]).unwrap()).await.unwrap();
    for (body, field) in [
        (json!({ "name": "../etc", "value": "x" }), "name"),
        (json!({ "name": "a b", "value": "x" }), "name"),
        (json!({ "name": "a", "environment": "nowhere", "value": "x" }), "environment"),
        (json!({ "name": "a", "value": "" }), "value"),
    ] {
        let answer = server
            .send(Ask::new("PUT", "/api/v1/secrets").token(&operator).json(&body))
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert!(answer.text.contains(&format!("\"{field}\"")), "{answer:?}");
    }
    let (member, _) = server.account("member", Role::Member).await;
    let member = server.token(&member).await;
    let listed = server.send(Ask::get("/api/v1/secrets").token(&member)).await;
    assert_eq!(listed.problem(), "not-allowed");
    let unknown = Ask::new("DELETE", "/api/v1/secrets?name=a").token(&operator);
    assert_eq!(server.send(unknown).await.problem(), "not-found");
}
