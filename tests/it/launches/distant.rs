//! Nodes as a machine far away would be: their code comes from the server, and they may start from an image.

use super::stage::{GOOD_APP, Props, Stage, choice, request};
use async_trait::async_trait;
use greenroom::control::stacks::StackFilter;
use greenroom::model::id::NodeId;
use greenroom::providers::sandbox::{Sandbox, SandboxOptions};
use greenroom::providers::{Capabilities, FencingToken, Image, NodeHandle, NodeSpec, Observed, Owned, Provider, ProviderError};
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Mutex};

const PORTS: u16 = 24_900;

/// Sandboxes that are given nothing to read, as a machine far away would be, and whose images are notes in memory.
#[derive(Debug)]
struct Distant {
    sandbox: Sandbox,
    images: Mutex<Vec<Image>>,
    // The image of each node that was made.
    started_from: Mutex<Vec<Option<String>>>,
}

impl Distant {
    fn new(folder: &Path, first_port: u16) -> Self {
        let options = SandboxOptions {
            folder: folder.to_owned(),
            first_port,
            last_port: first_port + 19,
            isolation: "bubblewrap".into(),
            path: Vec::new(),
            environment: std::collections::BTreeMap::new(),
            agent_program: env!("CARGO_BIN_EXE_greenroom").into(),
            interrupt: None,
        };
        Self {
            sandbox: Sandbox::new(options).unwrap(),
            images: Mutex::default(),
            started_from: Mutex::default(),
        }
    }
}

#[async_trait]
impl Provider for Distant {
    fn name(&self) -> &'static str {
        "distant"
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            whole_machine: true,
            bakes: true,
            ..self.sandbox.capabilities()
        }
    }
    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let mut spec = spec.clone();
        spec.readable.clear();
        self.started_from.lock().unwrap().push(spec.image.clone());
        self.sandbox.ensure(&spec, token).await
    }
    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        self.sandbox.observe(node).await
    }
    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        self.sandbox.revive(node).await
    }
    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.sandbox.stop(node, token).await
    }
    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        self.sandbox.start(node, token).await
    }
    async fn bake(&self, node: &NodeId, key: &str, _: FencingToken) -> Result<Image, ProviderError> {
        assert_eq!(self.observe(node).await?, Observed::Stopped);
        let image = Image {
            key: key.to_owned(),
            external_id: format!("image-{key}"),
            usable: true,
            bytes: Some(1),
        };
        let mut images = self.images.lock().unwrap();
        images.retain(|other| other.key != key);
        images.push(image.clone());
        Ok(image)
    }
    async fn images(&self) -> Result<Vec<Image>, ProviderError> {
        Ok(self.images.lock().unwrap().clone())
    }
    async fn remove_image(&self, external_id: &str) -> Result<(), ProviderError> {
        self.images.lock().unwrap().retain(|image| image.external_id != external_id);
        Ok(())
    }
    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.sandbox.destroy(node, token).await
    }
    async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        self.sandbox.list_owned().await
    }
}

