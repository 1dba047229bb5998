//! Apps over HTTP: nothing is overwritten unseen.

use super::server::{Ask, Server};
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use serde_json::{Value, json};

fn descriptor(name: &str, title: &str) -> Value {
    json!({
        "apiVersion": "greenroom/v1",
        "kind": "App",
        "metadata": {"name": name, "title": title},
        "spec": {
            "type": "website",
            "owners": {"dev": "team-shop", "ops": "team-ops"},
            "repository": "/srv/git/shop.git",
            "recipes": [{"name": "python-app"}],
            "processes": {"web": {"command": ["python3", "-m", "http.server", "${PORT}"]}}
        }
    })
}

async fn operator(server: &Server) -> String {
    let (actor, _) = server.account("olive", Role::Operator).await;
    server.token(&actor).await
}

#[tokio::test]
async fn an_app_is_registered_shown_changed_and_removed() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let token = operator(&server).await;
        let made = server
            .send(Ask::post("/api/v1/apps").token(&token).json(&descriptor("shop", "Shop")))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        assert_eq!((made.header("etag"), made.header("location")), ("\"1\"", "/api/v1/apps/shop"));
        let shown = server.send(Ask::get("/api/v1/apps/shop").token(&token)).await;
        assert_eq!((shown.header("etag"), &shown.json()["title"]), ("\"1\"", &json!("Shop")));
        let change = Ask::new("PUT", "/api/v1/apps/shop")
            .token(&token)
            .json(&descriptor("shop", "The shop"));
        let changed = server.send(change.header("if-match", "\"1\"")).await;
        assert_eq!(
            (changed.status, changed.header("etag")),
            (StatusCode::OK, "\"2\""),
            "{changed:?}"
        );
        let versions = server
            .send(Ask::get("/api/v1/apps/shop/versions?limit=1").token(&token))
            .await;
        assert_eq!(
            versions.header("link"),
            "</api/v1/apps/shop/versions?limit=1&cursor=2>; rel=\"next\""
        );
        let versions = versions.json();
        assert_eq!((&versions["total"], &versions["items"][0]["version"]), (&json!(2), &json!(2)));
        assert!(
            versions["items"][0]["diff"].as_str().unwrap().contains("The shop"),
            "{versions}"
        );
        let first = server
            .send(Ask::get("/api/v1/apps/shop/versions?limit=1&cursor=2").token(&token))
            .await
            .json();
        assert_eq!((&first["items"][0]["version"], &first["next"]), (&json!(1), &Value::Null));
        let gone = server.send(Ask::new("DELETE", "/api/v1/apps/shop").token(&token)).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
        assert_eq!(
            server.send(Ask::get("/api/v1/apps/shop").token(&token)).await.problem(),
            "not-found"
        );
    }
}

#[tokio::test]
async fn the_second_of_two_who_edit_one_version_is_shown_what_changed() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let token = operator(&server).await;
        let put = |title: &str| {
            Ask::new("PUT", "/api/v1/apps/shop")
                .token(&token)
                .json(&descriptor("shop", title))
        };
        assert_eq!(
            server.send(put("Shop")).await.status,
            StatusCode::CREATED,
            "a new app needs no version"
        );
        server.send(put("Shop of Ada").header("if-match", "\"1\"")).await;
        let second = server.send(put("Shop of Bob").header("if-match", "\"1\"")).await;
        assert_eq!(
            (second.status, second.problem().as_str()),
            (StatusCode::PRECONDITION_FAILED, "changed-meanwhile")
        );
        let problem = second.json();
        assert_eq!(problem["current_version"], 2);
        let diff = problem["diff"].as_str().unwrap();
        assert!(diff.contains("Shop of Ada") && diff.contains("Shop of Bob"), "{diff}");
        let blind = server.send(put("Shop of Eve")).await;
        assert_eq!(
            (blind.status, blind.problem().as_str()),
            (StatusCode::PRECONDITION_REQUIRED, "version-required")
        );
        assert_eq!(blind.json()["current_version"], 2);
        let again = server
            .send(Ask::post("/api/v1/apps").token(&token).json(&descriptor("shop", "Shop")))
            .await;
        assert_eq!(again.problem(), "conflict");
        let vague = server.send(put("Shop").header("if-match", "*")).await;
        assert_eq!(vague.json()["fields"][0]["field"], "If-Match");
        assert_eq!(
            server.send(Ask::get("/api/v1/apps/shop").token(&token)).await.json()["title"],
            "Shop of Ada"
        );
    }
}

#[tokio::test]
async fn a_bad_descriptor_is_refused_with_all_its_findings() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    let bad = "{\n  \"apiVersion\": \"greenroom/v1\",\n  \"kinds\": \"App\"\n}";
    let answer = server
        .send(Ask::post("/api/v1/apps?file=shop.json").token(&token).body(bad))
        .await;
    assert_eq!(answer.problem(), "descriptor-invalid");
    let problem = answer.json();
    let findings = problem["diagnostics"].as_array().unwrap();
    assert!(findings.len() > 1, "{problem}");
    let unknown = findings
        .iter()
        .find(|finding| finding["code"] == "unknown-field")
        .expect("the typo is found");
    assert_eq!((&unknown["file"], &unknown["line"]), (&json!("shop.json"), &json!(3)));
    let checked = server
        .send(Ask::post("/api/v1/apps/validate?file=shop.json").token(&token).body(bad))
        .await;
    assert_eq!((checked.status, &checked.json()["ok"]), (StatusCode::OK, &json!(false)));
    assert_eq!(&checked.json()["diagnostics"], &problem["diagnostics"], "one validator");
    for body in [&b"\xff\xfe"[..], b"", b"null", &b"[".repeat(100_000)] {
        let answer = server.send(Ask::post("/api/v1/apps").token(&token).body(body)).await;
        assert_eq!(answer.problem(), "descriptor-invalid");
    }
    let other = Ask::new("PUT", "/api/v1/apps/other")
        .token(&token)
        .json(&descriptor("shop", "Shop"));
    assert_eq!(server.send(other).await.json()["fields"][0]["field"], "metadata.name");
}

#[tokio::test]
async fn apps_are_listed_in_pages_and_found_by_words() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    for name in ["shop", "mail", "catalogue", "reviews"] {
        let made = server
            .send(Ask::post("/api/v1/apps").token(&token).json(&descriptor(name, "An app")))
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
    let mut seen = Vec::new();
    let mut next = "/api/v1/apps?limit=3".to_owned();
    while !next.is_empty() {
        let page = server.send(Ask::get(&next).token(&token)).await;
        next = page
            .header("link")
            .trim_start_matches('<')
            .split('>')
            .next()
            .unwrap()
            .to_owned();
        seen.extend(
            page.json()["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|app| app["name"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(seen, ["catalogue", "mail", "reviews", "shop"]);
    let found = server.send(Ask::get("/api/v1/apps?text=MAIL").token(&token)).await.json();
    assert_eq!((&found["total"], &found["items"][0]["name"]), (&json!(1), &json!("mail")));
    let found = server
        .send(Ask::get("/api/v1/apps?text=team-ops%20REV").token(&token))
        .await
        .json();
    assert_eq!((&found["total"], &found["items"][0]["name"]), (&json!(1), &json!("reviews")));
}

#[tokio::test]
async fn the_schema_of_descriptors_is_open_to_editors() {
    let server = Server::sqlite().await;
    let schema = server.send(Ask::get("/api/v1/schema/app.json")).await;
    assert_eq!(schema.header("content-type"), "application/schema+json");
    assert!(schema.json()["properties"]["spec"].is_object());
}
