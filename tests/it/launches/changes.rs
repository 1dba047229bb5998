//! Stacks that change: updates that fail, launches that are stopped, leases that end, agents that die.

use super::stage::{GOOD_APP, Repository, Stage, request};
use greenroom::machine::processes;
use greenroom::model::run::Signal;
use greenroom::model::stack::StackState;
use greenroom::wire::stacks::StackView;
use serde_json::json;
use std::time::{Duration, Instant};

const SLOW_BUILD: &str = "import time\nprint('sawing', flush=True)\ntime.sleep(600)\n";

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_breaks_leaves_the_old_page_and_works_once_the_fix_is_pushed() {
    let stage = Stage::open(24_300).await;
    let repository = stage.good_app("one").await;
    let stack = stage.serves(&stage.launch().await.unwrap(), "one").await;
    let commit = stack.apps[0].commit.clone();

    repository.commit(&[("app.py", "import sys\nprint('the curtain fell', flush=True)\nsys.exit(1)\n")]);
    let update = stage.update(&stack.id, "main").await.unwrap();
    let run = stage.ended(&update).await;
    assert_eq!(run.state.as_str(), "failed", "{run:#?}");
    let tainted = stage.stack(&stack.id).await;
    assert_eq!(tainted.state, StackState::Tainted, "{tainted:#?}");
    let fault = tainted.fault.clone().expect("a tainted stack says why");
    assert_eq!(fault.code, "service-exited", "{fault:#?}");
    assert!(fault.log_tail.iter().any(|l| l.contains("the curtain fell")), "{fault:#?}");
    assert_eq!(stage.page(&tainted).await, "one");
    assert_eq!(tainted.apps[0].commit, commit, "what serves is what served before");

    repository.commit(&[("app.py", GOOD_APP), ("page", "two")]);
    let retry = stage.running.control.retry_stack(&stage.admin, &stack.id).await.unwrap();
    let stack = stage.serves(&retry, "two").await;
    assert!(stack.fault.is_none() && stack.apps[0].commit != commit, "{stack:#?}");
    stage.destroy(&stack.id).await;
}

async fn slow_app(stage: &Stage) -> Repository {
    let repository = stage.repository("app", &[("app.py", GOOD_APP), ("page", "x"), ("build.py", SLOW_BUILD)]);
    stage
        .register(&repository, json!({"build": {"command": ["python3", "build.py"]}}))
        .await;
    repository
}

