//! Presets, and servers that wait for someone.

use super::stage::{GOOD_APP, Stage, choice};
use greenroom::control::stacks::StackFilter;
use greenroom::model::pool::PoolSpec;
use greenroom::model::stack::{Size, StackState};
use greenroom::wire::presets::{PoolState, PresetBody};
use greenroom::wire::stacks::{LaunchRequest, StackView};
use serde_json::json;
use std::time::{Duration, Instant};

fn preset(hot: u32, stopped: u32) -> PresetBody {
    let pool = PoolSpec {
        hot,
        stopped,
        ..PoolSpec::default()
    };
    PresetBody {
        title: "The small one".into(),
        description: String::new(),
        launch: LaunchRequest {
            apps: vec![choice("main")],
            ..LaunchRequest::default()
        },
        pool: (hot + stopped > 0).then_some(pool),
    }
}

fn named(preset: &str) -> LaunchRequest {
    LaunchRequest {
        preset: Some(preset.into()),
        ..LaunchRequest::default()
    }
}

// Looks after the pool until it is so.
async fn until(stage: &Stage, is: impl Fn(&PoolState) -> bool) -> PoolState {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        stage.running.control.tend_pools().await.unwrap();
        let state = stage
            .running
            .control
            .show_preset(&stage.admin, "small")
            .await
            .unwrap()
            .state
            .unwrap();
        if is(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "{state:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn listed(stage: &Stage) -> Vec<StackView> {
    let all = StackFilter {
        limit: 50,
        ..StackFilter::default()
    };
    stage.running.control.list_stacks(&stage.admin, &all).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_starts_from_a_preset_and_what_else_it_says_wins() {
    let stage = Stage::open(25_100).await;
    stage.good_app("one").await;
    let control = &stage.running.control;
    control.save_preset(&stage.admin, "small", &preset(0, 0)).await.unwrap();
    let plan = control.plan_stack(&stage.admin, &named("small")).await.unwrap();
    assert_eq!((plan.apps.len(), plan.size), (1, Size::Small));
    let mut larger = named("small");
    larger.size = Some(Size::Large);
    assert_eq!(control.plan_stack(&stage.admin, &larger).await.unwrap().size, Size::Large);
    let unknown = control.plan_stack(&stage.admin, &named("smal")).await.unwrap_err();
    assert_eq!(unknown.fields[0].field, "preset");
    let mut wrong = preset(0, 0);
    wrong.launch.apps[0].app = "nothing".into();
    let refused = control.save_preset(&stage.admin, "wrong", &wrong).await.unwrap_err();
    assert_eq!(refused.fields[0].field, "apps[0].app", "one that would not work is not kept");
    wrong = preset(60, 60);
    wrong.pool.as_mut().unwrap().expiry = Some("soon".into());
    let refused = control.save_preset(&stage.admin, "wrong", &wrong).await.unwrap_err();
    assert_eq!(
        refused.fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(),
        ["pool", "pool.expiry"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_a_pool_is_taken_as_it_is_and_another_takes_its_place() {
    let stage = Stage::open(25_120).await;
    stage.good_app("one").await;
    let control = &stage.running.control;
    control.save_preset(&stage.admin, "small", &preset(1, 0)).await.unwrap();
    until(&stage, |state| state.hot == 1).await;
    assert_eq!(listed(&stage).await, [], "nobody sees what waits");
    let before = stage.processes().iter().map(|p| p.pid).collect::<Vec<_>>();

    let mut wanted = named("small");
    wanted.name = Some("mine".into());
    wanted.idempotency_key = Some("once".into());
    let taken = control.launch_stack(&stage.admin, &wanted).await.unwrap();
    assert_eq!((taken.stack.name.as_str(), taken.stack.state), ("mine", StackState::Ready));
    assert_eq!(stage.page(&taken.stack).await, "one");
    let after = stage.processes().iter().map(|p| p.pid).collect::<Vec<_>>();
    assert!(before.iter().all(|pid| after.contains(pid)), "nothing was started again");
    let again = control.launch_stack(&stage.admin, &wanted).await.unwrap();
    assert_eq!(again.stack.id, taken.stack.id, "asked twice with one key, it is one server");
    assert_eq!(listed(&stage).await.len(), 1);
    until(&stage, |state| state.hot == 1).await;

    // What asks for something else gets a server of its own.
    let mut other = named("small");
    other.size = Some(Size::Medium);
    let other = control.launch_stack(&stage.admin, &other).await.unwrap();
    assert_eq!(other.stack.state, StackState::Building);
    stage.ended(&other).await;
    assert_eq!(until(&stage, |_| true).await.hot, 1);

    control.remove_preset(&stage.admin, "small").await.unwrap();
    for id in [taken.stack.id, other.stack.id] {
        let gone = control.destroy_stack(&stage.admin, &id).await.unwrap();
        stage.ended(&gone).await;
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while !stage.sandboxes().is_empty() {
        control.tend_pools().await.unwrap();
        assert!(Instant::now() < deadline, "the pool is not emptied");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sleeps_in_a_pool_is_woken_by_whoever_takes_it() {
    let stage = Stage::open(25_140).await;
    stage.good_app("one").await;
    let control = &stage.running.control;
    control.save_preset(&stage.admin, "small", &preset(0, 1)).await.unwrap();
    until(&stage, |state| state.stopped == 1).await;
    control.pause_pool(&stage.admin, "small", true).await.unwrap();
    let taken = control.launch_stack(&stage.admin, &named("small")).await.unwrap();
    assert_eq!(taken.stack.state, StackState::Starting);
    stage.serves(&taken, "one").await;
    for _ in 0..3 {
        control.tend_pools().await.unwrap();
    }
    assert_eq!(stage.sandboxes().len(), 1, "a paused pool makes nothing");
    control.remove_preset(&stage.admin, "small").await.unwrap();
    stage.destroy(&taken.stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_fails_is_left_alone_for_a_while_and_says_why() {
    let stage = Stage::open(25_160).await;
    let repository = stage.repository(
        "app",
        &[("app.py", GOOD_APP), ("page", "x"), ("build.py", "import sys; sys.exit(1)")],
    );
    stage
        .register(&repository, json!({"build": {"command": ["python3", "build.py"]}}))
        .await;
    let control = &stage.running.control;
    control.save_preset(&stage.admin, "small", &preset(1, 0)).await.unwrap();
    let state = until(&stage, |state| state.failures > 0).await;
    assert!(state.last_failure.unwrap().contains("build") && state.retry_at.is_some());
    for _ in 0..5 {
        control.tend_pools().await.unwrap();
    }
    let state = until(&stage, |state| state.making == 0).await;
    assert_eq!((state.failures, state.hot), (1, 0));
    let resumed = control.pause_pool(&stage.admin, "small", false).await.unwrap();
    assert_eq!(resumed.state.unwrap().failures, 0);
    control.remove_preset(&stage.admin, "small").await.unwrap();
}
