//! The inventory over HTTP: saved, guarded, looked back at, searched and waited for.

use super::server::{Answer, Ask, Server};
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) async fn operator(server: &Server) -> String {
    let (actor, _) = server.account("olive", Role::Operator).await;
    server.token(&actor).await
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "greenroom/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn node(name: &str, values: &Value) -> Value {
    object(
        "Node",
        name,
        &json!({"datacenter": "dc1", "environment": "production", "values": values}),
    )
}

async fn post(server: &Server, token: &str, path: &str, body: &Value) -> Answer {
    server.send(Ask::post(path).token(token).json(body)).await
}

async fn get(server: &Server, token: &str, path: &str) -> Answer {
    server.send(Ask::get(path).token(token)).await
}

async fn place(server: &Server, token: &str) {
    for (noun, kind, name) in [
        ("datacenters", "Datacenter", "dc1"),
        ("datacenters", "Datacenter", "dc2"),
        ("environments", "Environment", "production"),
    ] {
        let made = post(server, token, &format!("/api/v1/{noun}"), &object(kind, name, &json!({}))).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
}

async fn put(server: &Server, token: &str, name: &str, values: &Value, version: i64) -> Answer {
    let ask = Ask::new("PUT", &format!("/api/v1/nodes/{name}"))
        .token(token)
        .json(&node(name, values));
    server.send(ask.header("if-match", &format!("\"{version}\""))).await
}

#[tokio::test]
async fn a_node_is_saved_changed_looked_back_at_removed_and_brought_back() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let token = operator(&server).await;
        place(&server, &token).await;
        let made = post(&server, &token, "/api/v1/nodes", &node("web1", &json!({"x": 1}))).await;
        assert_eq!((made.status, made.header("etag")), (StatusCode::CREATED, "\"1\""), "{made:?}");
        assert_eq!(made.header("location"), "/api/v1/nodes/web1");
        let again = post(&server, &token, "/api/v1/nodes", &node("web1", &json!({}))).await;
        assert_eq!(again.problem(), "conflict");

        let changed = put(&server, &token, "web1", &json!({"x": 2}), 1).await;
        assert_eq!(
            (changed.status, changed.header("etag")),
            (StatusCode::OK, "\"2\""),
            "{changed:?}"
        );
        let late = put(&server, &token, "web1", &json!({"x": 3}), 1).await;
        assert_eq!(
            (late.status, late.problem().as_str()),
            (StatusCode::PRECONDITION_FAILED, "changed-meanwhile")
        );
        let diff = late.json()["diff"].as_str().unwrap().to_owned();
        assert!(diff.contains("-      \"x\": 2") && diff.contains("+      \"x\": 3"), "{diff}");
        let unseen = server
            .send(
                Ask::new("PUT", "/api/v1/nodes/web1")
                    .token(&token)
                    .json(&node("web1", &json!({}))),
            )
            .await;
        assert_eq!(unseen.problem(), "version-required");

        let versions = get(&server, &token, "/api/v1/nodes/web1/versions").await.json();
        assert_eq!(versions["total"], 2);
        let first = versions["items"][1]["revision"].as_i64().unwrap();
        let then = get(&server, &token, &format!("/api/v1/nodes/web1?at={first}")).await.json();
        assert_eq!(then["body"]["spec"]["values"]["x"], 1);
        let list = get(&server, &token, &format!("/api/v1/nodes?at={first}")).await.json();
        assert_eq!(list["items"][0]["version"], 1);
        let none = get(&server, &token, &format!("/api/v1/nodes?at={}", first - 1)).await.json();
        assert_eq!(none["total"], 0);
        let diff = get(&server, &token, "/api/v1/nodes/web1/diff").await.json();
        assert_eq!((&diff["from"], &diff["to"]), (&json!(1), &json!(2)));

        let gone = server.send(Ask::new("DELETE", "/api/v1/nodes/web1").token(&token)).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
        assert_eq!(get(&server, &token, "/api/v1/nodes/web1").await.problem(), "not-found");
        let back = post(&server, &token, "/api/v1/nodes/web1/restore", &json!({"version": 1})).await;
        assert_eq!((back.status, back.header("etag")), (StatusCode::OK, "\"4\""), "{back:?}");
        assert_eq!(back.json()["body"]["spec"]["values"]["x"], 1);
        let audit = server.store.audit(Some("web1"), None, 10).await.unwrap();
        let verbs: Vec<&str> = audit.iter().map(|row| row.verb.as_str()).collect();
        assert_eq!(verbs, ["node.restore", "node.remove", "node.save", "node.save"]);
    }
}

