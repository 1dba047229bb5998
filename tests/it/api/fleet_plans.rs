//! What files would change on the fleet's nodes, before they are applied.

use super::inventory::operator;
use super::server::{Answer, Ask, Server};
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use serde_json::{Value, json};

fn file(kind: &str, name: &str, spec: &Value) -> Value {
    let body = json!({"apiVersion": "greenroom/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    json!({"name": format!("{name}.json"), "content": body.to_string()})
}

fn folder(workers: u32) -> Vec<Value> {
    let node = json!({"datacenter": "dc1", "environment": "production", "roles": ["web"]});
    vec![
        file("Datacenter", "dc1", &json!({"values": {"workers": workers}})),
        file("Environment", "production", &json!({})),
        file("Role", "web", &json!({"recipes": [{"name": "hello"}]})),
        file("Node", "web1", &node),
        file("Node", "web2", &node),
    ]
}

async fn apply(server: &Server, token: &str, request: &Value) -> Answer {
    server
        .send(Ask::post("/api/v1/inventory/apply").token(token).json(request))
        .await
}

#[tokio::test]
async fn a_plan_of_files_says_which_nodes_they_would_change() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    let recipe = "recipe: hello\ndescription: says hello\nstates:\n  - file:\n      path: /etc/hello\n      content: \"{{ values.workers }} workers\\n\"\n";
    let pushed = server
        .send(
            Ask::post("/api/v1/bundles")
                .token(&token)
                .json(&json!({"files": {"hello.yaml": recipe}})),
        )
        .await;
    assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.text);
    let hash = pushed.json()["bundle"]["hash"].clone();
    let with_bundle = |mut files: Vec<Value>| {
        files[1] = file("Environment", "production", &json!({"bundle": hash}));
        files
    };
    let first = with_bundle(folder(2));

    let new = apply(&server, &token, &json!({"files": first, "plan": true, "fleet": true})).await;
    assert_eq!(new.status, StatusCode::OK, "{}", new.text);
    assert_eq!(new.json()["fleet"]["touched"], 2, "{}", new.text);
    let done = apply(&server, &token, &json!({"files": first})).await;
    assert_eq!(done.json()["applied"], true, "{}", done.text);
    assert_eq!(done.json().get("fleet"), None, "only where it is asked for");

    let again = apply(&server, &token, &json!({"files": first, "plan": true, "fleet": true})).await;
    assert_eq!(again.json()["fleet"]["touched"], 0, "{}", again.text);

    let more = apply(
        &server,
        &token,
        &json!({"files": with_bundle(folder(8)), "plan": true, "fleet": true}),
    )
    .await;
    let fleet = &more.json()["fleet"];
    assert_eq!(fleet["summary"], "this change touches 2 nodes, 1 distinct diff", "{fleet}");
    assert_eq!(fleet["groups"][0]["nodes"], json!(["web1", "web2"]));
    let diff = fleet["groups"][0]["diff"].as_str().unwrap();
    assert!(diff.contains("8 workers") && diff.contains("2 workers"), "{diff}");

    let mut fewer = with_bundle(folder(2));
    fewer.pop();
    let pruned = apply(
        &server,
        &token,
        &json!({"files": fewer, "plan": true, "fleet": true, "prune": true}),
    )
    .await;
    assert_eq!(
        pruned.json()["fleet"]["groups"][0]["nodes"],
        json!(["web2"]),
        "{}",
        pruned.text
    );
    let kept = server.send(Ask::get("/api/v1/nodes/web2").token(&token)).await;
    assert_eq!(kept.status, StatusCode::OK, "a plan changes nothing");

    let (_, viewer) = server.account("vera", Role::Viewer).await;
    let ask = Ask::post("/api/v1/inventory/apply").session(&viewer);
    let refused = server
        .send(ask.json(&json!({"files": [], "plan": true, "fleet": true})))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
}
