//! The inventory in the portal, over a server: found while one types, looked at, edited, looked back at, promoted; and who may.

use super::forms::{form, holds, page};
use crate::api::server::{Answer, Ask, Server};
use greenroom::model::actor::{Actor, Role};
use greenroom::model::inventory::ObjectKind;
use greenroom::wire::bundles::PushRequest;
use greenroom::wire::inventory::{ApplyFile, ApplyRequest};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const RECIPE: &str = "\
recipe: nginx
description: a web server
params:
  workers: {type: int, default: 2}
states:
  - file:
      path: /etc/nginx.conf
      content: \"workers {{ params.workers }}\\n\"
";

fn object(kind: ObjectKind, name: &str, spec: &Value) -> String {
    json!({"apiVersion": "greenroom/v1", "kind": kind.title(), "metadata": {"name": name}, "spec": spec}).to_string()
}

async fn put(server: &Server, actor: &Actor, kind: ObjectKind, name: &str, spec: &Value) {
    let text = object(kind, name, spec);
    let saved = server
        .control
        .save_object(actor, kind, None, "object.json", text.as_bytes(), None)
        .await;
    saved.unwrap();
}

async fn push(server: &Server, actor: &Actor, recipe: &str) -> String {
    let request = PushRequest {
        files: BTreeMap::from([("nginx.yaml".to_owned(), recipe.to_owned())]),
        with_own: true,
        note: "for the test".to_owned(),
    };
    server.control.push_bundle(actor, &request).await.unwrap().bundle.hash
}

/// Two web servers in one datacenter, built from a pushed recipe; an operator's session.
async fn fleet(server: &Server) -> (Actor, String, String) {
    let (olga, session) = server.account("olga", Role::Operator).await;
    let hash = push(server, &olga, RECIPE).await;
    put(
        server,
        &olga,
        ObjectKind::Datacenter,
        "dc1",
        &json!({"values": {"nginx": {"workers": 4}}}),
    )
    .await;
    put(server, &olga, ObjectKind::Environment, "production", &json!({"bundle": hash})).await;
    put(
        server,
        &olga,
        ObjectKind::Role,
        "web",
        &json!({"recipes": [{"name": "nginx"}]}),
    )
    .await;
    for name in ["web1", "web2"] {
        let spec =
            json!({"datacenter": "dc1", "environment": "production", "roles": ["web"], "addresses": {"private": "10.0.0.1"}});
        put(server, &olga, ObjectKind::Node, name, &spec).await;
    }
    (olga, session, hash)
}

async fn get(server: &Server, session: &str, path: &str) -> Answer {
    server.send(page(Ask::get(path)).session(session)).await
}

async fn send(server: &Server, session: &str, path: &str, body: &str) -> Answer {
    server.send(form(path, body).session(session)).await
}

fn lacks(answer: &Answer, unwanted: &[&str]) {
    let text = answer.text.replace("&#x2f;", "/");
    for unwanted in unwanted {
        assert!(!text.contains(unwanted), "{unwanted:?} is in {answer:?}");
    }
}

#[tokio::test]
async fn nodes_are_found_by_words_and_by_queries_and_a_broken_query_says_where() {
    let server = Server::sqlite().await;
    let (_, session, _) = fleet(&server).await;
    let all = get(&server, &session, "/inventory/nodes").await;
    assert_eq!(all.status, 200);
    holds(
        &all,
        &[
            "2 nodes",
            "/inventory/nodes/web1",
            "/inventory/datacenters/dc1",
            "no agent",
            "aria-current=\"page\">Inventory",
        ],
    );
    let words = get(&server, &session, "/inventory/nodes?q=web2").await;
    holds(&words, &["1 node found", "/inventory/nodes/web2"]);
    lacks(&words, &["/inventory/nodes/web1"]);
    let query = get(&server, &session, "/inventory/nodes?q=role:web+AND+name:*1").await;
    holds(&query, &["1 node found", "/inventory/nodes/web1"]);
    let broken = get(&server, &session, "/inventory/nodes?q=role:(web").await;
    assert_eq!(broken.status, 200);
    holds(&broken, &["Line 1, column", "value=\"role:(web\""]);
    assert_eq!(get(&server, &session, "/inventory/toasters").await.status, 404);
}

