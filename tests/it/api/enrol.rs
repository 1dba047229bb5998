//! How machines become nodes of the inventory, and what their agents say and get.

use super::server::{Ask, Server};
use crate::support::database::TestDatabase;
use axum::http::StatusCode;
use greenroom::clock::Clock;
use greenroom::model::actor::{Actor, Role};
use greenroom::model::signature::SigningKey;
use serde_json::{Value, json};

pub(super) struct Machine {
    pub(super) key: SigningKey,
    pub(super) name: &'static str,
    pub(super) id: String,
}

pub(super) fn key(digit: char) -> SigningKey {
    SigningKey::from_seed(&digit.to_string().repeat(64)).unwrap()
}

impl Machine {
    pub(super) fn sign(&self, server: &Server, ask: Ask) -> Ask {
        ask.signed(&self.key, &self.id, server.clock.now())
    }
}

pub(super) fn register(server: &Server, token: &str, name: &str, key: &SigningKey) -> Ask {
    let body = json!({ "name": name, "key": key.public().to_string(), "facts": { "agent": "0.1.0" } });
    let ask = Ask::post("/agent/v1/register").token(token).json(&body);
    ask.signed(key, "nod_00000000000000000000000000000000", server.clock.now())
}

async fn place(server: &Server, operator: &str) {
    for (kind, name) in [("Environment", "production"), ("Environment", "uat"), ("Datacenter", "dc1")] {
        let object = json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": {} });
        let path = format!("/api/v1/{}s/{name}", kind.to_lowercase());
        let answer = server.send(Ask::new("PUT", &path).token(operator).json(&object)).await;
        assert!(answer.status.is_success(), "{answer:?}");
    }
}

pub(super) async fn operator(server: &Server) -> (Actor, String) {
    let (actor, _) = server.account("ops", Role::Operator).await;
    let token = server.token(&actor).await;
    place(server, &token).await;
    (actor, token)
}

pub(super) async fn token(server: &Server, operator: &str, uses: i64) -> Value {
    let wanted = json!({ "name": "web-*", "environment": "production", "datacenter": "dc1", "uses": uses, "ttl": "1h" });
    let answer = server
        .send(Ask::post("/api/v1/node-tokens").token(operator).json(&wanted))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()
}

pub(super) async fn enrolled(server: &Server, operator: &str) -> Machine {
    let secret = token(server, operator, 1).await["secret"].as_str().unwrap().to_owned();
    let key = key('5');
    let answer = server.send(register(server, &secret, "web-1", &key)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    Machine {
        key,
        name: "web-1",
        id: answer.json()["node"].as_str().unwrap().to_owned(),
    }
}

#[tokio::test]
async fn a_token_lets_in_so_many_machines_under_names_that_fit() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (_, operator) = operator(&server).await;
        let made = token(&server, &operator, 2).await;
        let secret = made["secret"].as_str().unwrap();
        let list = server.send(Ask::get("/api/v1/node-tokens").token(&operator)).await;
        assert!(!list.text.contains(secret), "a secret is shown once");

        let wrong = server.send(register(&server, "grn_guess", "web-1", &key('1'))).await;
        assert_eq!(wrong.problem(), "not-signed-in");
        assert_eq!(
            server.send(register(&server, secret, "db-1", &key('1'))).await.problem(),
            "not-allowed"
        );
        let first = server.send(register(&server, secret, "web-1", &key('1'))).await;
        assert_eq!(first.status, StatusCode::OK, "{first:?}");
        let again = server.send(register(&server, secret, "web-1", &key('1'))).await;
        assert_eq!(again.json(), first.json(), "the same machine again is the same registration");
        assert_eq!(
            server.send(register(&server, secret, "web-1", &key('2'))).await.problem(),
            "conflict"
        );
        let node = server.send(Ask::get("/api/v1/nodes/web-1").token(&operator)).await;
        assert!(node.text.contains("production") && node.text.contains("dc1"), "{node:?}");
        let second = server.send(register(&server, secret, "web-2", &key('2'))).await;
        assert_eq!(second.status, StatusCode::OK, "{second:?}");
        let third = server.send(register(&server, secret, "web-3", &key('3'))).await;
        assert_eq!(third.problem(), "not-signed-in", "it is used up");
    }
}

