//! Configurations that ask for what must not be.

use super::harness::{AgentServer, Node, state};
use serde_json::{Value, json};

async fn refused(make: impl Fn(&Node) -> Vec<Value>) {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), node.folder.join("apps/link")).unwrap();
    for (number, bad) in make(&node).into_iter().enumerate() {
        let witness = state(
            "shop/directory/first",
            "directory",
            json!({ "path": node.path("data/first"), "mode": "0755" }),
        );
        let hash = server.want(&json!([witness, bad]), u32::try_from(number).unwrap());
        let fault = server.result(&hash, 0).await.fault;
        assert_eq!(fault.map(|f| f.code).as_deref(), Some("configuration-refused"), "{bad}");
        assert!(
            !node.folder.join("data/first").exists(),
            "refused before anything is done: {bad}"
        );
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_outside_the_sandbox() {
    refused(|node| {
        let file = |path: &str| state("f", "file", json!({ "path": path, "content": "x", "mode": "0644" }));
        vec![
            file("/etc/greenroom-was-here"),
            file("relative"),
            file(&node.path("apps/../../escaped")),
            file(&node.path("apps/link/escaped")),
            file(&node.path("agent/key")),
            state(
                "d",
                "directory",
                json!({ "path": node.path("apps/link/escaped"), "mode": "0755" }),
            ),
            state(
                "g",
                "git",
                json!({ "path": "/srv/escaped", "repository": "x", "commit": "ab".repeat(20) }),
            ),
            state(
                "e",
                "execute",
                json!({
                    "command": ["true"], "cwd": "/", "timeout_s": 1, "failure": "state-failed",
                }),
            ),
            state(
                "b",
                "database",
                json!({
                    "name": "b", "engine": { "engine": "sqlite", "path": node.path("apps/link/b.db") }, "revision": "1",
                }),
            ),
            state(
                "s",
                "service",
                json!({
                    "name": "../../escaped", "command": ["true"], "cwd": node.path("apps"), "stop_timeout_s": 1, "revision": "1",
                    "restart": { "policy": "never", "limit": 0 },
                }),
            ),
        ]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_never_become_options_or_programs() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let witness = node.path("witness");
    let commit = "ab".repeat(20);
    let touch = format!("touch {witness}");
    for (repository, commit) in [
        (format!("--upload-pack={touch}"), commit.clone()),
        (format!("ext::sh -c {touch}"), commit.clone()),
        (format!("-u{touch}"), commit.clone()),
        ("x\ny".to_owned(), commit.clone()),
        (node.path("apps"), format!("--upload-pack={touch}")),
        (node.path("apps"), "main".to_owned()),
        (node.path("apps"), format!("{}; {touch}", &commit[..20])),
    ] {
        let body = json!({ "path": node.path("apps/shop"), "repository": repository, "commit": commit });
        let hash = server.want(&json!([state("shop/git/code", "git", body)]), 0);
        let fault = server.result(&hash, 0).await.fault.unwrap();
        assert_eq!(fault.code, "configuration-refused", "{repository} {commit}: {fault:?}");
    }
    // No shell reads a command's words.
    let hash = server.want(
        &json!([state(
            "shop/execute/run",
            "execute",
            json!({
                "command": ["echo", format!("; {touch}"), format!("$({touch})"), format!("`{touch}`")],
                "cwd": node.path("apps"), "timeout_s": 10, "failure": "state-failed",
            })
        )]),
        0,
    );
    server.applied(&hash).await;
    assert!(!std::path::Path::new(&witness).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_none_is_refused_and_the_next_one_is_taken() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let twice = state("same", "directory", json!({ "path": node.path("data/a"), "mode": "0755" }));
    let hash = server.want(&json!([twice.clone(), twice.clone()]), 0);
    assert_eq!(server.result(&hash, 0).await.fault.unwrap().code, "configuration-refused");
    let hash = server.want(&json!([twice]), 0);
    server.applied(&hash).await;
}
