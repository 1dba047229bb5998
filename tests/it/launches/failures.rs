//! A launch that cannot come true ends in a coded fault with the cause's own words and the next action, and leaves nothing.

use super::stage::{GOOD_APP, Props, Repository, Stage};
use crate::support::database::TestDatabase;
use serde_json::json;
use std::net::TcpListener;
use std::sync::Arc;

const CRASHING: &str = "import sys\nprint('cannot find the stage door', flush=True)\nsys.exit(3)\n";
const DEAF: &str = "import time\nprint('I hear nothing', flush=True)\ntime.sleep(600)\n";

async fn serves_and_ends(stage: Stage) {
    stage.good_app("hello").await;
    let accepted = stage.launch().await.unwrap();
    let stack = stage.serves(&accepted, "hello").await;
    assert_eq!(stack.health, "healthy", "{stack:#?}");
    assert_eq!(stage.sandboxes().len(), 1);
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_app_serves_until_it_is_destroyed() {
    serves_and_ends(Stage::open(24_000).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_app_serves_until_it_is_destroyed_on_postgresql() {
    let Some(database) = TestDatabase::postgres().await else {
        return;
    };
    let props = Props {
        database: Some(database),
        ..Props::default()
    };
    serves_and_ends(Stage::open_with(24_020, props).await).await;
}

async fn exits_at_once(stage: Stage) {
    let repository = stage.repository("app", &[("app.py", CRASHING)]);
    stage.register(&repository, json!({})).await;
    let accepted = stage.launch().await.unwrap();
    let fault = stage.fails(&accepted).await;
    assert_eq!(fault.code, "service-exited", "{fault:#?}");
    assert!(fault.what.contains("app"), "{fault:#?}");
    assert!(fault.why.contains("status 3"), "{fault:#?}");
    assert!(
        fault.log_tail.iter().any(|line| line.contains("cannot find the stage door")),
        "{fault:#?}"
    );

    // The fix is pushed; the same stack is tried again.
    repository.commit(&[("app.py", GOOD_APP), ("page", "found it")]);
    let again = stage
        .running
        .control
        .retry_stack(&stage.admin, &accepted.stack.id)
        .await
        .unwrap();
    assert_eq!(again.stack.id, accepted.stack.id);
    let stack = stage.serves(&again, "found it").await;
    assert!(stack.fault.is_none(), "{stack:#?}");
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_exits_at_once_fails_with_its_last_words_and_is_tried_again_once_fixed() {
    exits_at_once(Stage::open(24_040).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_exits_at_once_fails_with_its_last_words_on_postgresql() {
    let Some(database) = TestDatabase::postgres().await else {
        return;
    };
    let props = Props {
        database: Some(database),
        ..Props::default()
    };
    exits_at_once(Stage::open_with(24_060, props).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_never_becomes_healthy_fails_with_what_its_probe_saw() {
    let stage = Stage::open(24_080).await;
    let repository = stage.repository("app", &[("app.py", DEAF)]);
    let probe = json!({"readinessProbe": {"httpGet": {"path": "/"}, "timeout": "2s"}});
    stage.register(&repository, probe).await;
    let fault = stage.fails(&stage.launch().await.unwrap()).await;
    assert_eq!(fault.code, "service-unhealthy", "{fault:#?}");
    assert!(fault.why.contains("nothing listens"), "{fault:#?}");
    assert!(
        fault.log_tail.iter().any(|line| line.contains("I hear nothing")),
        "{fault:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_whose_check_fails_says_what_its_page_lacks() {
    let stage = Stage::open(24_100).await;
    let repository = stage.repository("app", &[("app.py", GOOD_APP), ("page", "an empty stage")]);
    let check = json!({"checks": [{"name": "The show", "httpGet": {"path": "/"}, "contains": "applause"}]});
    stage.register(&repository, check).await;
    let fault = stage.fails(&stage.launch().await.unwrap()).await;
    assert_eq!(fault.code, "unhealthy", "{fault:#?}");
    assert!(
        fault.what.contains("The show") && fault.why.contains("applause"),
        "{fault:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_does_not_build_fails_with_the_builds_own_lines() {
    let stage = Stage::open(24_120).await;
    let build = "import sys\nprint('carpentry.c:7: no nails', file=sys.stderr)\nsys.exit(2)\n";
    let repository = stage.repository("app", &[("app.py", GOOD_APP), ("page", "x"), ("build.py", build)]);
    stage
        .register(&repository, json!({"build": {"command": ["python3", "build.py"]}}))
        .await;
    let fault = stage.fails(&stage.launch().await.unwrap()).await;
    assert_eq!(fault.code, "build-failed", "{fault:#?}");
    assert!(fault.why.contains("status 2"), "{fault:#?}");
    assert!(
        fault.log_tail.iter().any(|line| line.contains("carpentry.c:7: no nails")),
        "{fault:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tag_is_refused_at_once_with_the_nearest_names() {
    let stage = Stage::open(24_140).await;
    let repository = stage.good_app("hello").await;
    repository.tag("v1.0");
    let error = stage.launch_at("v1.9").await.unwrap_err();
    assert_eq!(error.fault.code, "revision-not-found", "{error:#?}");
    assert!(
        error.fault.what.contains("v1.9") && error.fault.why.contains("v1.0"),
        "{error:#?}"
    );
    assert_eq!(error.fields[0].field, "apps.app.revision", "{error:#?}");
    let answer = stage
        .post("/api/v1/stacks", &json!({"apps": [{"app": "app", "revision": "v1.9"}]}))
        .await;
    assert_eq!(answer.status(), 422);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_vanished_before_the_launch_is_refused_in_gits_own_words() {
    let stage = Stage::open(24_160).await;
    stage.good_app("hello").await.vanish();
    let error = stage.launch().await.unwrap_err();
    assert_eq!(error.fault.code, "repository-unreachable", "{error:#?}");
    assert!(error.fault.why.contains("does not exist"), "{error:#?}");
    assert!(!error.fault.next.is_empty() && !error.fault.log_tail.is_empty(), "{error:#?}");
    let mirrors = std::fs::read_dir(stage.data.join("mirrors")).map_or(0, Iterator::count);
    assert_eq!(mirrors, 0, "half a mirror is left");
    stage.nothing_is_left().await;
}

// The repository, and with `mirror` the server's mirror of it, vanish when the launch is about to fetch.
async fn vanishing(first_port: u16, mirror: bool) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let (repository, data) = (folder.path().join("elsewhere"), folder.path().join("data"));
    let (gone, mirrors) = (repository.clone(), data.join("mirrors"));
    let crash: greenroom::engine::CrashHook = Arc::new(move |here| {
        if here.place == "before_intent" && here.step == "fetch-app" && gone.exists() {
            std::fs::remove_dir_all(&gone).unwrap();
            if mirror {
                std::fs::remove_dir_all(&mirrors).unwrap();
            }
        }
        Box::pin(std::future::ready(()))
    });
    let props = Props {
        data: Some(data),
        crash: Some(crash),
        ..Props::default()
    };
    let mut stage = Stage::open_with(first_port, props).await;
    let made = stage.repository("app", &[("app.py", GOOD_APP), ("page", "kept")]);
    std::fs::rename(&made.0, &repository).unwrap();
    stage.register(&Repository(repository), json!({})).await;
    stage.also = Some(folder);
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_vanishes_after_the_plan_is_not_needed_any_more() {
    let stage = vanishing(24_180, false).await;
    let accepted = stage.launch().await.unwrap();
    let stack = stage.serves(&accepted, "kept").await;
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_vanishes_with_its_mirror_fails_the_fetch() {
    let stage = vanishing(24_200, true).await;
    let fault = stage.fails(&stage.launch().await.unwrap()).await;
    assert_eq!(fault.code, "repository-unreachable", "{fault:#?}");
    assert!(
        fault.log_tail.iter().any(|line| line.contains("does not exist")),
        "{fault:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_other_programs_have_all_ports_the_launch_says_so() {
    let stage = Stage::open(24_220).await;
    let taken: Vec<_> = (stage.first_port..stage.first_port + 20)
        .map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap())
        .collect();
    stage.good_app("hello").await;
    let accepted = stage.launch().await.unwrap();
    let fault = stage.fails(&accepted).await;
    assert_eq!(fault.code, "capacity-exhausted", "{fault:#?}");
    assert!(fault.why.contains("24220"), "{fault:#?}");
    drop(taken);
    let again = stage
        .running
        .control
        .retry_stack(&stage.admin, &accepted.stack.id)
        .await
        .unwrap();
    let stack = stage.serves(&again, "hello").await;
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_program_takes_before_the_app_starts_fails_by_its_number() {
    let stage = Stage::open(24_240).await;
    let build = "import time\ntime.sleep(1.5)\n";
    let repository = stage.repository("app", &[("app.py", GOOD_APP), ("page", "hello"), ("build.py", build)]);
    stage
        .register(&repository, json!({"build": {"command": ["python3", "build.py"]}}))
        .await;
    let accepted = stage.launch().await.unwrap();
    stage.step_is(&accepted, "converge", "running").await;
    let node = stage.running.control.store.live_nodes().await.unwrap().remove(0);
    let port = node.handle.unwrap()["ports"]["app/http"].as_u64().unwrap();
    let taken = TcpListener::bind(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    let fault = stage.fails(&accepted).await;
    assert_eq!(fault.code, "port-taken", "{fault:#?}");
    assert!(fault.what.contains(&port.to_string()), "{fault:#?}");
    let again = stage
        .running
        .control
        .retry_stack(&stage.admin, &accepted.stack.id)
        .await
        .unwrap();
    let stack = stage.serves(&again, "hello").await;
    drop(taken);
    stage.destroy(&stack.id).await;
}