#[tokio::test]
async fn a_token_that_is_old_or_revoked_lets_nobody_in() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let made = token(&server, &operator, 5).await;
    let path = format!("/api/v1/node-tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(
        server.send(Ask::new("DELETE", &path).token(&operator)).await.status,
        StatusCode::NO_CONTENT
    );
    let revoked = register(&server, made["secret"].as_str().unwrap(), "web-1", &key('1'));
    assert_eq!(server.send(revoked).await.problem(), "not-signed-in");
    let made = token(&server, &operator, 5).await;
    server.clock.advance(3_600_001);
    let old = register(&server, made["secret"].as_str().unwrap(), "web-1", &key('1'));
    assert_eq!(server.send(old).await.problem(), "not-signed-in");
}

#[tokio::test]
async fn a_node_of_another_place_is_not_taken_over() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let node = json!({ "apiVersion": "greenroom/v1", "kind": "Node", "metadata": { "name": "web-9" },
        "spec": { "environment": "uat", "datacenter": "dc1" } });
    let saved = server
        .send(Ask::new("PUT", "/api/v1/nodes/web-9").token(&operator).json(&node))
        .await;
    assert!(saved.status.is_success(), "{saved:?}");
    let made = token(&server, &operator, 1).await;
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(
        server.send(register(&server, secret, "web-9", &key('1'))).await.problem(),
        "not-allowed"
    );
    let other = server.send(register(&server, secret, "web-1", &key('1'))).await;
    assert_eq!(other.status, StatusCode::OK, "the refusal cost no use: {other:?}");
}

#[tokio::test]
async fn an_agent_gets_what_it_is_assigned_and_its_reports_are_kept() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let machine = enrolled(&server, &operator).await;
    let ask = || machine.sign(&server, Ask::get("/agent/v1/configuration"));
    assert_eq!(server.send(ask()).await.problem(), "not-found");
    let path = format!("/api/v1/agents/{}/configuration", machine.name);
    let empty = json!({ "format": 1, "states": [] });
    let assigned = server.send(Ask::new("PUT", &path).token(&operator).json(&empty)).await;
    let hash = assigned.json()["hash"].as_str().unwrap().to_owned();
    let got = server.send(ask()).await;
    assert_eq!(
        (got.status, got.header("etag")),
        (StatusCode::OK, format!("\"{hash}\"").as_str())
    );
    for number in 0..60 {
        let report = json!({ "id": format!("r{number:02}"), "configuration": hash, "outcome": "applied", "unchanged": 3,
            "states": [{ "id": "x", "outcome": "changed", "took_ms": 1, "drift": "corrective" }], "services": [], "took_ms": 4 });
        server.clock.advance(1);
        let answer = server
            .send(machine.sign(&server, Ask::post("/agent/v1/reports").json(&report)))
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
    }
    let agents = server.send(Ask::get("/api/v1/agents").token(&operator)).await.json();
    let agent = &agents["items"][0];
    assert_eq!(
        (&agent["up_to_date"], &agent["corrective"]),
        (&json!(true), &json!(1)),
        "{agents}"
    );
    let reports = server
        .send(Ask::get("/api/v1/agents/web-1/reports").token(&operator))
        .await
        .json();
    let ids: Vec<&str> = reports
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["report"]["id"].as_str().unwrap())
        .collect();
    assert_eq!((ids.len(), ids[0], ids[49]), (50, "r59", "r10"));

    let facts = json!({ "platform": "debian", "hostname": "web-1" });
    let told = machine.sign(&server, Ask::new("PUT", "/agent/v1/facts").json(&facts));
    assert_eq!(server.send(told).await.status, StatusCode::NO_CONTENT);
    let found = server.send(Ask::get("/api/v1/nodes/web-1/facts").token(&operator)).await;
    assert_eq!(found.json()["facts"]["platform"], "debian", "{found:?}");
}

