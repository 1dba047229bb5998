//! A node that can reach neither the server's mirrors nor the repositories has its code from the server.

use super::stage::{Props, Stage};
use async_trait::async_trait;
use greenroom::model::id::NodeId;
use greenroom::providers::sandbox::{Sandbox, SandboxOptions};
use greenroom::providers::{Capabilities, FencingToken, NodeHandle, NodeSpec, Observed, Owned, Provider, ProviderError};
use std::path::Path;
use std::sync::Arc;

const PORTS: u16 = 24_900;

/// Sandboxes that are given nothing to read, as a machine far away would be.
#[derive(Debug)]
struct Distant(Sandbox);

impl Distant {
    fn new(folder: &Path) -> Self {
        let options = SandboxOptions {
            folder: folder.to_owned(),
            first_port: PORTS,
            last_port: PORTS + 19,
            isolation: "bubblewrap".into(),
            path: Vec::new(),
            environment: std::collections::BTreeMap::new(),
            agent_program: env!("CARGO_BIN_EXE_greenroom").into(),
            interrupt: None,
        };
        Self(Sandbox::new(options).unwrap())
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
            ..self.0.capabilities()
        }
    }
    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let mut spec = spec.clone();
        spec.readable.clear();
        self.0.ensure(&spec, token).await
    }
    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        self.0.observe(node).await
    }
    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        self.0.revive(node).await
    }
    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.0.stop(node, token).await
    }
    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        self.0.start(node, token).await
    }
    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.0.destroy(node, token).await
    }
    async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        self.0.list_owned().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_the_commits_of_its_own_apps_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap();
    let props = Props {
        providers: Some(vec![Arc::new(Distant::new(&data))]),
        data: Some(data),
        ..Props::default()
    };
    let stage = Stage::open_with(PORTS, props).await;
    let repository = stage.good_app("one").await;
    let mut wanted = super::stage::request("main");
    wanted.provider = Some("distant".into());
    let control = &stage.running.control;
    let launched = control.launch_stack(&stage.admin, &wanted).await.unwrap();
    let stack = stage.serves(&launched, "one").await;
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
