//! Finding apps in the portal, where they run, and the editor's findings while someone types, over a server.

use super::forms::{form, holds, page};
use crate::api::app_history::descriptor;
use crate::api::server::{Answer, Ask, Server};
use greenroom::http::portal::fields::encode;
use greenroom::model::actor::{Actor, Role};
use serde_json::{Value, json};

struct Desk {
    server: Server,
    olga: Actor,
    session: String,
}

impl Desk {
    async fn with(apps: &[Value]) -> Self {
        let server = Server::sqlite().await;
        let (olga, session) = server.account("olga", Role::Operator).await;
        for app in apps {
            let text = app.to_string();
            server
                .control
                .save_app(&olga, None, "app.json", text.as_bytes(), None)
                .await
                .unwrap();
        }
        Self { server, olga, session }
    }

    async fn get(&self, path: &str) -> Answer {
        self.server.send(page(Ask::get(path)).session(&self.session)).await
    }

    async fn found(&self, q: &str) -> Vec<String> {
        let answer = self.get(&format!("/apps?q={q}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let cards = answer.text.split("class=\"card\" data-key=\"").skip(1);
        cards.map(|card| card.split('"').next().unwrap().to_owned()).collect()
    }

    async fn check(&self, name: &str, text: &str) -> Answer {
        let body: String = form_urlencoded(&[("name", name), ("text", text)]);
        self.server
            .send(
                form("/apps/check", &body)
                    .session(&self.session)
                    .header("x-greenroom-fragment", "1"),
            )
            .await
    }
}

fn form_urlencoded(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    fields.collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn apps_are_found_by_words_and_by_queries_and_half_a_query_is_no_error() {
    let apps = [
        descriptor("shop", "The Shop", &["catalogue"]),
        descriptor("catalogue", "Books", &[]),
        descriptor("mail", "Mail", &[]),
    ];
    let desk = Desk::with(&[apps[1].clone(), apps[0].clone(), apps[2].clone()]).await;
    assert_eq!(desk.found("").await, ["catalogue", "mail", "shop"]);
    assert_eq!(desk.found("the+SHOP").await, ["shop"], "words stand in any order and case");
    assert_eq!(desk.found("dependsOn%3Acatalogue").await, ["shop"]);
    assert_eq!(
        desk.found("owners.ops%3Ateam-ops+AND+NOT+name%3As*").await,
        ["catalogue", "mail"]
    );
    assert!(desk.found("nobody").await.is_empty());
    for half in ["dependsOn%3A", "%28a+AND", "%22open"] {
        let answer = desk.get(&format!("/apps?q={half}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        holds(&answer, &["The query cannot be read", "A query names fields"]);
    }
}

#[tokio::test]
async fn an_apps_page_says_what_runs_where_and_when() {
    let desk = Desk::with(&[descriptor("shop", "Shop", &[])]).await;
    let mut with_schedule = descriptor("shop", "Shop", &[]);
    with_schedule["metadata"]["links"] = json!([{"url": "https://wiki.example.org/shop", "title": "Runbook"}]);
    with_schedule["spec"]["defaultRef"] = json!("v1");
    with_schedule["spec"]["schedules"] = json!({"nightly": {"cron": "15 3 * * *", "command": ["./digest"]}});
    let text = with_schedule.to_string();
    desk.server
        .control
        .save_app(&desk.olga, Some("shop"), "app.json", text.as_bytes(), Some(1))
        .await
        .unwrap();
    let object = |kind: &str, name: &str, spec: Value| -> (String, Value) {
        let body = json!({"apiVersion": "greenroom/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        (format!("{}s", kind.to_lowercase()), body)
    };
    let on = json!({"datacenter": "north", "environment": "production", "apps": [{"app": "shop"}]});
    let token = desk.server.token(&desk.olga).await;
    for (noun, body) in [
        object("Datacenter", "north", json!({})),
        object("Environment", "production", json!({})),
        object("Node", "web1", on.clone()),
        object("Node", "web2", on),
    ] {
        let made = desk
            .server
            .send(Ask::post(&format!("/api/v1/{noun}")).token(&token).json(&body))
            .await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    let facts = Ask::new("PUT", "/api/v1/nodes/web2/facts")
        .token(&token)
        .json(&json!({"apps": {"shop": "v0"}}));
    let reported = desk.server.send(facts).await;
    assert_eq!(reported.status, 200, "{reported:?}");
    holds(
        &desk.get("/apps/shop").await,
        &[
            "1 does not run what is declared",
            "<code class=\"rev\">v0</code></span> <span class=\"muted\">instead of</span> <code class=\"rev\">v1</code>",
            "declared, none reported",
            "15 3 * * *",
            "no recipe runs it",
            "2 nodes",
            "href=\"https://wiki.example.org/shop\"",
        ],
    );
    holds(&desk.get("/apps").await, &["2 nodes in production", "1 not as declared"]);
    let schedules = desk
        .server
        .send(Ask::get("/api/v1/apps/shop/schedules").token(&token))
        .await
        .json();
    assert_eq!(schedules["wanted"][0]["runs"], false);
}

#[tokio::test]
async fn rubbish_in_the_editor_is_answered_with_findings() {
    let desk = Desk::with(&[descriptor("shop", "Shop", &[])]).await;
    let deep = "[".repeat(5_000);
    for rubbish in [
        "",
        " ",
        "null",
        "[]",
        "{",
        "\u{0}\u{1}",
        "{\"kind\": \"App\", \"kind\": \"App\"}",
        "<p>&amp;",
        deep.as_str(),
    ] {
        let answer = desk.check("", rubbish).await;
        assert_eq!(answer.status, 200, "{rubbish:?}: {answer:?}");
        holds(&answer, &["would be refused", "class=\"finding bad\""]);
        assert!(!answer.text.contains("<p>&amp;"), "what was typed is escaped");
        let saved = desk
            .server
            .send(form("/apps/new", &form_urlencoded(&[("text", rubbish)])).session(&desk.session))
            .await;
        assert_eq!(saved.status, 422, "{rubbish:?}: {saved:?}");
    }
    let renamed = desk.check("shop", &descriptor("shopping", "Shop", &[]).to_string()).await;
    holds(&renamed, &["cannot be renamed", "metadata.name"]);
    let taken = desk.check("", &descriptor("shop", "Mine", &[]).to_string()).await;
    holds(&taken, &["There is an app <code>shop</code> already"]);
    let fine = desk.check("shop", &descriptor("shop", "Shop", &[]).to_string()).await;
    holds(&fine, &["It would be accepted"]);
}