#[tokio::test]
async fn every_mistake_of_an_object_is_said_at_once_with_its_place() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    place(&server, &token).await;
    let text = "{\"apiVersion\": \"greenroom/v1\", \"kind\": \"Node\",\n \"metadata\": {\"name\": \"Web_1\"},\n \"spec\": {\"datacentre\": \"dc1\", \"environment\": \"production\",\n  \"values\": {\"db_password\": \"hunter2\"}}}";
    let answer = server
        .send(Ask::post("/api/v1/nodes?file=web.json").token(&token).body(text))
        .await;
    assert_eq!(answer.problem(), "object-invalid");
    let found: Vec<(String, u64, String)> = answer.json()["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            (
                d["code"].as_str().unwrap().to_owned(),
                d["line"].as_u64().unwrap(),
                d["help"].to_string(),
            )
        })
        .collect();
    let codes: Vec<(&str, u64)> = found.iter().map(|(code, line, _)| (code.as_str(), *line)).collect();
    assert_eq!(
        codes,
        [
            ("invalid-value", 2),
            ("missing-field", 3),
            ("unknown-field", 3),
            ("secret-in-clear", 4)
        ],
        "{found:?}"
    );
    assert!(found[2].2.contains("did you mean `datacenter`"), "{found:?}");

    let lost = object(
        "Node",
        "web1",
        &json!({"datacenter": "dc3", "environment": "produktion", "apps": [{"app": "shop"}]}),
    );
    let answer = post(&server, &token, "/api/v1/nodes", &lost).await;
    assert_eq!(answer.json()["diagnostics"].as_array().unwrap().len(), 3, "{answer:?}");
    assert!(answer.text.contains("did you mean `production`"), "{answer:?}");
    let restorable = object("Environment", "production", &json!({"restorable": true}));
    let answer = server
        .send(
            Ask::new("PUT", "/api/v1/environments/production")
                .token(&token)
                .json(&restorable)
                .header("if-match", "\"1\""),
        )
        .await;
    assert!(answer.text.contains("never restored"), "{answer:?}");
}

#[tokio::test]
async fn what_others_name_is_not_removed() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    place(&server, &token).await;
    post(&server, &token, "/api/v1/nodes", &node("web1", &json!({}))).await;
    for (path, user) in [
        ("/api/v1/datacenters/dc1", "node web1"),
        ("/api/v1/environments/production", "node web1"),
    ] {
        let answer = server.send(Ask::new("DELETE", path).token(&token)).await;
        assert_eq!(answer.problem(), "conflict");
        assert!(answer.text.contains(user), "{answer:?}");
    }
    let answer = server.send(Ask::new("DELETE", "/api/v1/datacenters/dc2").token(&token)).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn facts_of_ohai_and_facter_are_taken_and_found() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let token = operator(&server).await;
        place(&server, &token).await;
        for name in ["web1", "web2"] {
            post(&server, &token, "/api/v1/nodes", &node(name, &json!({}))).await;
        }
        let ohai = json!({"ohai_time": 1.5, "platform": "debian", "platform_family": "debian", "kernel": {"release": "6.1.0"}});
        let facter = json!({"facterversion": "4.3", "os": {"name": "debian", "family": "debian"}, "kernelrelease": "6.1.0"});
        for (name, facts) in [("web1", ohai), ("web2", facter)] {
            let ask = Ask::new("PUT", &format!("/api/v1/nodes/{name}/facts"))
                .token(&token)
                .json(&facts);
            let answer = server.send(ask).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
        let found = get(
            &server,
            &token,
            "/api/v1/search/node?q=facts.machine.kernel:6.1*&fields=name,facts.machine.os",
        )
        .await
        .json();
        let expected = json!([
            {"name": "web1", "facts": {"machine": {"os": "debian"}}},
            {"name": "web2", "facts": {"machine": {"os": "debian"}}}
        ]);
        assert_eq!((&found["total"], &found["rows"]), (&json!(2), &expected));
        let nobody = server
            .send(Ask::new("PUT", "/api/v1/nodes/web9/facts").token(&token).json(&json!({})))
            .await;
        assert_eq!(nobody.problem(), "not-found");
    }
}

