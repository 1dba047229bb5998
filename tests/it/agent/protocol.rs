//! What an agent believes, and what it says: wrong clocks, someone in between, and its own last good configuration.

use super::harness::{AgentServer, Node, eventually, state};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;

fn motd(node: &Node, text: &str) -> Value {
    let body = json!({ "path": node.path("apps/motd"), "content": text, "mode": "0644" });
    json!([state("shop/file/motd", "file", body)])
}

fn told(node: &Node) -> String {
    std::fs::read_to_string(node.path("apps/motd")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_someone_altered_is_never_applied() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let first = server.want(&motd(&node, "one"), 0);
    server.applied(&first).await;
    server.alter(Some(&json!({ "format": 1, "states": motd(&node, "evil") }).to_string()));
    let second = server.want(&motd(&node, "two"), 0);
    let log = || std::fs::read_to_string(node.path("agent.log")).unwrap_or_default();
    eventually(log, || log().contains("the server has not signed it").then_some(())).await;
    assert_eq!(told(&node), "one");
    server.alter(None);
    server.applied(&second).await;
    assert_eq!(told(&node), "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_content_comes_by_its_hash_once_and_never_altered() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server).start();
    let long = "a long line of a long file\n".repeat(2_000);
    let states = |node: &Node, short: &str| {
        let mut states = motd(node, short);
        let mut more = states[0].clone();
        more["id"] = json!("file/long");
        more["path"] = json!(node.path("apps/long"));
        more["content"] = json!(long);
        states.as_array_mut().unwrap().push(more);
        states
    };
    let written = |node: &Node| std::fs::read_to_string(node.path("apps/long")).unwrap_or_default();
    server.alter_blobs(Some("evil"));
    let first = server.want(&states(&node, "one"), 0);
    let log = || std::fs::read_to_string(node.path("agent.log")).unwrap_or_default();
    let refused = "a content is not the one that the server signed";
    eventually(log, || log().contains(refused).then_some(())).await;
    assert_eq!(
        (told(&node), written(&node)),
        (String::new(), String::new()),
        "all of it waits"
    );
    server.alter_blobs(None);
    server.applied(&first).await;
    assert_eq!((told(&node), written(&node)), ("one".to_owned(), long.clone()));

    // It is asked for no more while it is wanted, nor where there is no server.
    let asked = server.blobs();
    let second = server.want(&states(&node, "two"), 0);
    server.applied(&second).await;
    assert_eq!((told(&node).as_str(), server.blobs()), ("two", asked));
    server.away(true);
    node.kill();
    std::fs::write(node.path("apps/long"), "changed by hand").unwrap();
    let mut command = node.command();
    let ended = command.args(["--once", "--offline"]).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(ended.status.code(), Some(2), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(written(&node), long);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_wrong_clock_is_heard_all_the_same() {
    for ahead in [86_400, -86_400] {
        let server = AgentServer::start().await;
        server.ahead(ahead);
        let node = Node::new(&server).start();
        let hash = server.want(&motd(&node, "one"), 0);
        server.applied(&hash).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_configuration_is_applied_without_a_server_and_only_as_it_was_signed() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server).start();
    let hash = server.want(&motd(&node, "one"), 0);
    server.applied(&hash).await;
    node.kill();
    std::fs::write(node.path("apps/motd"), "changed by hand").unwrap();
    let offline = || {
        let mut command = node.command();
        let ended = command.args(["--once", "--offline"]).stderr(Stdio::piped()).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    assert_eq!(offline().0, Some(2));
    assert_eq!(told(&node), "one");
    let kept = std::fs::read_to_string(node.path("agent/assigned")).unwrap();
    std::fs::write(node.path("agent/assigned"), kept.replace("one", "two")).unwrap();
    let (code, said) = offline();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("altered"), "{said}");
    assert_eq!(told(&node), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_old_is_replaced() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server).start();
    let first = server.want(&motd(&node, "one"), 0);
    server.applied(&first).await;
    node.kill();
    let key = std::fs::File::options().append(true).open(node.path("agent/key")).unwrap();
    key.set_modified(std::time::SystemTime::now() - Duration::from_secs(100 * 86_400))
        .unwrap();
    let before = std::fs::read_to_string(node.path("agent/key")).unwrap();
    node.begin();
    let second = server.want(&motd(&node, "two"), 0);
    server.applied(&second).await;
    assert_ne!(std::fs::read_to_string(node.path("agent/key")).unwrap(), before);
    assert_eq!(server.keys().len(), 1, "the old key is worth nothing any more");
}
