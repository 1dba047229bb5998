//! Runs, their logs and signals, and the stacks they are about, over HTTP. No engine runs here: rows stay as they are written.

use super::server::{Ask, Server};
use crate::store::inventory::stack;
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::{Actor, Role};
use greenroom::model::id::{RunId, StackId};
use greenroom::model::plan::{Plan, StepSpec};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

// A stack of this owner with a run that has not begun.
async fn launch(server: &Server, owner: &Actor, name: &str) -> (StackId, RunId) {
    let row = stack(&server.store, owner.user_id().unwrap(), name);
    let plan = Plan {
        kind: "launch_stack".into(),
        title: format!("Launch {name}"),
        subject: row.id.to_string(),
        steps: vec![StepSpec::new("fetch.shop", "fetch_revision", "Fetch shop at v1")],
    };
    let mut tx = server.store.journal().await.unwrap();
    tx.insert_stack(&row).await.unwrap();
    let run = tx.insert_run(&plan, owner, None).await.unwrap();
    tx.commit().await.unwrap();
    (row.id, run)
}

async fn say(server: &Server, stream: &str, text: &str) {
    server
        .store
        .append_log(stream, "w", None, server.store.now(), text)
        .await
        .unwrap();
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_about_one_thing() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (ada, session) = server.account("ada", Role::Member).await;
        let mut stacks = Vec::new();
        for name in ["one-a", "two-b", "three-c"] {
            stacks.push(launch(&server, &ada, name).await);
        }
        let first = server.send(Ask::get("/api/v1/runs?limit=2").session(&session)).await;
        let next = first
            .header("link")
            .trim_start_matches('<')
            .split('>')
            .next()
            .unwrap()
            .to_owned();
        let titles = |page: &Value| -> Vec<String> {
            let items = page["items"].as_array().unwrap();
            items.iter().map(|run| run["title"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(titles(&first.json()), ["Launch three-c", "Launch two-b"]);
        let rest = server.send(Ask::get(&next).session(&session)).await.json();
        assert_eq!((titles(&rest), &rest["total"]), (vec!["Launch one-a".to_owned()], &json!(3)));
        let (stack, run) = &stacks[1];
        let about = server
            .send(Ask::get(&format!("/api/v1/runs?subject={stack}")).session(&session))
            .await
            .json();
        assert_eq!(titles(&about), ["Launch two-b"]);
        let shown = server
            .send(Ask::get(&format!("/api/v1/runs/{run}")).session(&session))
            .await
            .json();
        assert_eq!(
            (&shown["state"], &shown["steps"][0]["key"]),
            (&json!("pending"), &json!("fetch.shop"))
        );
        let stacks = server
            .send(Ask::get("/api/v1/stacks?limit=2&mine=true").session(&session))
            .await;
        assert_eq!(stacks.json()["total"], 3);
        assert!(stacks.header("link").contains("mine=true"), "{stacks:?}");
        let by_name = server.send(Ask::get("/api/v1/stacks/two-b").session(&session)).await.json();
        assert_eq!((&by_name["id"], &by_name["mine"]), (&json!(stack.as_str()), &json!(true)));
        for path in [
            "/api/v1/runs/run_7",
            "/api/v1/runs/..%2Fx",
            "/api/v1/stacks/no-such",
            "/api/v1/stacks/..%2F..",
        ] {
            assert_eq!(
                server.send(Ask::get(path).session(&session)).await.problem(),
                "not-found",
                "{path}"
            );
        }
        for path in [
            "/api/v1/runs?cursor=x",
            "/api/v1/stacks?cursor=x",
            "/api/v1/stacks?mine=perhaps",
        ] {
            assert_eq!(
                server.send(Ask::get(path).session(&session)).await.problem(),
                "invalid-request",
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_log_is_read_from_a_place_and_waited_for() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (ada, session) = server.account("ada", Role::Member).await;
        let (stack, run) = launch(&server, &ada, "velvet-solo").await;
        let logs = [
            (
                format!("/api/v1/runs/{run}/steps/fetch.shop/log"),
                format!("{run}/fetch.shop"),
            ),
            (
                format!("/api/v1/stacks/{stack}/services/shop-web/log"),
                format!("{stack}/service/shop-web"),
            ),
        ];
        for (path, stream) in logs {
            let ask = |query: &str| Ask::get(&format!("{path}?{query}")).session(&session);
            let empty = server.send(ask("after=0")).await.json();
            assert_eq!((&empty["chunks"], &empty["open"]), (&json!([]), &json!(true)));
            say(&server, &stream, "first\n").await;
            let page = server.send(ask("wait=25")).await.json();
            assert_eq!((&page["chunks"][0]["text"], &page["next"]), (&json!("first\n"), &json!(1)));
            let start = Instant::now();
            let speaking = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                say(&server, &stream, "second\n").await;
            };
            let (page, ()) = tokio::join!(server.send(ask("after=1&wait=25")), speaking);
            assert_eq!(page.json()["chunks"][0]["text"], "second\n");
            assert!(
                start.elapsed() < Duration::from_secs(4),
                "woken by the change, not by looking"
            );
            let start = Instant::now();
            let quiet = server.send(ask("after=2&wait=1")).await.json();
            assert_eq!((&quiet["chunks"], &quiet["next"]), (&json!([]), &json!(2)));
            assert!(start.elapsed() >= Duration::from_secs(1));
            for (query, field) in [("wait=26", "wait"), ("after=-1", "after"), ("from=1", "from")] {
                assert_eq!(server.send(ask(query)).await.json()["fields"][0]["field"], field);
            }
        }
        let missing = format!("/api/v1/runs/{run}/steps/nothing/log");
        assert_eq!(server.send(Ask::get(&missing).session(&session)).await.problem(), "not-found");
    }
}

#[tokio::test]
async fn only_the_owner_and_operators_say_something_to_a_run() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (ada, session) = server.account("ada", Role::Member).await;
        let (_, other) = server.account("bob", Role::Member).await;
        let (stack, run) = launch(&server, &ada, "velvet-solo").await;
        let signal = |body: &Value| Ask::post(&format!("/api/v1/runs/{run}/signals")).json(body);
        let cancel = json!({"type": "cancel", "reason": "not needed"});
        assert_eq!(server.send(signal(&cancel).session(&other)).await.problem(), "not-allowed");
        for verb in ["retry", "destroy"] {
            let ask = match verb {
                "retry" => Ask::post(&format!("/api/v1/stacks/{stack}/retry")),
                _ => Ask::new("DELETE", &format!("/api/v1/stacks/{stack}")),
            };
            assert_eq!(server.send(ask.session(&other)).await.problem(), "not-allowed", "{verb}");
        }
        let extend = Ask::post(&format!("/api/v1/stacks/{stack}/extend")).json(&json!({"lease": "1h"}));
        assert_eq!(server.send(extend.session(&other)).await.problem(), "not-allowed");
        for (body, field) in [
            (json!({"type": "cancel"}), "reason"),
            (json!({"type": "explode"}), "type"),
            (json!({"type": "retry", "steps": "x"}), "body"),
        ] {
            let answer = server.send(signal(&body).session(&session)).await;
            assert_eq!(answer.problem(), "invalid-request", "{body}");
            assert_eq!(answer.json()["fields"][0]["field"], field, "{answer:?}");
        }
        for _ in 0..2 {
            let answer = server
                .send(signal(&cancel).session(&session).header("idempotency-key", "once"))
                .await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
        let heard = server.store.unheard_signals(&run).await.unwrap();
        assert_eq!(heard.len(), 1, "sent twice, said once");
    }
}