#[tokio::test]
async fn searches_page_say_what_is_wrong_and_answer_chefs_clients_in_their_words() {
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    place(&server, &token).await;
    for index in 1..=5 {
        let made = post(
            &server,
            &token,
            "/api/v1/nodes",
            &node(&format!("web{index}"), &json!({"tier": {"level": index}})),
        )
        .await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    }
    let page = get(&server, &token, "/api/v1/search/node?q=datacenter:dc1&rows=2").await;
    assert_eq!(
        page.header("link"),
        "</api/v1/search/node?q=datacenter:dc1&rows=2&cursor=web2>; rel=\"next\""
    );
    let page = page.json();
    assert_eq!(
        (&page["total"], &page["next"], page["rows"].as_array().unwrap().len()),
        (&json!(5), &json!("web2"), 2)
    );
    let last = get(&server, &token, "/api/v1/search/node?q=datacenter:dc1&rows=2&cursor=web4")
        .await
        .json();
    assert_eq!((last["rows"].as_array().unwrap().len(), &last["next"]), (1, &Value::Null));

    let answer = get(&server, &token, "/api/v1/search/node?q=a%20AND%20b~2").await;
    assert_eq!(answer.problem(), "query-invalid");
    let finding = &answer.json()["diagnostics"][0];
    assert_eq!((&finding["line"], &finding["column"]), (&json!(1), &json!(8)), "{finding}");
    assert_eq!(get(&server, &token, "/api/v1/search/nodes").await.problem(), "not-found");

    let chef = get(&server, &token, "/search/node?q=tier_level:%5B2%20TO%203%5D&rows=1")
        .await
        .json();
    assert_eq!(
        (&chef["total"], &chef["start"], &chef["rows"][0]["json_class"]),
        (&json!(2), &json!(0), &json!("Chef::Node"))
    );
    let parts = post(
        &server,
        &token,
        "/search/node?q=level:5",
        &json!({"l": ["tier", "level"], "env": ["chef_environment"], "no": ["x"]}),
    )
    .await;
    let expected = json!([{"url": "http://127.0.0.1:7400/api/v1/nodes/web5", "data": {"l": 5, "env": "production", "no": null}}]);
    assert_eq!(parts.json()["rows"], expected);
    let empty = get(&server, &token, "/search/node?q=").await;
    assert_eq!(
        (empty.status, empty.json()),
        (StatusCode::BAD_REQUEST, json!({"error": ["invalid search query: ''"]}))
    );
    let rows = get(&server, &token, "/search/node?rows=x").await;
    assert_eq!(rows.json(), json!({"error": ["invalid 'rows' value: 'x'"]}));
    let bad = get(&server, &token, "/search/node?q=a%5E2").await.json();
    assert_eq!((&bad["line"], &bad["column"]), (&json!(1), &json!(2)), "{bad}");
}

// A request that waits, as a task.
fn wait(server: &std::sync::Arc<Server>, token: &str, path: &str, etag: &str) -> tokio::task::JoinHandle<Answer> {
    let (server, ask) = (
        std::sync::Arc::clone(server),
        Ask::get(path).token(token).header("if-none-match", etag),
    );
    tokio::spawn(async move { server.send(ask).await })
}