async fn distant(first_port: u16) -> (Stage, Arc<Distant>) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap();
    let provider = Arc::new(Distant::new(&data, first_port));
    let props = Props {
        providers: Some(vec![Arc::clone(&provider) as Arc<dyn Provider>]),
        data: Some(data),
        ..Props::default()
    };
    let mut stage = Stage::open_with(first_port, props).await;
    stage.also = Some(folder);
    (stage, provider)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_the_commits_of_its_own_apps_and_no_others() {
    let (stage, _) = distant(PORTS).await;
    let repository = stage.good_app("one").await;
    let control = &stage.running.control;
    let stack = stage.serves(&stage.launch().await.unwrap(), "one").await;
    let first = stack.apps[0].commit.clone();

    repository.commit(&[("page", "two")]);
    let update = stage.update(&stack.id, "main").await.unwrap();
    let stack = stage.serves(&update, "two").await;
    let commit = stack.apps[0].commit.clone();
    let node = control.store.live_nodes().await.unwrap().remove(0).id;
    let (_, length) = control.open_node_source(&node, "app", &commit).await.unwrap();
    assert!(length > 100);
    for (app, commit) in [
        ("app", first.as_str()),
        ("other", &commit),
        ("app", "main"),
        ("app", "../../x"),
    ] {
        let refused = control.open_node_source(&node, app, commit).await.unwrap_err();
        assert_eq!(refused.fault.code, "not-found", "{app}@{commit}");
    }
    stage.destroy(&stack.id).await;
    let gone = control.open_node_source(&node, "app", &commit).await.unwrap_err();
    assert_eq!(gone.fault.code, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_baked_once_and_launches_start_from_it() {
    let (stage, provider) = distant(PORTS + 20).await;
    let repository = stage.good_app("one").await;
    let control = &stage.running.control;
    let mut wanted = request("main");
    wanted.name = None;
    let baking = control.bake_image(&stage.admin, &wanted).await.unwrap();
    let run = stage.run_ended(baking.run.as_ref().unwrap()).await;
    assert_eq!(run.state.as_str(), "succeeded", "{run:#?}");
    assert!(
        stage.sandboxes().is_empty() && stage.processes().is_empty(),
        "the server it was made of is gone"
    );
    let everyone = StackFilter {
        ended: true,
        limit: 10,
        ..StackFilter::default()
    };
    assert_eq!(control.list_stacks(&stage.admin, &everyone).await.unwrap().items, []);
    let again = control.bake_image(&stage.admin, &wanted).await.unwrap();
    assert!(again.run.is_none() && again.image.state == "usable", "{again:#?}");

    let first = stage.serves(&stage.launch().await.unwrap(), "one").await;
    let expected = Some(format!("image-{}", baking.image.key));
    let from = || provider.started_from.lock().unwrap().last().cloned().unwrap();
    assert_eq!(from(), expected);
    stage.destroy(&first.id).await;
    // With the same apps at another commit, it is still worth starting from; what differs is applied.
    repository.commit(&[("page", "two")]);
    repository.tag("v2");
    let second = stage.serves(&stage.launch_at("v2").await.unwrap(), "two").await;
    assert_eq!(from(), expected);
    stage.destroy(&second.id).await;

    let key = baking.image.key;
    control.remove_image(&stage.admin, "distant", &key).await.unwrap();
    assert!(provider.images().await.unwrap().is_empty() && control.list_images(&stage.admin).await.unwrap().is_empty());
    let third = stage.serves(&stage.launch_at("v2").await.unwrap(), "two").await;
    assert_eq!(from(), None);
    stage.destroy(&third.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_made_leaves_nothing_and_can_be_tried_again() {
    let (stage, provider) = distant(PORTS + 40).await;
    let repository = stage.repository(
        "app",
        &[("app.py", GOOD_APP), ("page", "x"), ("build.py", "import sys; sys.exit(1)")],
    );
    stage
        .register(&repository, json!({"build": {"command": ["python3", "build.py"]}}))
        .await;
    let control = &stage.running.control;
    let mut wanted = request("main");
    wanted.name = None;
    let baking = control.bake_image(&stage.admin, &wanted).await.unwrap();
    let run = stage.run_ended(baking.run.as_ref().unwrap()).await;
    assert_eq!(run.state.as_str(), "failed", "{run:#?}");
    assert!(stage.sandboxes().is_empty() && provider.images().await.unwrap().is_empty());
    assert_eq!(control.list_images(&stage.admin).await.unwrap()[0].state, "failed");
    repository.commit(&[("build.py", "")]);
    repository.tag("mended");
    wanted.apps = vec![choice("mended")];
    let baking = control.bake_image(&stage.admin, &wanted).await.unwrap();
    let run = stage.run_ended(baking.run.as_ref().unwrap()).await;
    assert_eq!(run.state.as_str(), "succeeded", "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_providers_hold_is_compared_with_what_they_should() {
    let (stage, provider) = distant(PORTS + 60).await;
    stage.good_app("one").await;
    let control = &stage.running.control;
    let stack = stage.serves(&stage.launch().await.unwrap(), "one").await;
    let clean = control.show_holdings(&stage.admin).await.unwrap();
    assert_eq!((clean.differences, clean.servers.len()), (0, 1), "{clean:#?}");
    assert_eq!(clean.servers[0].stack.as_deref(), Some("small-stack"));

    // A server and an image that nobody knows of.
    let stray = crate::providers::contract::spec(&[]);
    let zero = FencingToken { term: 0, epoch: 0 };
    provider.ensure(&stray, zero).await.unwrap();
    provider.images.lock().unwrap().push(Image {
        key: "unknown".into(),
        external_id: "image-unknown".into(),
        usable: true,
        bytes: None,
    });
    let dirty = control.show_holdings(&stage.admin).await.unwrap();
    assert_eq!(dirty.differences, 2, "{dirty:#?}");
    let reaped = control.reap(&stage.admin).await.unwrap();
    assert_eq!((reaped.removed, reaped.holdings.differences), (2, 0), "{reaped:#?}");

    // A server that went behind our back.
    let node = control.store.live_nodes().await.unwrap().remove(0).id;
    let last = FencingToken {
        term: i64::MAX,
        epoch: 0,
    };
    provider.destroy(&node, last).await.unwrap();
    let gone = control.show_holdings(&stage.admin).await.unwrap();
    assert!(gone.servers[0].difference.as_deref().unwrap().contains("gone"), "{gone:#?}");
    drop(stack);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_behind_our_back_goes_back_to_sleep() {
    let (stage, provider) = distant(PORTS + 80).await;
    stage.good_app("one").await;
    let control = &stage.running.control;
    let stack = stage.serves(&stage.launch().await.unwrap(), "one").await;
    let asleep = control.stop_stack(&stage.admin, &stack.id).await.unwrap();
    stage.ended(&asleep).await;
    let node = control.store.live_nodes().await.unwrap().remove(0).id;
    let (term, epoch) = control.store.next_token().await.unwrap();
    provider.start(&node, FencingToken { term, epoch }).await.unwrap();
    control.look_after(true).await;
    assert_eq!(provider.observe(&node).await.unwrap(), Observed::Stopped);
    let awake = control.start_stack(&stage.admin, &stack.id).await.unwrap();
    stage.serves(&awake, "one").await;
    stage.destroy(&stack.id).await;
}
