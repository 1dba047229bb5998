//! Services that do not behave.

use super::harness::{AgentServer, Node, eventually, fetch, free_port, python, web};
use greenroom::wire::agent::ReportOutcome;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_at_once_is_given_up_with_its_last_words() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let port = free_port();
    let ready = json!({ "http": format!("http://127.0.0.1:{port}/"), "timeout_s": 30 });
    let hash = server.want(
        &json!([python(
            &node,
            "shop-web",
            "print('no such table: books'); raise SystemExit(3)",
            Some(ready)
        )]),
        0,
    );
    let report = server.result(&hash, 0).await;
    let fault = report.fault.unwrap();
    assert_eq!(
        (report.outcome, fault.code.as_str()),
        (ReportOutcome::Failed, "service-exited")
    );
    assert!(
        fault.why.contains("status 3") && fault.log_tail.iter().any(|l| l == "no such table: books"),
        "{fault:?}"
    );
    assert_eq!(
        (report.services[0].state.as_str(), report.services[0].restarts),
        ("failed", 2)
    );
    assert!(node.processes("shop-web").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_probe_that_ends_at_once_is_noticed_too() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let hash = server.want(
        &json!([python(&node, "shop-worker", "raise SystemExit('no queue')", None)]),
        0,
    );
    let fault = server.result(&hash, 0).await.fault.unwrap();
    assert_eq!(fault.code, "service-exited");
    assert!(fault.log_tail.iter().any(|l| l == "no queue"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_never_becomes_healthy_is_called_so() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let port = free_port();
    let ready = json!({ "http": format!("http://127.0.0.1:{port}/"), "timeout_s": 4 });
    let hash = server.want(
        &json!([python(
            &node,
            "shop-web",
            "import time; print('waiting for nothing'); time.sleep(600)",
            Some(ready)
        )]),
        0,
    );
    let fault = server.result(&hash, 0).await.fault.unwrap();
    assert_eq!(fault.code, "service-unhealthy");
    assert!(
        fault.why.contains("nothing listens") && fault.log_tail == ["waiting for nothing"],
        "{fault:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_not_mistaken_for_a_healthy_service() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let foreign = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = foreign.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(foreign, axum::Router::new().fallback(async || "someone else")).await });
    let hash = server.want(&json!([web(&node, "shop-web", port, "hello")]), 0);
    let fault = server.result(&hash, 0).await.fault.unwrap();
    assert_eq!(fault.code, "port-taken");
    assert!(fault.what.contains(&port.to_string()), "{fault:?}");
    assert!(node.processes("shop-web").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_made_up_for_and_told() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let port = free_port();
    let hash = server.want(&json!([web(&node, "shop-web", port, "hello")]), 0);
    let first = server.applied(&hash).await.services[0].pid;
    let process = greenroom::machine::processes::Process::look(node.processes("shop-web")[0]).unwrap();
    assert!(process.signal(rustix::process::Signal::SEGV));
    let what = || format!("{:?}", server.reports().last());
    let back = eventually(what, || {
        let now = server.reports().last()?.services.first()?.clone();
        (now.restarts == 1 && now.state == "running").then_some(now)
    });
    assert_ne!(back.await.pid, first);
    assert_eq!(fetch(port, "/").await, "hello");
    let log = || server.log("service/shop-web");
    eventually(log, || log().contains("ended by signal 11").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_wanted_ends_with_all_its_children_and_its_port_is_free() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let (port, other) = (free_port(), free_port());
    let stubborn = "import os, signal, time\n\
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                    if os.fork() == 0: os.setsid()\n\
                    time.sleep(600)\n";
    let first = server.want(
        &json!([
            web(&node, "shop-web", port, "hello"),
            python(&node, "shop-worker", stubborn, None)
        ]),
        0,
    );
    server.applied(&first).await;
    eventually(
        || "two workers".into(),
        || (node.processes("shop-worker").len() == 2).then_some(()),
    )
    .await;
    let second = server.want(&json!([web(&node, "shop-web", other, "moved")]), 0);
    let report = server.applied(&second).await;
    assert_eq!(report.services.len(), 1);
    assert!(node.processes("shop-worker").is_empty());
    assert_eq!(
        (fetch(other, "/").await.as_str(), node.processes("shop-web").len()),
        ("moved", 1)
    );
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
}
