//! Branches with a pull request, shown for as long as they have one.

use super::stage::{Props, Repository, Stage};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{patch, post};
use axum::{Json, Router};
use greenroom::model::forge::Delivery;
use greenroom::model::stack::StackState;
use greenroom::wire::previews::PreviewView;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECRET: &str = "between us";

// What was posted: the method, the address, the words.
type Posted = Arc<Mutex<Vec<(String, String)>>>;

// A forge's comments, as GitHub and Gitea take them.
async fn forge() -> (String, Posted) {
    async fn add(
        State(posted): State<Posted>,
        Path((owner, project, number)): Path<(String, String, i64)>,
        headers: HeaderMap,
        Json(body): Json<Value>,
    ) -> Json<Value> {
        assert_eq!(headers["authorization"], "token forge-token");
        let place = format!("{owner}/{project}#{number}");
        posted
            .lock()
            .unwrap()
            .push((place, body["body"].as_str().unwrap().to_owned()));
        Json(json!({"id": 71}))
    }
    async fn change(
        State(posted): State<Posted>,
        Path((_, _, id)): Path<(String, String, i64)>,
        Json(body): Json<Value>,
    ) -> Json<Value> {
        posted
            .lock()
            .unwrap()
            .push((format!("comment {id}"), body["body"].as_str().unwrap().to_owned()));
        Json(json!({"id": id}))
    }
    let posted = Posted::default();
    let routes = Router::new()
        .route("/api/v1/repos/{owner}/{project}/issues/{number}/comments", post(add))
        .route("/api/v1/repos/{owner}/{project}/issues/comments/{id}", patch(change))
        .with_state(Arc::clone(&posted));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, posted)
}

struct Scene {
    stage: Stage,
    repository: Repository,
    site: String,
    posted: Posted,
}

impl Scene {
    async fn open(first_port: u16) -> Self {
        let (site, posted) = forge().await;
        // A plain function cannot know the address.
        SITE.with(|known| known.replace(site.clone()));
        let adjust = |settings: &mut greenroom::config::Settings| {
            settings.previews.secret = SECRET.into();
            let site = SITE.with(|known| known.borrow().clone());
            settings.previews.tokens.insert(site, "forge-token".into());
        };
        let props = Props {
            adjust: Some(adjust),
            ..Props::default()
        };
        let stage = Stage::open_with(first_port, props).await;
        let repository = stage.good_app("main page").await;
        Self {
            stage,
            repository,
            site,
            posted,
        }
    }

    fn event(&self, action: &str, branch: &str) -> Value {
        let here = self.repository.0.display().to_string();
        let repo = json!({"full_name": "shop/app", "clone_url": here, "html_url": format!("{}/shop/app", self.site)});
        json!({
            "action": action, "number": 7, "repository": repo,
            "pull_request": {"state": "open", "labels": [], "head": {"ref": branch, "sha": self.repository.head(branch), "repo": repo}},
        })
    }

    async fn tell(&self, event: &str, body: &Value) -> String {
        let body = body.to_string();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = ring::hmac::sign(&key, body.as_bytes());
        let proof = greenroom::model::secret::hex("", tag.as_ref());
        let delivery = Delivery { event, proof: &proof };
        let control = &self.stage.running.control;
        control.take_webhook("gitea", delivery, body.as_bytes()).await.unwrap().what
    }

