//! Stacks that sleep, wake, and get a new server.

use super::stage::Stage;
use greenroom::model::stack::StackState;
use greenroom::wire::stacks::StackView;
use serde_json::json;

// Counts its starts in a file among its data, and says the number.
const COUNTING_APP: &str = r#"
import http.server, os
path = os.environ["COUNT"]
count = int(open(path).read()) + 1 if os.path.exists(path) else 1
open(path, "w").write(str(count))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(count).encode())
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

async fn counting(stage: &Stage) -> StackView {
    let repository = stage.repository("app", &[("app.py", COUNTING_APP)]);
    let env = json!({"PORT": {"value": "{{ ports.http }}"}, "COUNT": {"value": "{{ dirs.data }}/count"}});
    stage.register(&repository, json!({ "env": env })).await;
    stage.serves(&stage.launch().await.unwrap(), "1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_sleeps_without_a_process_and_wakes_with_its_data() {
    let stage = Stage::open(24_800).await;
    let stack = counting(&stage).await;
    let control = &stage.running.control;
    let accepted = control.stop_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(stage.ended(&accepted).await.state.as_str(), "succeeded");
    let asleep = stage.stack(&stack.id).await;
    assert_eq!(asleep.state, StackState::Stopped, "{asleep:#?}");
    assert!(asleep.stopped_at.is_some() && asleep.actions.contains(&"start".to_owned()));
    assert!(stage.processes().is_empty() && stage.sandboxes().len() == 1);
    // Nobody who looks after dead agents takes it for one.
    for _ in 0..3 {
        control.look_after(true).await;
    }
    assert!(stage.processes().is_empty());
    let again = control.stop_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(again.run, accepted.run, "asking twice is asking once");

    let accepted = control.start_stack(&stage.admin, &stack.id).await.unwrap();
    let awake = stage.serves(&accepted, "2").await;
    assert!(awake.stopped_at.is_none() && awake.links == stack.links, "{awake:#?}");
    let again = control.start_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(again.run, accepted.run);
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_sleeps_is_destroyed_like_any_other() {
    let stage = Stage::open(24_820).await;
    let stack = counting(&stage).await;
    let accepted = stage.running.control.stop_stack(&stage.admin, &stack.id).await.unwrap();
    // While it goes to sleep, even.
    stage.destroy(&accepted.stack.id).await;
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_cannot_wake_sleeps_on_and_says_why() {
    let stage = Stage::open(24_840).await;
    let stack = counting(&stage).await;
    let control = &stage.running.control;
    let accepted = control.stop_stack(&stage.admin, &stack.id).await.unwrap();
    stage.ended(&accepted).await;
    let port = stack.links[0]
        .direct()
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let squatter = std::net::TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    let accepted = control.start_stack(&stage.admin, &stack.id).await.unwrap();
    let run = stage.ended(&accepted).await;
    assert_eq!(run.state.as_str(), "failed", "{run:#?}");
    let stack = stage.stack(&stack.id).await;
    assert_eq!(stack.state, StackState::Stopped);
    assert!(stack.fault.is_some(), "{stack:#?}");
    assert!(stage.processes().is_empty());
    drop(squatter);
    let accepted = control.start_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(stage.ended(&accepted).await.state.as_str(), "succeeded");
    assert!(stage.stack(&stack.id).await.fault.is_none());
    stage.destroy(&stack.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_serves_from_the_old_server_until_the_new_one_is_healthy() {
    let stage = Stage::open(24_860).await;
    let stack = counting(&stage).await;
    let control = &stage.running.control;
    let accepted = control.rebuild_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(stage.page(&stack).await, "1", "the old one serves");
    let rebuilt = stage.serves(&accepted, "1").await;
    assert_ne!(rebuilt.links, stack.links, "it is another server");
    assert_eq!(stage.sandboxes().len(), 1, "the old one is gone");
    stage.destroy(&stack.id).await;
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_fails_leaves_the_old_server() {
    let stage = Stage::open(24_880).await;
    let repository = stage.good_app("one").await;
    let stack = stage.serves(&stage.launch().await.unwrap(), "one").await;
    // Its code can be had no more.
    repository.vanish();
    std::fs::remove_dir_all(stage.data.join("mirrors")).unwrap();
    let accepted = stage.running.control.rebuild_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(stage.ended(&accepted).await.state.as_str(), "failed");
    let tainted = stage.stack(&stack.id).await;
    assert_eq!(tainted.state, StackState::Tainted);
    assert!(tainted.fault.is_some() && tainted.links == stack.links);
    assert_eq!(stage.page(&tainted).await, "one");
    assert_eq!(stage.sandboxes().len(), 1);
    stage.destroy(&stack.id).await;
}
