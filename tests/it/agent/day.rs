//! An agent's day: drift, audits, being told to keep its hands off, and how it says it is.

use super::harness::{AgentServer, Node, eventually, state};
use greenroom::wire::agent::{Report, ReportOutcome};
use serde_json::{Value, json};
use std::process::Output;

fn motd(node: &Node, text: &str) -> Value {
    let body = json!({ "path": node.path("apps/motd"), "content": text, "mode": "0644" });
    json!([state("shop/file/motd", "file", body)])
}

fn told(node: &Node) -> String {
    std::fs::read_to_string(node.path("apps/motd")).unwrap_or_default()
}

fn drift(report: &Report) -> Vec<&str> {
    report.states.iter().map(|s| s.drift.as_str()).collect()
}

fn ask(node: &Node, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command.arg("agent").args(arguments).arg("--folder").arg(node.path("agent"));
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_someone_changed_is_told_from_what_someone_wants() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let first = server.want(&motd(&node, "one\n"), 0);
    assert_eq!(drift(&server.applied(&first).await), ["intentional"]);
    std::fs::write(node.path("apps/motd"), "by hand\n").unwrap();
    server.want(&motd(&node, "one\n"), 1);
    let mended = server.result(&first, 1).await;
    assert_eq!(drift(&mended), ["corrective"]);
    assert!(
        mended.states[0].diff.contains("-by hand") && mended.states[0].diff.contains("+one"),
        "{mended:?}"
    );
    let second = server.want(&motd(&node, "two\n"), 0);
    assert_eq!(drift(&server.applied(&second).await), ["intentional"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_mended_without_anybody_asking() {
    let server = AgentServer::start().await;
    let mut node = Node::of_the_inventory(&server, &["--every", "300ms", "--splay", "0s"]);
    node.begin();
    let hash = server.want(&motd(&node, "one"), 0);
    server.applied(&hash).await;
    std::fs::write(node.path("apps/motd"), "by hand").unwrap();
    eventually(|| told(&node), || (told(&node) == "one").then_some(())).await;
    let corrected = || server.reports().into_iter().find(|r| drift(r) == ["corrective"]);
    eventually(|| format!("{:?}", server.reports()), corrected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_reports_and_changes_nothing() {
    let server = AgentServer::start().await;
    let mut node = Node::of_the_inventory(&server, &["--audit"]);
    node.begin();
    let hash = server.want(&motd(&node, "one"), 0);
    let report = server.result(&hash, 0).await;
    assert_eq!(report.outcome, ReportOutcome::Audited);
    assert_eq!(report.states[0].outcome, "would_change");
    assert_eq!(told(&node), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_agent_waits_and_says_why_and_goes_on_when_it_may() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server);
    let said = ask(&node, &["disable", "--reason", "disk swap", "--until", "1h"]);
    assert!(said.status.success(), "{said:?}");
    node.begin();
    let hash = server.want(&motd(&node, "one"), 0);
    let report = server.result(&hash, 0).await;
    assert_eq!(
        (report.outcome, report.note.as_str()),
        (ReportOutcome::Disabled, "disabled: disk swap")
    );
    assert_eq!(told(&node), "");
    let status: Value = serde_json::from_slice(&ask(&node, &["status", "--json"]).stdout).unwrap();
    assert_eq!(status["disabled"]["reason"], "disk swap");
    assert!(status["running"].as_str().unwrap().starts_with("process "), "{status}");
    assert!(ask(&node, &["enable"]).status.success());
    eventually(|| told(&node), || (told(&node) == "one").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_of_the_node_is_honoured() {
    let server = AgentServer::start().await;
    server.maintenance(Some("new memory"));
    let node = Node::new(&server).start();
    let hash = server.want(&motd(&node, "one"), 0);
    let report = server.result(&hash, 0).await;
    assert_eq!(
        (report.outcome, report.note.as_str()),
        (ReportOutcome::Disabled, "maintenance: new memory")
    );
    assert_eq!(told(&node), "");
    server.maintenance(None);
    eventually(|| told(&node), || (told(&node) == "one").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_left_alone_for_as_long_as_it_asks() {
    let server = AgentServer::start().await;
    server.busy(Some(2));
    let node = Node::new(&server).start();
    let hash = server.want(&motd(&node, "one"), 0);
    eventually(|| "a first question".to_owned(), || (server.turned_away() > 0).then_some(())).await;
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    let turned_away = server.turned_away();
    server.busy(None);
    assert!(
        turned_away <= 2,
        "asked {turned_away} times within the two seconds that it was told to stay away"
    );
    server.applied(&hash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_only_looked_at_says_what_differs_and_stays_as_it_is() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let states = motd(&node, "one");
    let looked_at = server.want_all(json!({ "format": 1, "audit": true, "states": states }), 0);
    let report = server.result(&looked_at, 0).await;
    assert_eq!(report.outcome, ReportOutcome::Audited, "{report:#?}");
    let said: Vec<&str> = report.states.iter().map(|s| s.outcome.as_str()).collect();
    assert_eq!((said, drift(&report)), (vec!["would_change"], vec!["intentional"]));
    assert_eq!(told(&node), "");
    // Nobody only looks any more; later it is looked at again, and someone has meddled.
    let applied = server.want(&states, 1);
    server.applied(&applied).await;
    std::fs::write(node.path("apps/motd"), "meddled").unwrap();
    let again = server.want_all(json!({ "format": 1, "audit": true, "states": states }), 2);
    let report = server.result(&again, 1).await;
    assert_eq!(drift(&report), ["corrective"], "{report:#?}");
    assert_eq!(told(&node), "meddled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_only_looked_at_says_why_it_differs() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let mut states = motd(&node, "one");
    let hash = server.want(&states, 0);
    server.applied(&hash).await;
    std::fs::write(node.path("apps/motd"), "meddled").unwrap();
    states[0]["audit"] = json!(true);
    let hash = server.want(&states, 1);
    let report = server.applied(&hash).await;
    let state = &report.states[0];
    assert_eq!(
        (state.outcome.as_str(), state.drift.as_str()),
        ("differs", "corrective"),
        "{report:#?}"
    );
    assert_eq!(told(&node), "meddled");
}