fn builds(stage: &Stage) -> usize {
    let all = stage.processes();
    all.iter().filter(|p| p.variable(processes::TASK).is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_is_destroyed_during_its_launch_leaves_nothing() {
    let stage = Stage::open(24_320).await;
    slow_app(&stage).await;
    let accepted = stage.launch().await.unwrap();
    until("the build begins", async || builds(&stage) > 0).await;
    stage.destroy(&accepted.stack.id).await;
    let launch = stage.ended(&accepted).await;
    assert_eq!(launch.state.as_str(), "cancelled", "{launch:#?}");
    assert_eq!(stage.stack(&accepted.stack.id).await.state, StackState::Destroyed);
    // Its name is free again.
    let again = stage.launch().await.unwrap();
    assert_ne!(again.stack.id, accepted.stack.id);
    stage.destroy(&again.stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_cancelled_is_undone() {
    let stage = Stage::open(24_340).await;
    slow_app(&stage).await;
    let accepted = stage.launch().await.unwrap();
    until("the build begins", async || builds(&stage) > 0).await;
    let signal = Signal::Cancel {
        reason: "the wrong play".into(),
    };
    let control = &stage.running.control;
    control.signal_run(&stage.admin, &accepted.run, signal, None).await.unwrap();
    let run = stage.ended(&accepted).await;
    assert_eq!(run.state.as_str(), "cancelled", "{run:#?}");
    let stack = stage.stack(&accepted.stack.id).await;
    assert_eq!(stack.state, StackState::Failed);
    assert_eq!(stack.fault.as_ref().map(|f| f.code.as_str()), Some("cancelled"), "{stack:#?}");
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_asked_for_twice_with_one_key_is_one_stack() {
    let stage = Stage::open(24_360).await;
    stage.good_app("hello").await;
    let mut wanted = request("main");
    wanted.idempotency_key = Some("tuesday".into());
    let control = &stage.running.control;
    let (first, second) = tokio::join!(
        control.launch_stack(&stage.admin, &wanted),
        control.launch_stack(&stage.admin, &wanted)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((&first.stack.id, &first.run), (&second.stack.id, &second.run));
    let stack = stage.serves(&first, "hello").await;
    let third = control.launch_stack(&stage.admin, &wanted).await.unwrap();
    assert_eq!(third.stack.id, stack.id);
    assert_eq!(stage.sandboxes().len(), 1);
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_whose_lease_has_ended_is_destroyed_by_itself() {
    let stage = Stage::open(24_380).await;
    stage.good_app("hello").await;
    let ready = stage.serves(&stage.launch().await.unwrap(), "hello").await;
    let store = &stage.running.control.store;
    let mut tx = store.write(&stage.admin, "stack.extend", &ready.id).await.unwrap();
    let mut stack = tx.stack(&ready.id.parse().unwrap()).await.unwrap().unwrap();
    stack.lease_until = tx.at().plus(-1000);
    tx.update_stack(&mut stack).await.unwrap();
    tx.commit().await.unwrap();
    until("the lease ends", async || {
        stage.stack(&ready.id).await.state == StackState::Destroyed
    })
    .await;
    assert_eq!(stage.stack(&ready.id).await.run.unwrap().actor, "system:lease");
    stage.nothing_is_left().await;
}

fn service_pid(stage: &Stage) -> Option<u32> {
    let all = stage.processes();
    let mut found = all
        .iter()
        .filter(|p| p.variable(processes::SERVICE).is_some())
        .filter(|p| std::fs::read(format!("/proc/{}/cmdline", p.pid)).is_ok_and(|line| line.ends_with(b"app.py\0")));
    found.next_back().map(|p| p.pid)
}

async fn is_healthy(stage: &Stage, id: &str) -> Option<StackView> {
    let stack = stage.stack(id).await;
    (stack.health == "healthy" && !stage.agents().is_empty()).then_some(stack)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_comes_back_to_services_that_never_stopped() {
    let stage = Stage::open(24_400).await;
    let repository = stage.good_app("one").await;
    let stack = stage.serves(&stage.launch().await.unwrap(), "one").await;
    let dead: Vec<_> = stage.agents();
    assert!(!dead.is_empty());
    for process in &dead {
        process.signal(rustix::process::Signal::KILL);
    }
    until("the agent is back", async || {
        let now = stage.agents();
        now.iter().any(|p| dead.iter().all(|d| d.pid != p.pid)) && is_healthy(&stage, &stack.id).await.is_some()
    })
    .await;
    until("the page answers", async || {
        let answer = stage.http.get(stack.links[0].direct()).send().await;
        answer.is_ok_and(|a| a.status().is_success())
    })
    .await;

    // The new agent's reports are right: an update goes through it, and an app that dies is started again.
    repository.commit(&[("page", "two")]);
    let update = stage.update(&stack.id, "main").await.unwrap();
    let stack = stage.serves(&update, "two").await;
    let pid = service_pid(&stage).expect("the app runs");
    let process = processes::Process::look(pid).unwrap();
    process.signal(rustix::process::Signal::KILL);
    until("the app is started again and told of", async || {
        let stack = stage.stack(&stack.id).await;
        let restarts: u32 = stack.apps[0].services.iter().map(|s| s.restarts).sum();
        restarts == 1 && stack.health == "healthy"
    })
    .await;
    assert_eq!(stage.page(&stack).await, "two");
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_says_which_state_its_server_is_at_and_since_when() {
    let stage = Stage::open(24_960).await;
    let repository = stage.repository("app", &[("app.py", GOOD_APP), ("page", "built")]);
    let wait = "import os, time\nwhile not os.path.exists(os.path.expanduser('~/gate')): time.sleep(0.02)";
    let build = json!({"build": {"command": ["python3", "-c", wait]}});
    stage.register(&repository, build).await;
    let accepted = stage.launch().await.unwrap();
    let control = &stage.running.control;
    let deadline = Instant::now() + Duration::from_secs(60);
    let doing = loop {
        let run = control.show_run(&stage.admin, &accepted.run).await.unwrap();
        let found = run
            .steps
            .iter()
            .find_map(|step| step.doing.clone().filter(|doing| doing.what == "Build app"));
        if let Some(doing) = found {
            break doing;
        }
        assert!(Instant::now() < deadline, "{run:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(doing.since > accepted.stack.created_at && doing.since <= control.now());
    std::fs::write(stage.sandboxes()[0].join("home/gate"), "").unwrap();
    stage.serves(&accepted, "built").await;
    let run = control.show_run(&stage.admin, &accepted.run).await.unwrap();
    assert!(run.steps.iter().all(|step| step.doing.is_none()), "{run:#?}");
    stage.destroy(&accepted.stack.id).await;
}