#[tokio::test]
async fn an_agent_is_told_what_its_nodes_roles_say_and_told_again_when_they_change() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let machine = enrolled(&server, &operator).await;
    let save = async |kind: &str, name: &str, spec: Value, version: Option<&str>| {
        let object = json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        let path = format!("/api/v1/{}s/{name}", kind.to_lowercase());
        let mut ask = Ask::new("PUT", &path).token(&operator).json(&object);
        if let Some(version) = version {
            ask = ask.header("if-match", version);
        }
        let answer = server.send(ask).await;
        assert!(answer.status.is_success(), "{answer:?}");
    };
    let wish = async || {
        let answer = server.send(machine.sign(&server, Ask::get("/agent/v1/configuration"))).await;
        answer.status.is_success().then(|| answer.header("etag").to_owned())
    };
    assert_eq!(wish().await, None, "its roles say nothing yet");
    save("Role", "web", json!({ "recipes": [{ "name": "redis" }] }), None).await;
    let node = json!({ "environment": "production", "datacenter": "dc1", "roles": ["web"] });
    save("Node", "web-1", node, Some("\"1\"")).await;
    server.control.deliver_configuration("web-1").await.unwrap();
    let compiled = server
        .send(Ask::get("/api/v1/nodes/web-1/configuration").token(&operator))
        .await
        .json();
    let first = wish().await.expect("its role says something");
    assert_eq!(first, format!("\"{}\"", compiled["hash"].as_str().unwrap()));

    // What the server does on its own after a change of the inventory.
    save("Role", "web", json!({ "recipes": [{ "name": "memcached" }] }), Some("\"1\"")).await;
    for node in server.control.refresh_configurations().await.unwrap() {
        server.control.deliver_configuration(&node).await.unwrap();
    }
    let second = wish().await.unwrap();
    assert_ne!(first, second);
    // A role that does not compile changes nothing.
    save(
        "Role",
        "web",
        json!({ "recipes": [{ "name": "memcached", "with": { "no_such": 1 } }] }),
        Some("\"2\""),
    )
    .await;
    assert!(server.control.deliver_configuration("web-1").await.is_err());
    assert_eq!(server.control.refresh_configurations().await.unwrap(), Vec::<String>::new());
    assert_eq!(wish().await.unwrap(), second);
    // Mended, it is not forgotten.
    save("Role", "web", json!({ "recipes": [{ "name": "redis" }] }), Some("\"3\"")).await;
    assert_eq!(server.control.refresh_configurations().await.unwrap(), ["web-1"]);
    server.control.deliver_configuration("web-1").await.unwrap();
    assert_eq!(wish().await.unwrap(), first);
}

#[tokio::test]
async fn what_an_agent_does_is_kept_in_its_own_words_within_bounds() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (_, operator) = operator(&server).await;
        let machine = enrolled(&server, &operator).await;
        let say = async |number: i64, stream: &str, text: &str| {
            let chunk =
                json!({ "stream": stream, "writer": "w", "writer_seq": number, "at_ms": 1_800_000_000_000_i64, "text": text });
            let batch = Ask::post("/agent/v1/logs").json(&json!({ "chunks": [chunk] }));
            server.clock.advance(1000);
            let answer = server.send(machine.sign(&server, batch)).await;
            assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
        };
        let log = async |after: i64| {
            let path = format!("/api/v1/agents/web-1/log?after={after}");
            server.send(Ask::get(&path).token(&operator)).await.json()
        };
        say(1, "converge/sha256:1", "Applying 3 states\n").await;
        say(1, "service/web", "GET /\n").await;
        say(2, "converge/sha256:1", "Everything is as it should be\n").await;
        say(2, "converge/sha256:1", "Everything is as it should be\n").await;
        let first = log(0).await;
        let texts: Vec<&str> = first["chunks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["text"].as_str().unwrap())
            .collect();
        assert_eq!(texts, ["Applying 3 states\n", "Everything is as it should be\n"]);
        assert_eq!(log(first["next"].as_i64().unwrap()).await["chunks"], json!([]));

        let long = "x".repeat(100 * 1024);
        for number in 3..13 {
            say(number, "converge/sha256:2", &long).await;
        }
        let kept = log(0).await;
        let chunks = kept["chunks"].as_array().unwrap();
        assert_eq!(chunks.len(), 5, "no more than 512 KiB");
        assert_eq!(chunks[4]["seq"], 12, "the newest stay in their places");

        let forget = Ask::new("DELETE", "/api/v1/agents/web-1").token(&operator);
        assert!(server.send(forget).await.status.is_success());
        let path = "/api/v1/agents/web-1/log";
        assert_eq!(server.send(Ask::get(path).token(&operator)).await.problem(), "not-found");
    }
}