    async fn until(&self, what: &str, is: impl Fn(&PreviewView) -> bool) -> PreviewView {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let control = &self.stage.running.control;
            control.tend_previews().await.unwrap();
            let previews = control.list_previews(&self.stage.admin).await.unwrap();
            if let Some(found) = previews.iter().find(|preview| is(preview)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "{what}: {previews:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn said(&self, words: &str) -> (String, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            self.stage.running.control.tend_previews().await.unwrap();
            if let Some(last) = self.posted.lock().unwrap().last().filter(|(_, text)| text.contains(words)) {
                return last.clone();
            }
            assert!(Instant::now() < deadline, "{words:?} was not posted: {:#?}", self.posted);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

thread_local! {
    static SITE: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_has_a_preview_that_follows_its_branch_and_ends_with_it() {
    let scene = Scene::open(25_200).await;
    scene.repository.branch("fix/title");
    scene.repository.commit(&[("page", "one")]);
    assert_eq!(
        scene.tell("pull_request", &scene.event("opened", "fix/title")).await,
        "accepted"
    );
    // Told twice, as forges do.
    scene.tell("pull_request", &scene.event("opened", "fix/title")).await;
    let ready = |p: &PreviewView| p.stack_state == Some(StackState::Ready);
    let preview = scene.until("it is launched", ready).await;
    assert_eq!(preview.stack.as_deref(), Some("app-fix-title"));
    assert_eq!(scene.stage.sandboxes().len(), 1);
    let stack = scene.stage.stack("app-fix-title").await;
    assert_eq!(scene.stage.page(&stack).await, "one");
    let (place, words) = scene.said("is ready").await;
    assert!(words.contains(&stack.links[0].url) && preview.links == stack.links, "{words}");
    // The first word was a comment of its own, and the later ones are the same comment.
    assert!(place == "comment 71" || place == "shop/app#7", "{place}");
    assert_eq!(
        scene
            .posted
            .lock()
            .unwrap()
            .iter()
            .filter(|(place, _)| place == "shop/app#7")
            .count(),
        1
    );

    scene.repository.commit(&[("page", "two")]);
    scene.tell("pull_request", &scene.event("synchronized", "fix/title")).await;
    let commit = scene.repository.head("fix/title");
    let now = scene.stage.running.control.clone();
    scene
        .until("it is brought to the new commit", |p| p.commit == commit && ready(p))
        .await;
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        now.tend_previews().await.unwrap();
        let stack = scene.stage.stack("app-fix-title").await;
        if stack.state == StackState::Ready && stack.apps[0].commit == commit {
            assert_eq!(scene.stage.page(&stack).await, "two");
            break;
        }
        assert!(Instant::now() < deadline, "{stack:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    scene.tell("pull_request", &scene.event("closed", "fix/title")).await;
    scene.until("its end is near", |p| p.state == "closed").await;
    let stack = scene.stage.stack("app-fix-title").await;
    let hours = stack.lease_until.since(now.now()) / 3_600_000;
    assert!(hours <= 1, "{hours} hours more");

    let here = json!({"full_name": "shop/app", "html_url": format!("{}/shop/app", scene.site)});
    scene
        .tell(
            "delete",
            &json!({"ref_type": "branch", "ref": "fix/title", "repository": here}),
        )
        .await;
    let deadline = Instant::now() + Duration::from_secs(40);
    while !now.list_previews(&scene.stage.admin).await.unwrap().is_empty() || !scene.stage.sandboxes().is_empty() {
        now.tend_previews().await.unwrap();
        assert!(Instant::now() < deadline, "the preview stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(scene.posted.lock().unwrap().last().unwrap().1.contains("gone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_fails_says_so_and_a_new_commit_mends_it() {
    let scene = Scene::open(25_220).await;
    scene.repository.branch("broken");
    scene.repository.commit(&[("app.py", "import sys; sys.exit(1)")]);
    scene.tell("pull_request", &scene.event("opened", "broken")).await;
    scene.until("it fails", |p| p.stack_state == Some(StackState::Failed)).await;
    scene.said("failed: [why]").await;
    for _ in 0..3 {
        scene.stage.running.control.tend_previews().await.unwrap();
    }
    assert!(scene.stage.sandboxes().is_empty(), "what failed is not tried again by itself");
    scene
        .repository
        .commit(&[("app.py", super::stage::GOOD_APP), ("page", "mended")]);
    scene.tell("pull_request", &scene.event("synchronized", "broken")).await;
    scene
        .until("it is mended", |p| p.stack_state == Some(StackState::Ready))
        .await;
    let id = scene
        .stage
        .running
        .control
        .list_previews(&scene.stage.admin)
        .await
        .unwrap()
        .remove(0)
        .id;
    scene
        .stage
        .running
        .control
        .end_preview(&scene.stage.admin, &id)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proved_not_ours_or_not_wanted_makes_nothing() {
    let scene = Scene::open(25_240).await;
    let control = &scene.stage.running.control;
    let body = scene.event("opened", "main").to_string();
    let forged = Delivery {
        event: "pull_request",
        proof: "00",
    };
    let refused = control.take_webhook("gitea", forged, body.as_bytes()).await.unwrap_err();
    assert_eq!(refused.fault.code, "not-signed-in");
    assert_eq!(
        control
            .take_webhook("sourceforge", forged, b"{}")
            .await
            .unwrap_err()
            .fault
            .code,
        "not-found"
    );

    let mut fork = scene.event("opened", "main");
    fork["pull_request"]["head"]["repo"]["full_name"] = "mallory/app".into();
    assert!(scene.tell("pull_request", &fork).await.contains("fork"));
    let mut other = scene.event("opened", "main");
    other["pull_request"]["head"]["repo"]["clone_url"] = "https://git.example/shop/unknown.git".into();
    other["pull_request"]["head"]["repo"]["html_url"] = json!(null);
    assert!(scene.tell("pull_request", &other).await.contains("no app"));
    let mut unwanted = scene.event("opened", "main");
    unwanted["pull_request"]["labels"] = json!([{"name": "no-preview"}]);
    assert!(scene.tell("pull_request", &unwanted).await.contains("no preview"));
    assert!(scene.tell("push", &json!({})).await.contains("passed over"));
    assert!(control.list_previews(&scene.stage.admin).await.unwrap().is_empty());
    assert!(scene.posted.lock().unwrap().is_empty());
}
