//! The history of apps over HTTP: every version with what it changed, two compared, the past looked at, and going back.

use super::server::{Answer, Ask, Server};
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use serde_json::{Value, json};

pub(crate) fn descriptor(name: &str, title: &str, needs: &[&str]) -> Value {
    let needs: Vec<Value> = needs.iter().map(|app| json!({ "app": app })).collect();
    json!({
        "apiVersion": "greenroom/v1",
        "kind": "App",
        "metadata": {"name": name, "title": title},
        "spec": {
            "type": "website",
            "owners": {"dev": "team-shop", "ops": "team-ops"},
            "repository": "/srv/git/shop.git",
            "recipes": [{"name": "python-app"}],
            "dependsOn": needs,
            "processes": {"web": {"command": ["python3", "-m", "http.server", "${PORT}"]}}
        }
    })
}

struct Desk {
    server: Server,
    token: String,
}

impl Desk {
    async fn on(database: TestDatabase) -> Self {
        let server = Server::on(database).await;
        let (actor, _) = server.account("olive", Role::Operator).await;
        let token = server.token(&actor).await;
        Self { server, token }
    }

    async fn get(&self, path: &str) -> Answer {
        self.server
            .send(Ask::get(&format!("/api/v1/apps{path}")).token(&self.token))
            .await
    }

    async fn save(&self, body: &Value, edited: Option<i64>) -> Answer {
        let name = body["metadata"]["name"].as_str().unwrap();
        let ask = Ask::new("PUT", &format!("/api/v1/apps/{name}")).token(&self.token).json(body);
        let saved = self.server.send(matching(ask, edited)).await;
        assert!(saved.status.is_success(), "{saved:?}");
        saved
    }

    async fn remove(&self, name: &str, edited: Option<i64>) -> Answer {
        let ask = Ask::new("DELETE", &format!("/api/v1/apps/{name}")).token(&self.token);
        self.server.send(matching(ask, edited)).await
    }

    async fn restore(&self, name: &str, version: i64, present: Option<i64>) -> Answer {
        let ask = Ask::post(&format!("/api/v1/apps/{name}/restore"))
            .token(&self.token)
            .json(&json!({ "version": version }));
        self.server.send(matching(ask, present)).await
    }
}

fn matching(ask: Ask, version: Option<i64>) -> Ask {
    match version {
        Some(version) => ask.header("if-match", &format!("\"{version}\"")),
        None => ask,
    }
}

#[tokio::test]
async fn an_old_version_is_brought_back_as_a_new_one() {
    for database in TestDatabase::both().await {
        let desk = Desk::on(database).await;
        desk.save(&descriptor("shop", "Shop", &[]), None).await;
        let before = desk.server.control.now().to_string();
        desk.server.clock.advance(60_000);
        desk.save(&descriptor("shop", "The shop", &[]), Some(1)).await;

        let versions = desk.get("/shop/versions").await.json();
        assert_eq!(versions["items"][0]["changed"], json!(["metadata.title"]));
        let diff = desk.get("/shop/diff").await.json();
        assert_eq!((&diff["from"], &diff["to"]), (&json!(1), &json!(2)));
        assert!(
            diff["diff"].as_str().unwrap().contains("+    \"title\": \"The shop\""),
            "{diff}"
        );
        let same = desk.get("/shop/diff?from=1&to=1").await.json();
        assert_eq!(same["diff"], "");
        assert_eq!(desk.get("/shop/diff?from=7").await.problem(), "not-found");

        let blind = desk.restore("shop", 1, None).await;
        assert_eq!(
            (blind.status, blind.problem().as_str()),
            (StatusCode::PRECONDITION_REQUIRED, "version-required")
        );
        let late = desk.restore("shop", 1, Some(1)).await;
        assert_eq!(late.problem(), "changed-meanwhile");
        assert_eq!(late.json()["current_version"], 2);
        assert_eq!(desk.restore("shop", 9, Some(2)).await.problem(), "not-found");

        let restored = desk.restore("shop", 1, Some(2)).await;
        assert_eq!(
            (restored.status, restored.header("etag")),
            (StatusCode::OK, "\"3\""),
            "{restored:?}"
        );
        assert_eq!(restored.json()["title"], "Shop");
        let versions = desk.get("/shop/versions").await.json();
        assert_eq!(versions["items"][0]["note"], "restored from version 1");
        assert_eq!(desk.get("/shop/diff?from=1&to=3").await.json()["diff"], "");
        let audit = desk.server.store.audit(Some("shop"), None, 1).await.unwrap().remove(0);
        assert_eq!(
            (audit.verb.as_str(), audit.detail.as_str()),
            ("app.restore", "version 3, restored from version 1")
        );

        let second = versions["items"][1]["revision"].as_i64().unwrap();
        let then = desk.get(&format!("/shop?at={second}")).await;
        assert_eq!((&then.json()["title"], then.header("etag")), (&json!("The shop"), "\"2\""));
        let then = desk.get(&format!("/shop?at={before}")).await.json();
        assert_eq!((&then["title"], &then["version"]), (&json!("Shop"), &json!(1)));
        let listed = desk.get(&format!("?at={second}")).await.json();
        assert_eq!(listed["items"][0]["title"], "The shop");
        assert_eq!(desk.get("/shop?at=0").await.problem(), "not-found");
        assert_eq!(desk.get("/shop?at=yesterday").await.json()["fields"][0]["field"], "at");
    }
}

