//! No address without a decision who may use it.
//!
//! The API's addresses come out of its own document, whose `security` names the least role. The others are in [`OTHERS`];
//! an address in the source that is in neither fails here.

use super::server::{Answer, Ask, Server};
use axum::http::StatusCode;
use greenroom::model::actor::Role;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// Who may use an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Anyone,
    Agent,
    Role(Role),
}

// Every address that is not in the document. A page that needs a role sends strangers to the sign-in page.
const OTHERS: &[(&str, &str, Access)] = &[
    ("GET", "/healthz", Access::Anyone),
    ("GET", "/readyz", Access::Anyone),
    ("GET", "/version", Access::Anyone),
    ("POST", "/agent/v1/register", Access::Agent),
    ("GET", "/agent/v1/configuration", Access::Agent),
    ("GET", "/agent/v1/secrets/{*name}", Access::Agent),
    ("GET", "/agent/v1/blobs/{hash}", Access::Agent),
    ("GET", "/agent/v1/source/{app}/{commit}", Access::Agent),
    ("POST", "/agent/v1/reports", Access::Agent),
    ("POST", "/agent/v1/logs", Access::Agent),
    ("POST", "/agent/v1/keys", Access::Agent),
    ("PUT", "/agent/v1/facts", Access::Agent),
    ("GET", "/agent/v1/program", Access::Agent),
    // A machine that starts proves itself by the address.
    ("GET", "/nocloud/{token}/{file}", Access::Anyone),
    // Chef's addresses.
    ("GET", "/search/{index}", Access::Role(Role::Viewer)),
    ("POST", "/search/{index}", Access::Role(Role::Viewer)),
    // Pages that anyone may open: on the way in, and where things went wrong.
    ("GET", "/sign-in", Access::Anyone),
    ("POST", "/sign-in", Access::Anyone),
    ("GET", "/sign-in/link/{secret}", Access::Anyone),
    ("POST", "/sign-in/link/{secret}", Access::Anyone),
    ("POST", "/sign-out", Access::Anyone),
    ("POST", "/theme", Access::Anyone),
    ("GET", "/assets/{version}/{name}", Access::Anyone),
    ("GET", "/favicon.ico", Access::Anyone),
    ("GET", "/errors", Access::Anyone),
    ("GET", "/errors/{code}", Access::Anyone),
    // Pages for people who look.
    ("GET", "/", Access::Role(Role::Viewer)),
    ("GET", "/enter", Access::Role(Role::Viewer)),
    ("GET", "/help", Access::Role(Role::Viewer)),
    ("GET", "/activity", Access::Role(Role::Viewer)),
    ("GET", "/search", Access::Role(Role::Viewer)),
    ("GET", "/stacks", Access::Role(Role::Viewer)),
    ("GET", "/stacks/{id}", Access::Role(Role::Viewer)),
    ("GET", "/stacks/{id}/services/{service}", Access::Role(Role::Viewer)),
    ("GET", "/stacks/{id}/share", Access::Role(Role::Viewer)),
    ("POST", "/stacks/{id}/share", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/share/links", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/share/links/{link}/renew", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/share/links/{link}/end", Access::Role(Role::Member)),
    ("GET", "/runs", Access::Role(Role::Viewer)),
    ("GET", "/runs/{id}", Access::Role(Role::Viewer)),
    ("GET", "/runs/{id}/steps/{step}", Access::Role(Role::Viewer)),
    ("GET", "/apps", Access::Role(Role::Viewer)),
    ("GET", "/apps/{name}", Access::Role(Role::Viewer)),
    ("GET", "/apps/{name}/versions", Access::Role(Role::Viewer)),
    ("GET", "/apps/{name}/diff", Access::Role(Role::Viewer)),
    ("GET", "/apps/{name}/revisions", Access::Role(Role::Viewer)),
    ("GET", "/inventory", Access::Role(Role::Viewer)),
    ("GET", "/inventory/{noun}", Access::Role(Role::Viewer)),
    ("GET", "/inventory/{noun}/{name}", Access::Role(Role::Viewer)),
    ("GET", "/inventory/{noun}/{name}/versions", Access::Role(Role::Viewer)),
    ("GET", "/inventory/{noun}/{name}/diff", Access::Role(Role::Viewer)),
    ("GET", "/inventory/nodes/{name}/explain", Access::Role(Role::Viewer)),
    ("GET", "/inventory/search", Access::Role(Role::Viewer)),
    ("GET", "/inventory/bundles", Access::Role(Role::Viewer)),
    ("GET", "/inventory/bundles/{hash}", Access::Role(Role::Viewer)),
    ("GET", "/inventory/plan", Access::Role(Role::Viewer)),
    ("GET", "/account", Access::Role(Role::Viewer)),
    ("POST", "/account/password", Access::Role(Role::Viewer)),
    ("POST", "/account/tokens", Access::Role(Role::Viewer)),
    ("POST", "/account/tokens/{id}/revoke", Access::Role(Role::Viewer)),
    // Pages for people who launch.
    ("GET", "/stacks/new", Access::Role(Role::Member)),
    ("POST", "/stacks/new", Access::Role(Role::Member)),
    ("POST", "/stacks/new/check", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/extend", Access::Role(Role::Member)),
    ("GET", "/stacks/{id}/update", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/update", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/retry", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/stop", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/start", Access::Role(Role::Member)),
    ("GET", "/presets", Access::Role(Role::Viewer)),
    ("GET", "/previews", Access::Role(Role::Viewer)),
    ("POST", "/previews/{id}/end", Access::Role(Role::Operator)),
    // Whoever sends a webhook proves it by its secret.
    ("POST", "/hooks/{forge}", Access::Anyone),
    ("POST", "/presets/{name}/pause", Access::Role(Role::Operator)),
    ("POST", "/presets/{name}/resume", Access::Role(Role::Operator)),
    ("POST", "/presets/{name}/remove", Access::Role(Role::Operator)),
    ("GET", "/servers", Access::Role(Role::Operator)),
    ("POST", "/servers/reap", Access::Role(Role::Operator)),
    ("POST", "/images/{provider}/{key}/remove", Access::Role(Role::Operator)),
    ("GET", "/stacks/{id}/rebuild", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/rebuild", Access::Role(Role::Member)),
    ("GET", "/stacks/{id}/destroy", Access::Role(Role::Member)),
    ("POST", "/stacks/{id}/destroy", Access::Role(Role::Member)),
    ("POST", "/runs/{id}/signal", Access::Role(Role::Member)),
    // Pages for people who change apps, and for those who manage accounts.
    ("GET", "/apps/new", Access::Role(Role::Operator)),
    ("POST", "/apps/new", Access::Role(Role::Operator)),
    ("POST", "/apps/check", Access::Role(Role::Operator)),
    ("GET", "/apps/{name}/edit", Access::Role(Role::Operator)),
    ("POST", "/apps/{name}/edit", Access::Role(Role::Operator)),
    ("POST", "/apps/{name}/remove", Access::Role(Role::Operator)),
    ("POST", "/apps/{name}/restore", Access::Role(Role::Operator)),
    ("GET", "/inventory/new/{noun}", Access::Role(Role::Operator)),
    ("POST", "/inventory/new/{noun}", Access::Role(Role::Operator)),
    ("POST", "/inventory/check/{noun}", Access::Role(Role::Operator)),
    ("GET", "/inventory/{noun}/{name}/edit", Access::Role(Role::Operator)),
    ("POST", "/inventory/{noun}/{name}/edit", Access::Role(Role::Operator)),
    ("POST", "/inventory/{noun}/{name}/remove", Access::Role(Role::Operator)),
    ("POST", "/inventory/{noun}/{name}/restore", Access::Role(Role::Operator)),
    ("POST", "/inventory/environments/{name}/bundle", Access::Role(Role::Operator)),
    ("GET", "/users", Access::Role(Role::Admin)),
    ("POST", "/users", Access::Role(Role::Admin)),
    ("POST", "/users/{name}", Access::Role(Role::Admin)),
    ("POST", "/users/{name}/link", Access::Role(Role::Admin)),
];

fn endpoints() -> Vec<(String, String, Access)> {
    let document = serde_json::to_value(greenroom::http::api::document()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), access(path, operation)));
        }
    }
    all.extend(
        OTHERS
            .iter()
            .map(|(method, path, access)| ((*method).to_owned(), (*path).to_owned(), *access)),
    );
    all
}