#[tokio::test]
async fn long_lists_have_pages_whether_words_or_a_query_were_typed() {
    let server = Server::sqlite().await;
    let (olga, session, _) = fleet(&server).await;
    for number in 0..60 {
        let name = format!("box{number:02}");
        let spec = json!({"datacenter": "dc1", "environment": "production"});
        put(&server, &olga, ObjectKind::Node, &name, &spec).await;
    }
    for q in ["box", "name:box*"] {
        let first = get(&server, &session, &format!("/inventory/nodes?q={q}")).await;
        holds(&first, &["60 nodes found", "/inventory/nodes/box49", "rel=\"next\""]);
        lacks(&first, &["/inventory/nodes/box50"]);
        let second = get(&server, &session, &format!("/inventory/nodes?q={q}&cursor=box49")).await;
        holds(&second, &["/inventory/nodes/box50", "/inventory/nodes/box59", "First page"]);
        lacks(&second, &["/inventory/nodes/box49\"", "rel=\"next\""]);
    }
}

#[tokio::test]
async fn a_node_shows_what_it_is_built_to_be_and_why() {
    let server = Server::sqlite().await;
    let (olga, session, _) = fleet(&server).await;
    let facts = json!({"format": "greenroom", "machine": {"os": "debian"}});
    server.control.save_facts(&olga, "web1", facts).await.unwrap();
    let shown = get(&server, &session, "/inventory/nodes/web1").await;
    assert_eq!(shown.status, 200, "{shown:?}");
    holds(
        &shown,
        &[
            "nginx.yaml",
            "No app would stop",
            "facts.machine.os",
            "It has none. Make a token",
            "/inventory/nodes/web1/edit",
            "first version",
        ],
    );
    let why = get(&server, &session, "/inventory/nodes/web1/explain?key=nginx.workers").await;
    holds(&why, &["It is <code>4</code>", "dc1", "datacenter"]);
    let bad = get(&server, &session, "/inventory/nodes/web1/explain?key=..").await;
    assert_eq!(bad.status, 200);
    holds(&bad, &["class=\"panel alert bad\""]);
}

#[tokio::test]
async fn other_objects_say_who_names_them_and_cannot_go_while_someone_does() {
    let server = Server::sqlite().await;
    let (_, session, hash) = fleet(&server).await;
    let dc = get(&server, &session, "/inventory/datacenters/dc1").await;
    holds(&dc, &["2 nodes", "/inventory/nodes/web1", "What would stop"]);
    let role = get(&server, &session, "/inventory/roles/web").await;
    holds(&role, &["2 nodes", "/inventory/nodes/web2"]);
    let environment = get(&server, &session, "/inventory/environments/production").await;
    holds(&environment, &[&hash, "2 nodes"]);
    let refused = send(&server, &session, "/inventory/roles/web/remove", "version=1").await;
    assert_eq!(refused.status, 409, "{refused:?}");
    holds(&refused, &["class=\"panel alert bad\"", "web1"]);
    let gone = send(&server, &session, "/inventory/nodes/web1/remove", "version=1").await;
    assert_eq!(gone.header("location"), "/inventory/nodes?said=gone");
    assert_eq!(get(&server, &session, "/inventory/nodes/web1").await.status, 404);
    let past = get(&server, &session, "/inventory/nodes/web1/versions").await;
    holds(&past, &["It is not in the inventory any more", "Restore version 1"]);
    let back = send(&server, &session, "/inventory/nodes/web1/restore", "version=1&present=2").await;
    assert_eq!(back.header("location"), "/inventory/nodes/web1?said=restored", "{back:?}");
    assert_eq!(get(&server, &session, "/inventory/nodes/web1").await.status, 200);
}