#[tokio::test]
async fn a_node_that_loses_its_last_role_is_asked_nothing_and_what_was_assigned_by_hand_stays() {
    for database in TestDatabase::both().await {
        let server = Server::on(database).await;
        let (_, operator) = operator(&server).await;
        let machine = enrolled(&server, &operator).await;
        let put = async |path: &str, version: &str, body: Value| {
            let ask = Ask::new("PUT", path).token(&operator).header("if-match", version).json(&body);
            let answer = server.send(ask).await;
            assert!(answer.status.is_success(), "{answer:?}");
            for node in server.control.refresh_configurations().await.unwrap() {
                server.control.deliver_configuration(&node).await.unwrap();
            }
        };
        let node = async |version: &str, roles: Value| {
            let spec = json!({ "environment": "production", "datacenter": "dc1", "roles": roles });
            let node = json!({ "apiVersion": "greenroom/v1", "kind": "Node", "metadata": { "name": "web-1" }, "spec": spec });
            put("/api/v1/nodes/web-1", version, node).await;
        };
        let wish = async || {
            server
                .send(machine.sign(&server, Ask::get("/agent/v1/configuration")))
                .await
                .json()
        };
        let agent = async || server.send(Ask::get("/api/v1/agents").token(&operator)).await.json()["items"][0].clone();
        let state = json!({ "type": "directory", "path": "/srv/x", "mode": "0755", "id": "x", "title": "x", "origin": "x:1:1" });
        let by_hand = json!({ "format": 1, "states": [state] });
        put("/api/v1/agents/web-1/configuration", "*", by_hand).await;
        server.control.deliver_configuration("web-1").await.unwrap();
        assert_eq!(wish().await["states"][0]["id"], "x", "it never had a role");

        let role = json!({ "apiVersion": "greenroom/v1", "kind": "Role", "metadata": { "name": "cache" },
            "spec": { "recipes": [{ "name": "redis" }] } });
        let made = server
            .send(Ask::new("PUT", "/api/v1/roles/cache").token(&operator).json(&role))
            .await;
        assert!(made.status.is_success(), "{made:?}");
        node("\"1\"", json!(["cache"])).await;
        assert_ne!(wish().await["states"][0]["id"], "x", "its role says otherwise");
        assert_eq!(agent().await["nothing_asked"], false);

        node("\"2\"", json!([])).await;
        assert_eq!(wish().await["states"], json!([]));
        assert_eq!(agent().await["nothing_asked"], true);
    }
}

#[tokio::test]
async fn a_fleet_plan_starts_from_what_a_node_last_reported_to_be() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let machine = enrolled(&server, &operator).await;
    let object = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    let save = async |object: Value, version: Option<&str>| {
        let path = format!(
            "/api/v1/{}s/{}",
            object["kind"].as_str().unwrap().to_lowercase(),
            object["metadata"]["name"].as_str().unwrap()
        );
        let mut ask = Ask::new("PUT", &path).token(&operator).json(&object);
        if let Some(version) = version {
            ask = ask.header("if-match", version);
        }
        let answer = server.send(ask).await;
        assert!(answer.status.is_success(), "{answer:?}");
        server.control.deliver_configuration("web-1").await.unwrap();
    };
    let role = |recipe: &str| object("Role", "web", json!({ "recipes": [{ "name": recipe }] }));
    let plan = async || {
        let request = json!({ "objects": [role("haproxy")] });
        let answer = server
            .send(Ask::post("/api/v1/plans/fleet").token(&operator).json(&request))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let plan = answer.json();
        assert_eq!(plan["summary"], "this change touches 1 node, 1 distinct diff");
        (
            plan["reported"].clone(),
            plan["groups"][0]["diff"].as_str().unwrap().to_owned(),
        )
    };
    save(role("redis"), None).await;
    let node = object(
        "Node",
        "web-1",
        json!({ "environment": "production", "datacenter": "dc1", "roles": ["web"] }),
    );
    save(node, Some("\"1\"")).await;
    // Before it says anything: from what it is asked to be.
    let (reported, diff) = plan().await;
    assert!(
        reported == 0 && diff.contains("redis") && diff.contains("haproxy"),
        "{reported} {diff}"
    );
    let wish = server.send(machine.sign(&server, Ask::get("/agent/v1/configuration"))).await;
    let report = json!({ "id": "r1", "configuration": wish.header("etag").trim_matches('"'), "outcome": "applied", "unchanged": 3,
        "states": [], "services": [], "took_ms": 4 });
    let told = server
        .send(machine.sign(&server, Ask::post("/agent/v1/reports").json(&report)))
        .await;
    assert_eq!(told.status, StatusCode::NO_CONTENT, "{told:?}");
    // It is asked to be something else, and has not become it yet.
    save(role("memcached"), Some("\"1\"")).await;
    let (reported, diff) = plan().await;
    assert!(
        reported == 1 && diff.contains("redis") && !diff.contains("memcached"),
        "{reported} {diff}"
    );
}

