//! Errors look the same wherever they come from, and say what to do.

use super::server::{Ask, Server};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_body_that_is_not_understood_names_the_field() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let cases = [
        ("{", "body", "EOF"),
        ("", "body", "EOF"),
        ("7", "body", "invalid type"),
        (r#"{"name": "x", "role": "member"} trailing"#, "body", "trailing characters"),
        (r#"{"name": "x"}"#, "role", "missing field"),
        (r#"{"name": 7, "role": "member"}"#, "name", "invalid type"),
        (r#"{"name": "x", "role": "boss"}"#, "role", "unknown variant"),
        (r#"{"name": "x", "role": "member", "rolle": 1}"#, "rolle", "unknown field"),
    ];
    for (body, field, message) in cases {
        let answer = server.send(Ask::post("/api/v1/users").token(&token).body(body)).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (StatusCode::BAD_REQUEST, "invalid-request"),
            "{body}"
        );
        let problem = answer.json();
        assert_eq!(problem["fields"][0]["field"], field, "{body}: {problem}");
        assert!(
            problem["fields"][0]["message"].as_str().unwrap().contains(message),
            "{body}: {problem}"
        );
    }
    let nested = json!({"apps": [{"app": "shop"}, {"revision": "v1"}]});
    let answer = server.send(Ask::post("/api/v1/stacks").token(&token).json(&nested)).await;
    assert_eq!(answer.json()["fields"][0]["field"], "apps[1].app", "{answer:?}");
    let nested = json!({"apps": [{"app": "shop"}, {"app": "mail", "revison": "v1"}]});
    let answer = server.send(Ask::post("/api/v1/stacks").token(&token).json(&nested)).await;
    assert_eq!(answer.json()["fields"][0]["field"], "apps[1].revison", "{answer:?}");
}

#[tokio::test]
async fn bad_ids_queries_and_addresses_are_problems_too() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let get = |path: &str| Ask::get(path).token(&token);
    for (path, code) in [
        ("/api/v1/nothing", "not-found"),
        ("/api/v1/codes/no-such-code", "not-found"),
        ("/api/v1/users?limit=0", "invalid-request"),
        ("/api/v1/users?limit=201", "invalid-request"),
        ("/api/v1/users?limit=many", "invalid-request"),
        ("/api/v1/users?page=2", "invalid-request"),
        ("/api/v1/events", "invalid-request"),
        ("/api/v1/events?topics=,", "invalid-request"),
        ("/api/v1/users/%ff/login-links", "method-not-allowed"),
        ("/api/v1/apps/%ff", "invalid-request"),
    ] {
        assert_eq!(server.send(get(path)).await.problem(), code, "{path}");
    }
    let revoke = server.send(Ask::new("DELETE", "/api/v1/tokens/..%2F..").token(&token)).await;
    assert_eq!(revoke.problem(), "not-found");
    let wrong_method = server.send(Ask::new("DELETE", "/api/v1/me").token(&token)).await;
    assert_eq!(wrong_method.problem(), "method-not-allowed");
    assert_eq!(wrong_method.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_agents_may_send_more() {
    let server = Server::sqlite().await;
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let large = vec![b' '; 1024 * 1024 + 1];
    let answer = server
        .send(Ask::post("/api/v1/users").token(&token).body(large.clone()))
        .await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "too-large")
    );
    let register = server.send(Ask::post("/agent/v1/register").token("x").body(large)).await;
    assert_eq!(register.problem(), "too-large");
}

#[tokio::test]
async fn every_answer_is_guarded_and_can_be_found_in_the_log() {
    let server = Server::sqlite().await;
    for path in ["/healthz", "/readyz", "/version", "/api/v1/codes", "/api/v1/me", "/nothing"] {
        let answer = server.send(Ask::get(path)).await;
        assert!(answer.header("x-request-id").starts_with("req_"), "{path}");
        assert!(
            answer.header("content-security-policy").contains("frame-ancestors 'none'"),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    let packed = server.open(Ask::get("/api/v1/codes").header("accept-encoding", "gzip")).await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn people_on_pages_are_sent_to_sign_in_and_programs_get_the_problem() {
    let server = Server::sqlite().await;
    let page = server.send(Ask::get("/nothing").header("accept", "text/html,*/*")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(!page.text.contains("aria-label=\"Main\""), "nobody is signed in");
    let (admin, _) = server.admin().await;
    let token = server.token(&admin).await;
    let page = server
        .send(Ask::get("/stacks/nothing").token(&token).header("accept", "text/html"))
        .await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(
        page.text.contains("aria-label=\"Main\""),
        "what is missing does not take the frame away"
    );
    let api = server.send(Ask::get("/api/v1/me").header("accept", "text/html,*/*")).await;
    assert_eq!(api.problem(), "not-signed-in", "the API never redirects");
    assert_eq!(api.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn every_code_can_be_looked_up() {
    let server = Server::sqlite().await;
    let codes = server.send(Ask::get("/api/v1/codes")).await.json();
    for entry in codes.as_array().unwrap() {
        let code = entry["code"].as_str().unwrap();
        assert_eq!(&server.send(Ask::get(&format!("/api/v1/codes/{code}"))).await.json(), entry);
    }
}

#[tokio::test]
async fn a_stopping_server_says_it_is_not_ready() {
    let server = Server::sqlite().await;
    assert_eq!(server.send(Ask::get("/readyz")).await.json()["ready"], true);
    server.state.shutdown.cancel();
    assert_eq!(server.send(Ask::get("/readyz")).await.problem(), "too-busy");
}