#[tokio::test]
async fn an_edit_is_checked_saved_and_never_overwrites_another() {
    let server = Server::sqlite().await;
    let (_, session, _) = fleet(&server).await;
    let begun = get(&server, &session, "/inventory/new/roles").await;
    holds(&begun, &["&quot;Role&quot;", "data-check=\"/inventory/check/roles\""]);
    let checked = server
        .send(
            form("/inventory/check/roles", "text=%7B%7D")
                .session(&session)
                .header("x-greenroom-fragment", "1"),
        )
        .await;
    holds(&checked, &["would be refused"]);
    let text = |title: &str| {
        let body = json!({"apiVersion": "greenroom/v1", "kind": "Role", "metadata": {"name": "web", "title": title},
            "spec": {"recipes": [{"name": "nginx"}]}});
        format!("{body}")
            .bytes()
            .fold(String::from("version=1&text="), |mut out, byte| {
                use std::fmt::Write as _;
                write!(out, "%{byte:02X}").unwrap();
                out
            })
    };
    let saved = send(&server, &session, "/inventory/roles/web/edit", &text("First")).await;
    assert_eq!(saved.header("location"), "/inventory/roles/web?said=kept", "{saved:?}");
    let late = send(&server, &session, "/inventory/roles/web/edit", &text("Second")).await;
    assert_eq!(late.status, 412);
    holds(
        &late,
        &[
            "Someone else changed it first",
            "Second",
            "class=\"removed\"",
            "name=\"version\" value=\"2\"",
        ],
    );
    let broken = send(
        &server,
        &session,
        "/inventory/roles/web/edit",
        "version=2&text=%7B%22kind%22%3A+1",
    )
    .await;
    assert_eq!(broken.status, 422, "{broken:?}");
    holds(&broken, &["{&quot;kind&quot;: 1", "class=\"finding bad\""]);
    let compared = get(&server, &session, "/inventory/roles/web/diff?from=1&to=2").await;
    holds(
        &compared,
        &["Version 1 to version 2", "class=\"added\"", "/inventory/roles/web/restore"],
    );
}

#[tokio::test]
async fn every_noun_is_searched_with_the_same_question_for_other_tools() {
    let server = Server::sqlite().await;
    let (_, session, _) = fleet(&server).await;
    let found = get(
        &server,
        &session,
        "/inventory/search?kind=node&q=role:web&fields=name,datacenter",
    )
    .await;
    holds(
        &found,
        &[
            "2 found",
            "/inventory/nodes/web1",
            "<td>dc1</td>",
            "greenroom search node &#x27;role:web&#x27; --fields",
            "/api/v1/search/node",
        ],
    );
    for kind in ["app", "datacenter", "environment", "role", "stack"] {
        let found = get(&server, &session, &format!("/inventory/search?kind={kind}")).await;
        assert_eq!(found.status, 200, "{found:?}");
    }
    let broken = get(&server, &session, "/inventory/search?kind=role&q=a+AND").await;
    holds(&broken, &["Line 1, column"]);
}

#[tokio::test]
async fn a_bundle_is_promoted_after_its_plan_and_only_where_nobody_was_faster() {
    let server = Server::sqlite().await;
    let (olga, session, hash) = fleet(&server).await;
    let newer = push(&server, &olga, &RECIPE.replace("workers {{", "worker_processes {{")).await;
    let bundles = get(&server, &session, "/inventory/bundles").await;
    holds(
        &bundles,
        &[&hash, &newer, "for the test", "/inventory/environments/production"],
    );
    let compared = get(&server, &session, &format!("/inventory/bundles/{newer}?from={hash}")).await;
    holds(&compared, &["nginx.yaml", "class=\"added\"", "changed"]);
    let plan = get(
        &server,
        &session,
        &format!("/inventory/plan?bundle={newer}&environment=production"),
    )
    .await;
    holds(
        &plan,
        &[
            "his change touches 2 nodes, 1 distinct diff",
            "worker_processes",
            "Promote to production",
            "name=\"version\" value=\"1\"",
        ],
    );
    let path = "/inventory/environments/production/bundle";
    let late = send(&server, &session, path, &format!("bundle={newer}&version=7")).await;
    assert_eq!(late.status, 412);
    holds(&late, &["class=\"panel alert bad\"", "his change touches"]);
    let done = send(&server, &session, path, &format!("bundle={newer}&version=1")).await;
    assert_eq!(
        done.header("location"),
        "/inventory/environments/production?said=promoted",
        "{done:?}"
    );
    assert_eq!(server.control.show_pointer(&olga, "production").await.unwrap().bundle, newer);
}