fn access(path: &str, operation: &Value) -> Access {
    let security = operation["security"]
        .as_array()
        .unwrap_or_else(|| panic!("{path} does not say who may use it"));
    match security.first().and_then(|first| first["token"][0].as_str()) {
        Some(role) => Access::Role(role.parse().unwrap()),
        None => Access::Anyone,
    }
}

fn is_page(path: &str) -> bool {
    !path.starts_with("/search/") && !path.starts_with("/api/") && !path.starts_with("/agent/")
}

// Some path of the pattern: everything named in it is the asker's own account or does not exist.
fn concrete(pattern: &str, name: &str) -> String {
    pattern
        .split('/')
        .map(|part| if part.starts_with('{') { name } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

fn ask(method: &str, path: &str, name: &str) -> Ask {
    // The body of the one address that looks at who asks only after it has read it.
    let register = json!({"node": "nod_00000000000000000000000000000007", "key": "a".repeat(64), "facts": {}});
    Ask::new(method, &concrete(path, name))
        .header("accept", if is_page(path) { "text/html" } else { "*/*" })
        .json(&register)
}

fn refused_as_stranger(path: &str, answer: &Answer) {
    if is_page(path) {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}: {answer:?}");
        assert!(answer.header("location").starts_with("/sign-in"), "{path}: {answer:?}");
    } else {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {answer:?}");
        assert_eq!(answer.problem(), "not-signed-in");
    }
}

#[tokio::test]
async fn strangers_are_refused_everywhere_but_where_anyone_may_look() {
    let server = Server::sqlite().await;
    for (method, path, access) in endpoints() {
        let ask = || ask(&method, &path, "nobody");
        let answer = server.send(ask()).await;
        if access == Access::Anyone {
            assert!(![401, 403].contains(&answer.status.as_u16()), "{method} {path}: {answer:?}");
            continue;
        }
        refused_as_stranger(&path, &answer);
        refused_as_stranger(&path, &server.send(ask().token(&format!("grt_{}", "0".repeat(64)))).await);
        refused_as_stranger(&path, &server.send(ask().session(&"0".repeat(64))).await);
    }
}

#[tokio::test]
async fn every_address_takes_its_role_and_no_less() {
    let server = Server::sqlite().await;
    for role in Role::ALL {
        let name = format!("one-{role}");
        let (actor, _) = server.account(&name, role).await;
        let token = server.token(&actor).await;
        for (method, path, access) in endpoints() {
            let answer = server.send(ask(&method, &path, &name).token(&token)).await;
            match access {
                Access::Anyone => {}
                Access::Agent => assert_eq!(
                    answer.status,
                    StatusCode::UNAUTHORIZED,
                    "{method} {path} as {role}: {answer:?}"
                ),
                Access::Role(least) if role < least => {
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} as {role}: {answer:?}");
                    if !is_page(&path) {
                        assert_eq!(answer.problem(), "not-allowed");
                    }
                }
                Access::Role(_) => {
                    assert!(
                        ![401, 403].contains(&answer.status.as_u16()),
                        "{method} {path} as {role}: {answer:?}"
                    );
                    assert!(answer.status.as_u16() < 500, "{method} {path} as {role}: {answer:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn other_sites_change_nothing_in_someones_name() {
    let server = Server::sqlite().await;
    let (_, session) = server.admin().await;
    let from_elsewhere = [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ];
    for (method, path, _) in endpoints().into_iter().filter(|(method, ..)| method != "GET") {
        for (name, value) in from_elsewhere {
            let ask = Ask::new(&method, &concrete(&path, "admin"))
                .session(&session)
                .header(name, value);
            let answer = server.send(ask).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}: {answer:?}");
            assert_eq!(answer.problem(), "cross-site", "{method} {path}");
        }
    }
    assert_eq!(
        server.send(Ask::get("/api/v1/me").session(&session)).await.status,
        StatusCode::OK
    );
}

#[test]
fn no_address_is_missing_from_the_tables() {
    let known: BTreeSet<String> = endpoints().into_iter().map(|(_, path, _)| path).collect();
    let mut missing = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut |file, text| {
        for rest in text.split(".route(").skip(1) {
            let path = rest.split('"').nth(1).unwrap_or_default();
            if !known.contains(path) {
                missing.push(format!("{file}: {path}"));
            }
        }
    });
    assert!(
        missing.is_empty(),
        "add these to OTHERS with who may use them:\n{}",
        missing.join("\n")
    );
}

fn visit(folder: &Path, look: &mut impl FnMut(String, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, look);
        } else {
            look(path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
        }
    }
}
