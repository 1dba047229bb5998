//! What a machine needs to become a node: the agent's program, and what cloud-init's NoCloud asks.

use super::server::{Ask, Server};
use crate::support::database::TestDatabase;
use axum::body::to_bytes;
use axum::http::StatusCode;
use greenroom::control::{Control, Parts};
use greenroom::http::state::AppState;
use greenroom::model::actor::Role;
use greenroom::model::secret;
use greenroom::model::signature::SigningKey;
use serde_json::{Value, json};
use std::sync::Arc;

async fn operator(server: &Server) -> String {
    let (actor, _) = server.account("ops", Role::Operator).await;
    let token = server.token(&actor).await;
    for (kind, name, spec) in [
        ("Environment", "production", json!({})),
        ("Datacenter", "dc1", json!({})),
        ("Role", "cache", json!({ "recipes": [{ "name": "redis" }] })),
        (
            "Node",
            "web-1",
            json!({ "environment": "production", "datacenter": "dc1", "roles": ["cache"] }),
        ),
        (
            "Node",
            "web-2",
            json!({ "environment": "production", "datacenter": "dc1",
            "values": { "network_config": { "version": 2, "ethernets": { "eth7": { "dhcp4": true } } } } }),
        ),
    ] {
        let object = json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        let path = format!("/api/v1/{}s/{name}", kind.to_lowercase());
        let answer = server.send(Ask::new("PUT", &path).token(&token).json(&object)).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
    token
}

fn boot(operator: &str, name: &str, body: &Value) -> Ask {
    Ask::post(&format!("/api/v1/nodes/{name}/boot")).token(operator).json(body)
}

async fn booted(server: &Server, operator: &str, name: &str, user_data: &str) -> Value {
    let wanted = json!({ "server": "http://10.0.0.1:7400/", "user_data": user_data });
    let answer = server.send(boot(operator, name, &wanted)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

// Where a node's files are, as a path on this server.
fn seed(boot: &Value) -> String {
    let seed = boot["seed"].as_str().unwrap();
    seed.strip_prefix("http://10.0.0.1:7400").unwrap().to_owned()
}

async fn program(server: &Server, ask: Ask) -> (axum::http::response::Parts, Vec<u8>) {
    let (parts, body) = server.open(ask).await.into_parts();
    (parts, to_bytes(body, usize::MAX).await.unwrap().to_vec())
}

#[tokio::test]
async fn the_program_goes_to_machines_with_a_token_whole_or_in_parts() {
    let server = Server::sqlite().await;
    let operator = operator(&server).await;
    let boot = booted(&server, &operator, "web-1", "agent").await;
    let path = seed(&boot);
    let token = path.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    let own = std::fs::read("/proc/self/exe").unwrap();
    let ask = || Ask::get("/agent/v1/program").token(&token);
    let (head, whole) = program(&server, ask()).await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(whole == own, "it is the program that the server runs");
    let etag = format!("\"{}\"", secret::hash_all(own.as_slice()).unwrap().1);
    assert_eq!(head.headers["etag"], etag.as_str());
    assert_eq!(head.headers["content-length"], own.len().to_string().as_str());
    let (head, rest) = program(&server, ask().header("range", "bytes=1000-").header("if-range", &etag)).await;
    assert_eq!(head.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(
        head.headers["content-range"],
        format!("bytes 1000-{}/{}", own.len() - 1, own.len()).as_str()
    );
    assert!(rest == own[1000..]);
    let (head, whole) = program(&server, ask().header("range", "bytes=1000-").header("if-range", "\"old\"")).await;
    assert_eq!((head.status, whole.len()), (StatusCode::OK, own.len()));
    let (head, nothing) = program(&server, ask().header("if-none-match", &etag)).await;
    assert_eq!((head.status, nothing.len()), (StatusCode::NOT_MODIFIED, 0));
    let outside = server.send(ask().header("range", "bytes=99999999999-")).await;
    assert_eq!(outside.problem(), "range-outside");
    assert_eq!(outside.header("content-range"), format!("bytes */{}", own.len()));

    assert_eq!(server.send(Ask::get("/agent/v1/program")).await.problem(), "not-signed-in");
    let revoke = format!("/api/v1/node-tokens/{}", boot["token"].as_str().unwrap());
    server.send(Ask::new("DELETE", &revoke).token(&operator)).await;
    assert_eq!(server.send(ask()).await.problem(), "not-signed-in");
}

#[tokio::test]
async fn the_program_goes_to_a_nodes_agent_and_to_everybody_where_the_settings_say_so() {
    let server = Server::sqlite().await;
    let operator = operator(&server).await;
    let boot = booted(&server, &operator, "web-1", "agent").await;
    let path = seed(&boot);
    let token = path.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    let key = SigningKey::from_seed(&"7".repeat(64)).unwrap();
    let now = greenroom::clock::Clock::now(&*server.clock);
    let body = json!({ "name": "web-1", "key": key.public().to_string(), "facts": {} });
    let nobody = "nod_00000000000000000000000000000000";
    let register = Ask::post("/agent/v1/register")
        .token(&token)
        .json(&body)
        .signed(&key, nobody, now);
    let registered = server.send(register).await;
    assert_eq!(registered.status, StatusCode::OK, "{registered:?}");
    let node = registered.json()["node"].as_str().unwrap().to_owned();
    let (head, _) = program(&server, Ask::get("/agent/v1/program").signed(&key, &node, now)).await;
    assert_eq!(head.status, StatusCode::OK);
    let other = SigningKey::from_seed(&"8".repeat(64)).unwrap();
    let (head, _) = program(&server, Ask::get("/agent/v1/program").signed(&other, &node, now)).await;
    assert_eq!(head.status, StatusCode::UNAUTHORIZED);

    let parts: &Parts = &server.control;
    let mut settings = (*parts.settings).clone();
    settings.agents.public_program = true;
    let control = Control::new(Parts {
        settings: Arc::new(settings),
        ..parts.clone()
    });
    let open = greenroom::http::router(AppState::new(
        control,
        &server.state.public_url,
        server.state.shutdown.clone(),
    ));
    let request = axum::http::Request::get("/agent/v1/program")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = tower::ServiceExt::oneshot(open, request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_machine_that_starts_is_told_its_own_nodes_data_until_the_token_ends() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let operator = operator(&server).await;
        let (one, two) = (
            booted(&server, &operator, "web-1", "agent").await,
            booted(&server, &operator, "web-2", "agent").await,
        );
        let read = async |boot: &Value, file: &str| server.send(Ask::get(&format!("{}{file}", seed(boot)))).await;
        assert_eq!(
            one["kernel"],
            format!("ds=nocloud;dsmode=net;s={}", one["seed"].as_str().unwrap())
        );
        let meta = read(&one, "meta-data").await.json();
        assert_eq!(meta["local-hostname"], "web-1");
        assert_ne!(meta["instance-id"], read(&two, "meta-data").await.json()["instance-id"]);
        let data = read(&one, "user-data").await.text;
        assert!(data.starts_with("#cloud-config\n") && data.contains("--name web-1"), "{data}");
        let sha256 = secret::hash_all(std::fs::File::open("/proc/self/exe").unwrap()).unwrap().1;
        assert!(
            data.contains(&sha256) && data.contains("http://10.0.0.1:7400/agent/v1/program"),
            "{data}"
        );
        assert!(read(&two, "user-data").await.text.contains("--name web-2"));
        assert!(read(&one, "network-config").await.text.contains("dhcp4"));
        assert!(read(&two, "network-config").await.text.contains("eth7"));
        assert_eq!(read(&one, "vendor-data").await.text, "#cloud-config\n{}\n");
        assert_eq!(read(&one, "else").await.problem(), "not-found");

        let list = server.send(Ask::get("/api/v1/node-tokens").token(&operator)).await;
        let token = seed(&one).trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
        assert!(list.text.contains("web-1") && !list.text.contains(&token), "{list:?}");
        let revoke = format!("/api/v1/node-tokens/{}", one["token"].as_str().unwrap());
        assert!(
            server
                .send(Ask::new("DELETE", &revoke).token(&operator))
                .await
                .status
                .is_success()
        );
        assert_eq!(read(&one, "user-data").await.problem(), "not-found");
        server.clock.advance(3_599_000);
        assert_eq!(read(&two, "user-data").await.status, StatusCode::OK);
        server.clock.advance(2_000);
        assert_eq!(read(&two, "user-data").await.problem(), "not-found");
        assert_eq!(read(&two, "meta-data").await.problem(), "not-found");
    }
}

#[tokio::test]
async fn all_that_a_node_is_can_be_in_its_user_data() {
    let server = Server::sqlite().await;
    let operator = operator(&server).await;
    let boot = booted(&server, &operator, "web-1", "whole").await;
    let data = server.send(Ask::get(&format!("{}user-data", seed(&boot)))).await.text;
    assert!(data.contains("redis") && !data.contains("agent install"), "{data}");
    let rendered = server
        .send(Ask::get("/api/v1/nodes/web-1/render?target=cloud-init").token(&operator))
        .await;
    assert_eq!(rendered.text, data);
}

#[tokio::test]
async fn what_no_machine_could_use_is_refused_when_it_is_asked_for() {
    let server = Server::sqlite().await;
    let operator = operator(&server).await;
    let here = server.send(boot(&operator, "web-1", &json!({}))).await;
    assert_eq!(here.problem(), "invalid-request");
    assert!(
        here.text.contains("no other machine reaches http://127.0.0.1:7400"),
        "{here:?}"
    );
    for (field, wanted) in [
        ("server", json!({ "server": "ftp://10.0.0.1" })),
        ("server", json!({ "server": "http://10.0.0.1/$(reboot)" })),
        ("user_data", json!({ "server": "http://10.0.0.1", "user_data": "all" })),
        ("ttl", json!({ "server": "http://10.0.0.1", "ttl": "1000d" })),
    ] {
        let answer = server.send(boot(&operator, "web-1", &wanted)).await;
        assert_eq!(answer.problem(), "invalid-request");
        assert_eq!(answer.json()["fields"][0]["field"], field, "{answer:?}");
    }
    let there = json!({ "server": "http://10.0.0.1" });
    assert_eq!(server.send(boot(&operator, "web-9", &there)).await.problem(), "not-found");
}

#[tokio::test]
async fn a_node_is_rendered_for_every_target() {
    let server = Server::sqlite().await;
    let (viewer, _) = server.account("looks", Role::Viewer).await;
    let viewer = server.token(&viewer).await;
    operator(&server).await;
    let render = async |query: &str| {
        server
            .send(Ask::get(&format!("/api/v1/nodes/web-1/render?{query}")).token(&viewer))
            .await
    };
    for (query, content_type, holds) in [
        ("target=shell", "text/x-shellscript", "redis"),
        ("target=cloud-init", "text/cloud-config", "redis"),
        ("target=image&base_image=debian:12", "application/x-tar", "FROM debian:12"),
        ("target=agent", "application/json", "\"states\""),
    ] {
        let answer = render(query).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::OK, content_type),
            "{query}"
        );
        assert!(answer.text.contains(holds), "{query}: {}", answer.text);
    }
    assert_eq!(render("target=floppy").await.problem(), "invalid-request");
    assert_eq!(
        render("target=image&base_image=a%0ARUN%20b").await.problem(),
        "invalid-request"
    );
}