#[tokio::test]
async fn whoever_waits_is_woken_by_a_change_of_their_answer_and_by_no_other() {
    for database in TestDatabase::both().await {
        let server = std::sync::Arc::new(Server::on(database).await);
        let token = operator(&server).await;
        place(&server, &token).await;
        for name in ["web1", "web2"] {
            post(&server, &token, "/api/v1/nodes", &node(name, &json!({"tier": "web"}))).await;
        }
        let path = "/api/v1/search/node?q=values.tier:web&fields=name";
        let answer = get(&server, &token, path).await;
        let etag = answer.header("etag").to_owned();
        let searching = wait(&server, &token, &format!("{path}&wait=60"), &etag);
        let looking = wait(&server, &token, "/api/v1/nodes/web1?wait=60", "\"1\"");
        // Changes that alter neither answer: of another node's values, and of a datacenter.
        let unrelated = put(&server, &token, "web2", &json!({"tier": "web", "x": 1}), 1).await;
        assert_eq!(unrelated.status, StatusCode::OK, "{unrelated:?}");
        post(&server, &token, "/api/v1/nodes", &node("db1", &json!({"tier": "db"}))).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(
            !searching.is_finished() && !looking.is_finished(),
            "a change that alters no answer wakes nobody"
        );
        let related = put(&server, &token, "web1", &json!({"tier": "db"}), 1).await;
        assert_eq!(related.status, StatusCode::OK);
        let found = tokio::time::timeout(Duration::from_secs(10), searching)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(found.json()["rows"], json!([{"name": "web2"}]));
        let shown = tokio::time::timeout(Duration::from_secs(10), looking).await.unwrap().unwrap();
        assert_eq!(shown.json()["version"], 2);
        let same = wait(&server, &token, &format!("{path}&wait=1"), found.header("etag"))
            .await
            .unwrap();
        assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn a_watched_query_sends_an_event_only_when_its_answer_changes() {
    use futures_util::StreamExt;
    let server = Server::sqlite().await;
    let token = operator(&server).await;
    place(&server, &token).await;
    let response = server
        .open(Ask::get("/api/v1/watch?index=node&q=values.tier:web").token(&token))
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = response.into_body().into_data_stream();
    let mut next = async || {
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        String::from_utf8(chunk.to_vec()).unwrap()
    };
    let ready = next().await;
    assert!(ready.contains("event: ready") && ready.contains("\"total\":0"), "{ready}");
    post(&server, &token, "/api/v1/nodes", &node("db1", &json!({"tier": "db"}))).await;
    post(&server, &token, "/api/v1/nodes", &node("web1", &json!({"tier": "web"}))).await;
    let changed = next().await;
    assert!(
        changed.contains("event: changed") && changed.contains("\"total\":1"),
        "{changed}"
    );
    let bad = get(&server, &token, "/api/v1/watch?index=node&q=(").await;
    assert_eq!(bad.problem(), "query-invalid");
}

#[tokio::test]
async fn files_are_planned_then_applied_all_or_nothing() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let token = operator(&server).await;
        let yaml = |kind: &str, name: &str, spec: &str| json!({"name": format!("{kind}-{name}.yaml"), "content": format!("apiVersion: greenroom/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")});
        let files = |port: i64| {
            json!([
                yaml("Node", "web1", "{datacenter: dc1, environment: uat, roles: [web]}"),
                yaml("Datacenter", "dc1", "{}"),
                yaml("Environment", "uat", "{restorable: true}"),
                yaml("Role", "web", &format!("{{values: {{port: {port}}}}}")),
            ])
        };
        let apply = async |files: Value, plan: bool, prune: bool| {
            post(
                &server,
                &token,
                "/api/v1/inventory/apply",
                &json!({"files": files, "plan": plan, "prune": prune}),
            )
            .await
        };
        let plan = apply(files(80), true, false).await.json();
        assert_eq!(
            (plan["applied"].as_bool(), plan["changes"].as_array().unwrap().len()),
            (Some(false), 4),
            "{plan}"
        );
        assert_eq!(get(&server, &token, "/api/v1/nodes").await.json()["total"], 0);
        let done = apply(files(80), false, false).await.json();
        assert_eq!(done["applied"], true, "{done}");
        let again = apply(files(80), false, false).await.json();
        assert_eq!((&again["applied"], &again["unchanged"]), (&json!(false), &json!(4)));
        let changed = apply(files(81), false, false).await.json();
        assert_eq!(changed["changes"].as_array().unwrap().len(), 1);
        assert!(
            changed["changes"][0]["diff"]
                .as_str()
                .unwrap()
                .contains("+      \"port\": 81"),
            "{changed}"
        );
        assert_eq!(
            server.store.audit(Some("inventory"), None, 10).await.unwrap().len(),
            2,
            "one write, one line of the audit"
        );

        let mut bad = files(82);
        bad.as_array_mut()
            .unwrap()
            .push(yaml("Node", "web2", "{datacenter: dc9, environment: uat}"));
        bad.as_array_mut().unwrap().push(yaml("Role", "loop", "{roles: [loop]}"));
        bad.as_array_mut().unwrap().push(yaml("Rolle", "x", "{}"));
        let refused = apply(bad, false, false).await;
        assert_eq!(refused.problem(), "object-invalid");
        assert_eq!(refused.json()["diagnostics"].as_array().unwrap().len(), 3, "{refused:?}");
        assert_eq!(
            get(&server, &token, "/api/v1/roles/web").await.json()["version"],
            2,
            "nothing of it was done"
        );

        let fewer = json!([
            yaml("Datacenter", "dc1", "{}"),
            yaml("Environment", "uat", "{restorable: true}")
        ]);
        let pruned = apply(fewer, false, true).await.json();
        let removed: Vec<&str> = pruned["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(removed, ["web1", "web"], "{pruned}");
        assert_eq!(get(&server, &token, "/api/v1/roles").await.json()["total"], 0);
    }
}

#[tokio::test]
async fn the_graph_says_who_needs_whom_where_it_is_and_what_a_loss_would_stop() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let token = operator(&server).await;
        place(&server, &token).await;
        let app = |name: &str, needs: &[&str]| {
            let needs: Vec<Value> = needs.iter().map(|need| json!({"app": need})).collect();
            json!({
                "apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": name},
                "spec": {"type": "service", "owners": {"dev": "a", "ops": "b"}, "repository": "/srv/git/x.git",
                    "recipes": [{"name": "python-app"}], "processes": {"web": {"command": ["x"]}}, "ports": {"http": {"port": 8080}}, "dependsOn": needs}
            })
        };
        for (name, needs) in [("store", &[][..]), ("catalogue", &["store"]), ("shop", &["catalogue"])] {
            let made = post(&server, &token, "/api/v1/apps", &app(name, needs)).await;
            assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        }
        for (name, datacenter, apps) in [
            ("a1", "dc1", &["shop", "catalogue"][..]),
            ("a2", "dc2", &["shop", "catalogue"]),
            ("db", "dc1", &["store"]),
        ] {
            let apps: Vec<Value> = apps.iter().map(|app| json!({"app": app, "revision": "v1"})).collect();
            let spec = json!({"datacenter": datacenter, "environment": "production", "apps": apps, "addresses": {"private": format!("{name}.internal")}});
            let made = post(&server, &token, "/api/v1/nodes", &object("Node", name, &spec)).await;
            assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        }
        let needs = get(
            &server,
            &token,
            "/api/v1/apps/shop/dependencies?transitive=1&environment=production&datacenter=dc2",
        )
        .await
        .json();
        let edges = needs["edges"].as_array().unwrap();
        assert_eq!(
            edges.iter().map(|e| e["to"].as_str().unwrap()).collect::<Vec<_>>(),
            ["catalogue", "store"]
        );
        let reached: Vec<&str> = edges[0]["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["address"].as_str().unwrap())
            .collect();
        assert_eq!(reached, ["a2.internal", "a1.internal"], "those of the datacenter first");
        assert_eq!(edges[1]["endpoints"][0]["ports"]["http"], 8080);
        let needed = get(&server, &token, "/api/v1/apps/store/dependents?transitive=1")
            .await
            .json();
        let by: Vec<&str> = needed["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["from"].as_str().unwrap())
            .collect();
        assert_eq!(by, ["catalogue", "shop"]);

        let loss = get(&server, &token, "/api/v1/impact?node=db").await.json();
        let stops: Vec<&str> = loss["stops"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["app"].as_str().unwrap())
            .collect();
        assert_eq!(stops, ["catalogue", "shop", "store"], "{loss}");
        let loss = get(&server, &token, "/api/v1/impact?datacenter=dc2").await.json();
        assert_eq!(
            (
                loss["stops"].as_array().unwrap().len(),
                loss["weakened"].as_array().unwrap().len()
            ),
            (0, 2),
            "{loss}"
        );

        let ask = Ask::new("PUT", "/api/v1/nodes/a1/facts")
            .token(&token)
            .json(&json!({"apps": {"shop": {"revision": "v0"}}}));
        server.send(ask).await;
        let running = get(&server, &token, "/api/v1/running?app=shop").await.json();
        let drift: Vec<&Value> = running["items"].as_array().unwrap().iter().map(|r| &r["drifted"]).collect();
        assert_eq!(drift, [&json!(true), &Value::Null], "{running}");
    }
}