#[tokio::test]
async fn a_version_that_is_not_valid_any_more_is_refused_with_the_reason() {
    for database in TestDatabase::both().await {
        let desk = Desk::on(database).await;
        desk.save(&descriptor("mail", "Mail", &[]), None).await;
        desk.save(&descriptor("shop", "Shop", &["mail"]), None).await;
        desk.save(&descriptor("shop", "Shop", &[]), Some(1)).await;
        assert_eq!(desk.remove("mail", Some(7)).await.problem(), "changed-meanwhile");
        assert_eq!(desk.remove("mail", Some(1)).await.status, StatusCode::NO_CONTENT);
        let refused = desk.restore("shop", 1, Some(2)).await;
        assert_eq!(refused.problem(), "descriptor-invalid");
        let finding = &refused.json()["diagnostics"][0];
        assert_eq!(
            (&finding["code"], &finding["file"]),
            (&json!("dependency-missing"), &json!("version 1 of shop.json"))
        );
        assert_eq!(desk.get("/shop").await.json()["version"], 2, "nothing was changed");
    }
}

#[tokio::test]
async fn a_removed_app_keeps_its_history_and_comes_back() {
    for database in TestDatabase::both().await {
        let desk = Desk::on(database).await;
        desk.save(&descriptor("shop", "Shop", &[]), None).await;
        desk.remove("shop", None).await;
        assert_eq!(desk.get("/shop").await.problem(), "not-found");
        let versions = desk.get("/shop/versions").await.json();
        let removal = &versions["items"][0];
        assert_eq!(
            (&removal["version"], &removal["removed"], &removal["actor"]),
            (&json!(2), &json!(true), &json!("user:olive"))
        );
        assert_eq!(
            desk.restore("shop", 2, None).await.problem(),
            "not-found",
            "a removal is nothing to go back to"
        );
        let back = desk.restore("shop", 1, None).await;
        assert_eq!((back.status, back.header("etag")), (StatusCode::OK, "\"3\""), "{back:?}");
        let gone = removal["revision"].as_i64().unwrap();
        assert_eq!(desk.get(&format!("/shop?at={gone}")).await.problem(), "not-found");
        assert_eq!(desk.get(&format!("/shop?at={}", gone - 1)).await.json()["version"], 1);
        let found = desk
            .server
            .send(Ask::get("/api/v1/search/app?q=name:shop").token(&desk.token))
            .await
            .json();
        assert_eq!(found["total"], 1, "what came back is found");
    }
}
