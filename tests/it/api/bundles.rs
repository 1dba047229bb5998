//! Recipes as bundles over HTTP, what nodes are built to be, why, and what a change would touch.

use super::inventory::operator;
use super::server::{Answer, Ask, Server};
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use serde_json::{Value, json};

const NGINX: &str = "\
recipe: nginx
description: a web server
params:
  workers: {type: int, default: 2}
states:
  - file:
      path: /etc/nginx.conf
      content: \"workers {{ params.workers }} in {{ dc.name }} of {{ env.name }}, beside {{ search('role:web AND datacenter:' ~ dc.name) | length }}\\n\"
";

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

async fn post(server: &Server, token: &str, path: &str, body: &Value) -> Answer {
    server.send(Ask::post(path).token(token).json(body)).await
}

async fn get(server: &Server, token: &str, path: &str) -> Answer {
    server.send(Ask::get(path).token(token)).await
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "greenroom/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn web(name: &str, datacenter: &str, values: &Value) -> Value {
    let address = format!("10.0.0.{}", name.trim_start_matches("web"));
    object(
        "Node",
        name,
        &json!({"datacenter": datacenter, "environment": "production", "roles": ["web"], "values": values, "addresses": {"private": address}}),
    )
}

async fn add(server: &Server, token: &str, noun: &str, body: &Value) {
    let made = post(server, token, &format!("/api/v1/{noun}"), body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
}

async fn push(server: &Server, token: &str, recipe: &str) -> String {
    let pushed = post(
        server,
        token,
        "/api/v1/bundles",
        &json!({"files": {"nginx.yaml": recipe}, "note": "test"}),
    )
    .await;
    assert!(pushed.status.is_success(), "{}", pushed.text);
    pushed.json()["bundle"]["hash"].as_str().unwrap().to_owned()
}

async fn promote(server: &Server, token: &str, hash: &str) {
    let pointer = get(server, token, "/api/v1/environments/production/bundle").await;
    let etag = pointer.header("etag").to_owned();
    let ask = Ask::new("PUT", "/api/v1/environments/production/bundle").token(token);
    let moved = server
        .send(ask.header("if-match", &etag).json(&json!({"bundle": hash})))
        .await;
    assert_eq!(moved.status, StatusCode::OK, "{}", moved.text);
    assert_eq!(moved.json()["bundle"], hash);
}

/// Three web servers in two datacenters, built from a pushed recipe.
async fn fleet(server: &Server, token: &str) -> String {
    add(server, token, "datacenters", &object("Datacenter", "dc1", &json!({}))).await;
    add(
        server,
        token,
        "datacenters",
        &object("Datacenter", "dc2", &json!({"values": {"nginx": {"workers": 4}}})),
    )
    .await;
    add(
        server,
        token,
        "environments",
        &object("Environment", "production", &json!({})),
    )
    .await;
    let hash = push(server, token, NGINX).await;
    add(
        server,
        token,
        "roles",
        &object("Role", "web", &json!({"recipes": [{"name": "nginx"}]})),
    )
    .await;
    for (name, dc, values) in [
        ("web1", "dc1", json!({})),
        ("web2", "dc1", json!({})),
        ("web3", "dc2", json!({"nginx": {"workers": 9}})),
    ] {
        add(server, token, "nodes", &web(name, dc, &values)).await;
    }
    promote(server, token, &hash).await;
    hash
}

async fn configuration(server: &Server, token: &str, node: &str) -> Value {
    let answer = get(server, token, &format!("/api/v1/nodes/{node}/configuration")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_bundle_is_pushed_once_compared_promoted_and_never_changes() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let token = operator(&server).await;
        let first = fleet(&server, &token).await;
        let again = post(&server, &token, "/api/v1/bundles", &json!({"files": {"nginx.yaml": NGINX}})).await;
        assert_eq!((again.status, again.json()["new"].clone()), (StatusCode::OK, json!(false)));
        assert_eq!(again.json()["bundle"]["hash"], first);

        let second = push(&server, &token, &NGINX.replace("default: 2", "default: 3")).await;
        let diff = get(
            &server,
            &token,
            &format!("/api/v1/bundles/{}/diff?to={second}", &first[7..17]),
        )
        .await
        .json();
        assert_eq!(diff["files"].as_array().unwrap().len(), 1);
        assert!(
            diff["files"][0]["diff"]
                .as_str()
                .unwrap()
                .contains("+  workers: {type: int, default: 3}"),
            "{diff}"
        );

        let shown = get(&server, &token, &format!("/api/v1/bundles/{first}")).await.json();
        assert_eq!(shown["files"]["nginx.yaml"], NGINX);
        assert!(
            shown["files"]["python-app.yaml"].is_string(),
            "the server's own recipes are in it"
        );
        let list = get(&server, &token, "/api/v1/bundles").await.json();
        let of = |hash: &str| list.as_array().unwrap().iter().find(|b| b["hash"] == hash).unwrap().clone();
        assert_eq!(of(&first)["environments"], json!(["production"]));
        assert_eq!(list.as_array().unwrap().iter().filter(|b| b["own"] == true).count(), 1);

        // Whoever looked at an older version, or at none, moves nothing.
        let ask = || {
            Ask::new("PUT", "/api/v1/environments/production/bundle")
                .token(&token)
                .json(&json!({"bundle": second}))
        };
        assert_eq!(server.send(ask()).await.status, StatusCode::PRECONDITION_REQUIRED);
        assert_eq!(
            server.send(ask().header("if-match", "\"1\"")).await.status,
            StatusCode::PRECONDITION_FAILED
        );
        let audit = server.store.audit(Some("production"), None, 10).await.unwrap();
        assert_eq!(audit.iter().filter(|row| row.verb == "environment.promote").count(), 1);
    }
}

#[tokio::test]
async fn recipes_with_errors_are_no_bundle() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    let body = json!({"files": {"nginx.yaml": NGINX.replace("params.workers", "params.wrokers")}});
    let refused = post(&server, &token, "/api/v1/bundles", &body).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let found = &refused.json()["diagnostics"][0];
    assert_eq!(
        (found["code"].as_str(), found["line"].as_u64()),
        (Some("unknown-variable"), Some(8)),
        "{found}"
    );
    for name in ["../nginx.yaml", "nginx.txt", "a/b.yaml"] {
        let refused = post(&server, &token, "/api/v1/bundles", &json!({"files": {name: "x"}})).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{name}");
    }
    let (viewer, _) = server.account("vera", Role::Viewer).await;
    let viewer = server.token(&viewer).await;
    let refused = post(&server, &viewer, "/api/v1/bundles", &json!({"files": {"nginx.yaml": NGINX}})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_node_is_built_from_its_roles_values_and_place_and_explain_says_why() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    fleet(&server, &token).await;
    let content = |view: &Value| view["configuration"]["states"][0]["content"].as_str().unwrap().to_owned();
    let one = configuration(&server, &token, "web1").await;
    assert_eq!(content(&one), "workers 2 in dc1 of production, beside 2\n");
    assert_eq!(one["searches"][0]["query"], "role:web AND datacenter:dc1");
    assert_eq!(
        content(&configuration(&server, &token, "web3").await),
        "workers 9 in dc2 of production, beside 1\n"
    );

    let same = Ask::get("/api/v1/nodes/web1/configuration").token(&token);
    let etag = format!("\"{}\"", one["hash"].as_str().unwrap());
    assert_eq!(
        server.send(same.header("if-none-match", &etag)).await.status,
        StatusCode::NOT_MODIFIED
    );

    let why = get(&server, &token, "/api/v1/nodes/web3/explain?key=nginx.workers")
        .await
        .json();
    let told: Vec<(&str, &str, &str)> = why["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| {
            (
                layer["layer"].as_str().unwrap(),
                layer["object"].as_str().unwrap(),
                layer["effect"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("recipe default", "recipes/nginx.yaml", "set"),
            ("datacenter", "datacenter dc2", "overrode"),
            ("node", "node web3", "overrode"),
        ]
    );
    assert!(
        why["layers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|layer| layer["line"].as_u64() > Some(0)),
        "{why}"
    );
    assert_eq!(
        get(&server, &token, "/api/v1/nodes/nobody/explain?key=a").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(&server, &token, "/api/v1/nodes/web1/explain?key=a..b").await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn only_nodes_whose_configuration_is_another_one_are_woken() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    fleet(&server, &token).await;
    for node in ["web1", "web2", "web3"] {
        configuration(&server, &token, node).await;
    }
    assert_eq!(server.control.refresh_configurations().await.unwrap(), Vec::<String>::new());
    // Another node of dc1: those that searched for their neighbours have one more.
    add(&server, &token, "nodes", &web("web4", "dc1", &json!({}))).await;
    let mut woken = server.control.refresh_configurations().await.unwrap();
    woken.sort();
    assert_eq!(woken, ["web1", "web2"]);
    assert_eq!(server.control.refresh_configurations().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_fleet_plan_groups_nodes_by_what_changes_and_changes_nothing() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    let hash = fleet(&server, &token).await;
    let plan = async |body: Value| {
        let answer = post(&server, &token, "/api/v1/plans/fleet", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()
    };
    let before = configuration(&server, &token, "web1").await["hash"].clone();

    let changed = NGINX.replace("default: 2", "default: 3");
    let found = plan(json!({"files": {"nginx.yaml": changed}, "environment": "production"})).await;
    assert_eq!(found["summary"], "this change touches 2 nodes, 1 distinct diff", "{found}");
    assert_eq!(found["groups"][0]["nodes"], json!(["web1", "web2"]));
    let diff = found["groups"][0]["diff"].as_str().unwrap();
    assert!(
        diff.contains("-workers 2 in dc1") && diff.contains("+workers 3 in dc1"),
        "{diff}"
    );
    assert_eq!((found["unchanged"].clone(), found["nodes"].clone()), (json!(1), json!(3)));

    let found = plan(json!({"files": {"nginx.yaml": NGINX.replace("workers {{", "threads {{")}})).await;
    assert_eq!(found["summary"], "this change touches 3 nodes, 2 distinct diffs", "{found}");
    let found = plan(json!({"files": {"nginx.yaml": changed}, "environment": "uat"})).await;
    assert_eq!(found["summary"], "this change touches none of 3 nodes");
    assert_eq!(plan(json!({"bundle": hash})).await["touched"], 0);

    let values = json!({"values": {"nginx": {"workers": 16}}});
    let found = plan(json!({"objects": [object("Datacenter", "dc1", &values)]})).await;
    assert_eq!(found["groups"][0]["nodes"], json!(["web1", "web2"]));
    let wrong = json!({"values": {"nginx": {"workers": "many"}}});
    let found = plan(json!({"objects": [object("Datacenter", "dc2", &wrong)]})).await;
    // web3's own value is over the wrong one, but a layer below must still be sound for the others.
    assert_eq!(found["touched"], 0, "{found}");
    let found = plan(json!({"objects": [object("Datacenter", "dc1", &wrong)]})).await;
    assert_eq!(found["broken"].as_array().unwrap().len(), 2, "{found}");
    assert_eq!(found["broken"][0]["diagnostics"][0]["file"], "datacenter dc1");
    assert_eq!(
        configuration(&server, &token, "web1").await["hash"],
        before,
        "planning changes nothing"
    );
    assert_eq!(
        post(&server, &token, "/api/v1/plans/fleet", &json!({})).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn an_app_finds_what_it_needs_in_its_own_environment_and_datacenter() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    let app = |name: &str, more: Value| {
        let mut spec = json!({"type": "service", "owners": {"dev": "a", "ops": "b"}, "repository": "https://example.org/x.git",
            "recipes": [{"name": "command-app"}], "processes": {"main": {"command": ["run"]}}, "ports": {"web": {"port": 5000}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object("App", name, &spec)
    };
    add(&server, &token, "apps", &app("db-proxy", json!({}))).await;
    let env = json!({"UPSTREAM": {"value": "{{ deps.db_proxy.host }}:{{ deps.db_proxy.port }}"}});
    add(
        &server,
        &token,
        "apps",
        &app("shop", json!({"dependsOn": [{"app": "db-proxy"}], "env": env})),
    )
    .await;
    for dc in ["dc1", "dc2"] {
        add(&server, &token, "datacenters", &object("Datacenter", dc, &json!({}))).await;
    }
    for environment in ["uat", "production"] {
        add(
            &server,
            &token,
            "environments",
            &object("Environment", environment, &json!({})),
        )
        .await;
    }
    let node = |name: &str, environment: &str, dc: &str, app: &str, address: &str| {
        object(
            "Node",
            name,
            &json!({"datacenter": dc, "environment": environment, "apps": [{"app": app, "revision": COMMIT}],
            "addresses": {"private": address}}),
        )
    };
    for (name, environment, dc, app, address) in [
        ("db1", "production", "dc1", "db-proxy", "10.1.0.1"),
        ("db2", "production", "dc2", "db-proxy", "10.2.0.1"),
        ("db3", "uat", "dc1", "db-proxy", "10.9.0.1"),
        ("shop1", "production", "dc1", "shop", "10.1.0.2"),
        ("shop2", "production", "dc2", "shop", "10.2.0.2"),
        ("shop3", "uat", "dc2", "shop", "10.9.0.2"),
    ] {
        add(&server, &token, "nodes", &node(name, environment, dc, app, address)).await;
    }
    for (shop, upstream) in [
        ("shop1", "10.1.0.1:5000"),
        ("shop2", "10.2.0.1:5000"),
        ("shop3", "10.9.0.1:5000"),
    ] {
        let found = configuration(&server, &token, shop).await;
        let states = found["configuration"]["states"].as_array().unwrap();
        let service = states.iter().find(|state| state["type"] == "service").unwrap();
        assert_eq!(service["env"]["UPSTREAM"], upstream, "{shop}");
        assert_eq!(found["apps"]["shop"], COMMIT);
    }
}