#[tokio::test]
async fn a_long_content_is_given_to_the_node_whose_configuration_names_it() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let machine = enrolled(&server, &operator).await;
    let long = "a long line of a long file\n".repeat(2_000);
    let assign = async |content: &str| {
        let states = json!([{ "id": "file/a", "title": "A file", "origin": "a.yaml:1:1", "type": "file", "path": "/a",
            "content": content, "mode": "0644" }]);
        let path = "/api/v1/agents/web-1/configuration";
        let ask = Ask::new("PUT", path)
            .token(&operator)
            .json(&json!({ "format": 1, "states": states }));
        let answer = server.send(ask).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    };
    assign(&long).await;
    let wish = server.send(machine.sign(&server, Ask::get("/agent/v1/configuration"))).await;
    let hash = wish.json()["states"][0]["content_blob"].as_str().unwrap().to_owned();
    assert!(wish.text.len() < 1000, "{wish:?}");
    let path = format!("/agent/v1/blobs/{hash}");
    let content = server.send(machine.sign(&server, Ask::get(&path))).await;
    assert_eq!((content.status, content.text.as_str()), (StatusCode::OK, long.as_str()));
    assert_eq!(server.send(Ask::get(&path)).await.problem(), "not-signed-in");
    assert_eq!(server.send(Ask::get(&path).token(&operator)).await.problem(), "not-signed-in");
    // What the node is not to have any more, it is not given.
    assign("short").await;
    assert_eq!(
        server.send(machine.sign(&server, Ask::get(&path))).await.problem(),
        "not-found"
    );
}

#[tokio::test]
async fn maintenance_is_told_and_a_forgotten_agent_is_no_longer_believed() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let machine = enrolled(&server, &operator).await;
    let empty = json!({ "format": 1, "states": [] });
    server
        .send(
            Ask::new("PUT", "/api/v1/agents/web-1/configuration")
                .token(&operator)
                .json(&empty),
        )
        .await;
    let ask = || machine.sign(&server, Ask::get("/agent/v1/configuration"));
    assert_eq!(server.send(ask()).await.header("greenroom-maintenance"), "");
    let shown = server.send(Ask::get("/api/v1/nodes/web-1").token(&operator)).await;
    let mut node = json!({ "apiVersion": "greenroom/v1", "kind": "Node", "metadata": { "name": "web-1" },
        "spec": { "environment": "production", "datacenter": "dc1" } });
    node["spec"]["maintenance"] = json!({ "reason": "new memory" });
    let etag = shown.header("etag").to_owned();
    let save = Ask::new("PUT", "/api/v1/nodes/web-1")
        .token(&operator)
        .header("if-match", &etag)
        .json(&node);
    let saved = server.send(save).await;
    assert!(saved.status.is_success(), "{saved:?}");
    assert_eq!(server.send(ask()).await.header("greenroom-maintenance"), "new memory");

    assert_eq!(
        server
            .send(Ask::new("DELETE", "/api/v1/agents/web-1").token(&operator))
            .await
            .status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(server.send(ask()).await.problem(), "not-signed-in");
}

#[tokio::test]
async fn a_node_that_is_only_looked_at_is_told_so() {
    let server = Server::sqlite().await;
    let (_, operator) = operator(&server).await;
    let machine = enrolled(&server, &operator).await;
    let object = json!({ "apiVersion": "greenroom/v1", "kind": "Role", "metadata": { "name": "web" },
        "spec": { "recipes": [{ "name": "redis" }] } });
    let saved = server
        .send(Ask::new("PUT", "/api/v1/roles/web").token(&operator).json(&object))
        .await;
    assert!(saved.status.is_success(), "{saved:?}");
    for (version, audit) in [("\"1\"", true), ("\"2\"", false)] {
        let spec = json!({ "environment": "production", "datacenter": "dc1", "roles": ["web"], "audit": audit });
        let object = json!({ "apiVersion": "greenroom/v1", "kind": "Node", "metadata": { "name": "web-1" }, "spec": spec });
        let ask = Ask::new("PUT", "/api/v1/nodes/web-1")
            .token(&operator)
            .header("if-match", version);
        let saved = server.send(ask.json(&object)).await;
        assert!(saved.status.is_success(), "{saved:?}");
        server.control.deliver_configuration("web-1").await.unwrap();
        let told = server
            .send(machine.sign(&server, Ask::get("/agent/v1/configuration")))
            .await
            .json();
        assert_eq!(told["audit"].as_bool().unwrap_or_default(), audit, "{told}");
    }
}