#[tokio::test]
async fn who_may_only_look_gets_no_buttons_and_is_refused_all_the_same() {
    let server = Server::sqlite().await;
    let (olga, operator, hash) = fleet(&server).await;
    let (_, vera) = server.account("vera", Role::Viewer).await;
    let paths = [
        "/inventory/nodes",
        "/inventory/nodes/web1",
        "/inventory/nodes/web1/versions",
        "/inventory/nodes/web1/explain",
        "/inventory/roles/web",
        "/inventory/search",
        "/inventory/bundles",
        "/inventory/plan",
    ];
    for path in paths {
        let shown = get(&server, &vera, path).await;
        assert_eq!(shown.status, 200, "{path}: {shown:?}");
        lacks(&shown, &["/edit\"", "/remove\"", "/restore\"", "/inventory/new/"]);
        let stranger = server.send(page(Ask::get(path))).await;
        assert!(stranger.header("location").starts_with("/sign-in"), "{path}: {stranger:?}");
    }
    let plan = format!("/inventory/plan?bundle={hash}&environment=production");
    lacks(&get(&server, &vera, &plan).await, &["Promote to"]);
    for path in ["/inventory/new/nodes", "/inventory/nodes/web1/edit"] {
        assert_eq!(get(&server, &vera, path).await.status, 403, "{path}");
    }
    let posts = [
        "/inventory/new/nodes",
        "/inventory/check/nodes",
        "/inventory/nodes/web1/edit",
        "/inventory/nodes/web1/remove",
        "/inventory/nodes/web1/restore",
        "/inventory/environments/production/bundle",
    ];
    for path in posts {
        let body = format!("version=1&present=1&text=x&bundle={hash}");
        assert_eq!(send(&server, &vera, path, &body).await.status, 403, "{path}");
        let foreign = form(path, &body).session(&operator).header("sec-fetch-site", "cross-site");
        assert_eq!(server.send(foreign).await.status, 403, "{path} from another site");
    }
    let still = server
        .control
        .show_object(&olga, ObjectKind::Node, "web1", None)
        .await
        .unwrap();
    assert_eq!(still.version, 1);
}

#[tokio::test]
async fn every_page_that_the_example_inventory_leads_to_is_one() {
    let server = Server::sqlite().await;
    let (olga, session) = server.account("olga", Role::Operator).await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/inventory");
    let mut files = Vec::new();
    for kind in ["apps", "datacenters", "environments", "nodes", "roles"] {
        for entry in std::fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            files.push(ApplyFile {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                content: std::fs::read_to_string(&path).unwrap(),
            });
        }
    }
    let request = ApplyRequest {
        files,
        plan: false,
        prune: false,
        fleet: false,
    };
    server.control.apply_files(&olga, &request).await.unwrap();
    let mut seen = BTreeSet::from(["/inventory".to_owned(), "/apps".to_owned()]);
    let mut next: Vec<String> = seen.iter().cloned().collect();
    while let Some(path) = next.pop() {
        let answer = get(&server, &session, &path).await;
        assert!(
            answer.status.is_success() || answer.status.is_redirection(),
            "{path}: {answer:?}"
        );
        for (_, rest) in answer
            .text
            .match_indices("href=\"/")
            .map(|(at, _)| answer.text.split_at(at + 6))
        {
            let link = rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#x2f;", "/");
            let link = link.split('#').next().unwrap().to_owned();
            let ours = link.starts_with("/inventory") || link.starts_with("/apps");
            if ours && seen.insert(link.clone()) {
                next.push(link);
            }
        }
    }
    for page in [
        "/inventory/nodes/db1.north.example.org",
        "/inventory/environments/production",
        "/apps/catalogue",
    ] {
        assert!(seen.contains(page), "{page} among {seen:?}");
    }
}
