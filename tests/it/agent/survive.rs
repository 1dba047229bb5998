//! kill -9 of the agent and the server's absence, at bad moments.

use super::harness::{AgentServer, Node, eventually, fetch, free_port, python, state, web};
use greenroom::wire::agent::ReportOutcome;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn services_outlive_their_agent_and_the_next_one_goes_on_with_them() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server).start();
    let port = free_port();
    let states = json!([web(&node, "shop-web", port, "hello")]);
    let hash = server.want(&states, 0);
    server.applied(&hash).await;
    let pids = node.processes("shop-web");
    fetch(port, "/before").await;
    node.kill();
    assert_eq!(fetch(port, "/during").await, "hello");
    let known = server.reports().len();
    node.begin();
    let report = eventually(|| "a report".into(), || server.reports().get(known).cloned()).await;
    assert_eq!(
        (report.outcome, report.configuration.as_str()),
        (ReportOutcome::Applied, hash.as_str())
    );
    assert_eq!(report.services[0].pid, Some(pids[0]));
    fetch(port, "/after").await;
    assert_eq!(node.processes("shop-web"), pids, "the same process, and only one");

    // A process that was taken over is watched like any other.
    let process = greenroom::machine::processes::Process::look(pids[0]).unwrap();
    process.signal(rustix::process::Signal::KILL);
    let again = || Some(node.processes("shop-web")).filter(|now| now.len() == 1 && *now != pids);
    eventually(|| "another process".into(), again).await;
    let log = || server.log("service/shop-web");
    eventually(log, || (log().matches("serving").count() == 2).then_some(())).await;
    for asked in ["/before", "/during", "/after"] {
        assert_eq!(log().matches(asked).count(), 1, "{asked} once in\n{}", log());
    }
    assert_eq!(server.keys().len(), 1, "registered once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_in_the_middle_is_finished_by_the_next_one() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server).start();
    let count = |name: &str, then: &str| {
        let script = format!("echo x >> {name}; {then}");
        state(
            &format!("shop/execute/{name}"),
            "execute",
            json!({
                "command": ["/bin/sh", "-c", script], "cwd": node.path("apps"), "timeout_s": 60, "failure": "state-failed",
            }),
        )
    };
    let release = node.path("release");
    let wait = format!("while [ ! -e {release} ]; do sleep 0.05; done");
    let states = json!([count("first", "true"), count("second", &wait), count("third", "true")]);
    let hash = server.want(&states, 0);
    let lines = |name: &str| {
        std::fs::read_to_string(node.path(&format!("apps/{name}")))
            .unwrap_or_default()
            .lines()
            .count()
    };
    eventually(|| "the second state".into(), || (lines("second") == 1).then_some(())).await;
    node.kill();
    node.begin();
    let lines = |name: &str| {
        std::fs::read_to_string(node.path(&format!("apps/{name}")))
            .unwrap_or_default()
            .lines()
            .count()
    };
    eventually(|| "the second state again".into(), || (lines("second") == 2).then_some(())).await;
    std::fs::write(&release, "").unwrap();
    let report = server.applied(&hash).await;
    assert_eq!((lines("first"), lines("second"), lines("third")), (1, 2, 1));
    assert_eq!(report.states.len(), 3, "{report:?}");
    let log = || server.log(&format!("converge/{hash}"));
    eventually(log, || log().contains("restarted during shop/execute/second").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_just_before_a_kill_is_acted_on_by_the_next_agent() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server).start();
    let service = web(&node, "shop-web", free_port(), "hello");
    let first = server.want(&json!([service]), 0);
    server.applied(&first).await;
    let before = node.processes("shop-web");

    // It makes what its guard looks for, and is killed before anyone could note that it did.
    let (made, told) = (node.path("made"), node.path("told"));
    let run = |id: &str, script: &str, more: serde_json::Value| {
        let mut body = json!({
            "command": ["/bin/sh", "-c", script], "cwd": node.path("apps"), "timeout_s": 60, "failure": "state-failed",
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        state(id, "execute", body)
    };
    let notify = json!([
        { "verb": "run", "state": "shop/execute/later" },
        { "verb": "run", "state": "shop/execute/at-once", "now": true },
        { "verb": "restart", "state": service["id"] },
    ]);
    let make = json!({ "guards": { "creates": made }, "notify": notify });
    let when_asked = json!({ "refresh_only": true });
    let states = json!([
        run("shop/execute/later", &format!("echo later >>{told}"), when_asked.clone()),
        run("shop/execute/at-once", &format!("echo at once >>{told}"), when_asked),
        run("shop/execute/make", &format!("touch {made}; exec sleep 50"), make),
        run(
            "shop/execute/told",
            &format!("echo x >>{told}"),
            json!({ "guards": { "changed": "shop/execute/make" } })
        ),
        service,
    ]);
    let second = server.want(&states, 0);
    eventually(|| "the change".into(), || Path::new(&made).exists().then_some(())).await;
    node.kill();
    assert_eq!(node.processes("shop-web"), before, "not restarted yet");
    node.begin();
    server.applied(&second).await;
    let told = || std::fs::read_to_string(&told).unwrap_or_default();
    let sorted = || {
        let text = told();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(), ["at once", "later", "x"], "each once");
    let after = node.processes("shop-web");
    assert!(after.len() == 1 && after != before, "{before:?} became {after:?}");

    // All is well since, so that nothing is owed any more.
    let third = server.want(&states, 1);
    server.result(&third, 1).await;
    assert_eq!(sorted(), ["at once", "later", "x"]);
    assert_eq!(node.processes("shop-web"), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_agent_is_killed_each_line_arrives_once_and_one_process_runs() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server).start();
    let text = "import time\nfor n in range(400):\n print(f'line {n:04}.', flush=True)\n time.sleep(0.005)\ntime.sleep(600)\n";
    let hash = server.want(&json!([python(&node, "shop-worker", text, None)]), 0);
    server.applied(&hash).await;
    for pause in [5, 60, 130, 20, 250, 90] {
        node.kill();
        node.begin();
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let log = || server.log("service/shop-worker");
    eventually(log, || log().contains("line 0399.").then_some(())).await;
    let got: Vec<String> = log().lines().filter(|l| l.starts_with("line")).map(str::to_owned).collect();
    let all: Vec<String> = (0..400).map(|n| format!("line {n:04}.")).collect();
    assert_eq!(got, all);
    assert_eq!(node.processes("shop-worker").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_while_it_starts_a_service_never_leaves_two() {
    let server = AgentServer::start().await;
    let mut node = Node::new(&server);
    let port = free_port();
    let hash = server.want(&json!([web(&node, "shop-web", port, "hello")]), 0);
    for pause in [15, 40, 70, 100, 130, 160, 200, 260] {
        node.begin();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        node.kill();
        assert!(node.processes("shop-web").len() <= 1);
    }
    node.begin();
    server.applied(&hash).await;
    assert_eq!(
        (fetch(port, "/").await.as_str(), node.processes("shop-web").len()),
        ("hello", 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_absence_changes_nothing_and_loses_nothing() {
    let server = AgentServer::start().await;
    server.away(true);
    let mut node = Node::new(&server).start();
    let port = free_port();
    let hash = server.want(&json!([web(&node, "shop-web", port, "hello")]), 0);
    // Long enough for some attempts; then the server is there for the first time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.away(false);
    server.applied(&hash).await;
    server.away(true);
    fetch(port, "/away").await;
    node.kill();
    node.begin();
    fetch(port, "/still-away").await;
    let process = greenroom::machine::processes::Process::look(node.processes("shop-web")[0]).unwrap();
    process.signal(rustix::process::Signal::KILL);
    let again = || Some(node.processes("shop-web")).filter(|now| now.len() == 1 && now[0] != process.pid);
    eventually(|| "another process".into(), again).await;
    server.away(false);
    let log = || server.log("service/shop-web");
    eventually(log, || (log().matches("serving").count() == 2).then_some(())).await;
    assert_eq!(
        (log().matches("/away").count(), log().matches("/still-away").count()),
        (1, 1),
        "{}",
        log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_in_the_same_folder_goes_away_again() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let hash = server.want(&json!([]), 0);
    server.applied(&hash).await;
    let mut second = node.command().spawn().unwrap();
    let status = tokio::task::spawn_blocking(move || second.wait().unwrap()).await.unwrap();
    assert!(status.success());
    assert_eq!(server.keys().len(), 1);
}
