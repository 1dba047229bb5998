//! What is special about containers: a real engine, its networks and volumes.

use super::contract::{Arena, spec, token};
use crate::agent::harness::eventually;
use crate::targets::containers;
use async_trait::async_trait;
use greenroom::model::id::NodeId;
use greenroom::providers::docker::{Docker, DockerOptions, ENSURE_POINTS, Way};
use greenroom::providers::{Observed, Provider, ProviderError};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const NEVER: usize = usize::MAX;

pub struct DockerArena {
    docker: Docker,
    cut: Arc<AtomicUsize>,
    folder: tempfile::TempDir,
}

/// Runs `docker` and gives what it said, also where it failed.
pub fn docker(arguments: &[&str]) -> String {
    let ran = Command::new("docker").args(arguments).output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    String::from_utf8_lossy(&said).trim().to_owned()
}

fn options(folder: &tempfile::TempDir, image: &str) -> DockerOptions {
    let folder = folder.path().canonicalize().unwrap();
    DockerOptions {
        way: Way::Socket(folder.join("agents")),
        folder,
        host: String::new(),
        image: image.to_owned(),
        networks: "10.214.0.0/16".to_owned(),
        environment: BTreeMap::new(),
        agent_program: env!("CARGO_BIN_EXE_greenroom").into(),
        interrupt: None,
    }
}

impl DockerArena {
    pub fn new() -> Option<Self> {
        let image = containers::image()?;
        let folder = tempfile::tempdir().unwrap();
        let cut = Arc::new(AtomicUsize::new(NEVER));
        let asked = Arc::clone(&cut);
        let mut options = options(&folder, image);
        options.interrupt = Some(Arc::new(move |point| {
            let wanted = asked.load(Ordering::SeqCst);
            let here = ENSURE_POINTS.get(wanted).is_some_and(|name| *name == point);
            if here {
                asked.store(NEVER, Ordering::SeqCst);
            }
            here
        }));
        let docker = Docker::new(options).unwrap();
        Some(Self { docker, cut, folder })
    }

    fn name(node: &NodeId) -> String {
        format!("greenroom-{node}")
    }

    /// Runs a command in a node's container and says how it ended.
    fn inside(node: &NodeId, command: &str) -> (i32, String) {
        let ran = Command::new("docker")
            .args(["exec", &Self::name(node), "sh", "-c", command])
            .output()
            .unwrap();
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }
}

impl Drop for DockerArena {
    fn drop(&mut self) {
        sweep(self.folder.path());
    }
}

/// Removes whatever the server of this data folder has on the engine.
pub fn sweep(data: &Path) {
    if let Ok(server) = std::fs::read_to_string(data.join("docker/server")) {
        let label = format!("label=greenroom.server={server}");
        let list = |words: &[&str]| -> Vec<String> {
            let said = docker(&[words, &["--filter", &label, "-q"]].concat());
            said.lines().map(str::to_owned).collect()
        };
        for container in list(&["ps", "-a"]) {
            docker(&["rm", "-f", &container]);
        }
        for network in list(&["network", "ls"]) {
            docker(&["network", "rm", &network]);
        }
        for volume in list(&["volume", "ls"]) {
            docker(&["volume", "rm", "-f", &volume]);
        }
        let baked = docker(&["images", "--filter", &label, "--format", "{{.Repository}}:{{.Tag}}"]);
        for image in baked.lines().filter(|name| name.starts_with("greenroom/baked")) {
            docker(&["rmi", "-f", image]);
        }
    }
}

#[async_trait]
impl Arena for DockerArena {
    fn provider(&self) -> &dyn Provider {
        &self.docker
    }

    fn cuts(&self) -> usize {
        ENSURE_POINTS.len()
    }

    fn cut(&self, point: usize) {
        self.cut.store(point, Ordering::SeqCst);
    }

    async fn kill_agent(&self, node: &NodeId) {
        docker(&["kill", &Self::name(node)]);
        let stopped = || docker(&["inspect", "-f", "{{.State.Running}}", &Self::name(node)]) == "false";
        eventually(|| "the container's end".into(), || stopped().then_some(())).await;
    }

    fn leftovers(&self, node: &NodeId) -> Vec<String> {
        let label = format!("label=greenroom.node={node}");
        let mut left = Vec::new();
        for kind in [&["ps", "-a"][..], &["network", "ls"], &["volume", "ls"]] {
            let said = docker(&[kind, &["--filter", &label, "-q"]].concat());
            left.extend(said.lines().map(|line| format!("{} {line}", kind[0])));
        }
        let folder = self.folder.path().join("docker").join(node.as_str());
        if folder.exists() {
            left.push(folder.display().to_string());
        }
        left
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder, "debian");
    options.host = format!("unix://{}/none.sock", folder.path().display());
    let docker = Docker::new(options).unwrap();
    let spec = spec(&[]);
    for error in [
        docker.ensure(&spec, token(1)).await.unwrap_err(),
        docker.observe(&spec.node).await.unwrap_err(),
        docker.destroy(&spec.node, token(1)).await.unwrap_err(),
        docker.list_owned().await.unwrap_err(),
    ] {
        assert!(matches!(error, ProviderError::Retry { .. }), "{error:?}");
        assert!(error.to_string().contains("systemctl start docker"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_nowhere_is_named_with_its_setting() {
    let Some(image) = containers::image() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder, image);
    options.image = "localhost:1/greenroom-test/none:1".to_owned();
    let docker = Docker::new(options).unwrap();
    let spec = spec(&[]);
    let error = docker.ensure(&spec, token(1)).await.unwrap_err();
    assert!(matches!(error, ProviderError::Denied { .. }), "{error:?}");
    assert!(error.to_string().contains("docker.image"), "{error}");
    docker.destroy(&spec.node, token(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_whose_network_was_tidied_away_starts_again() {
    let Some(arena) = DockerArena::new() else { return };
    let spec = spec(&["shop/web"]);
    let made = arena.docker.ensure(&spec, token(1)).await.unwrap();
    arena.docker.stop(&spec.node, token(1)).await.unwrap();
    docker(&["network", "rm", &DockerArena::name(&spec.node)]);
    let started = arena.docker.start(&spec.node, token(1)).await.unwrap();
    assert_eq!(started, made, "with the same address");
    let (code, said) = DockerArena::inside(&spec.node, "ip -4 -o address show");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(&made.address), "{said}");
    arena.docker.destroy(&spec.node, token(1)).await.unwrap();
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_removed_behind_our_back_is_gone_and_what_it_left_is_listed_until_destroyed() {
    let Some(arena) = DockerArena::new() else { return };
    let spec = spec(&[]);
    arena.docker.ensure(&spec, token(1)).await.unwrap();
    docker(&["rm", "-f", &DockerArena::name(&spec.node)]);
    assert_eq!(arena.docker.observe(&spec.node).await.unwrap(), Observed::Gone);
    let owned = arena.docker.list_owned().await.unwrap();
    assert_eq!(owned.len(), 1);
    assert_eq!(owned[0].node, spec.node);
    arena.docker.destroy(&spec.node, token(1)).await.unwrap();
    assert!(arena.docker.list_owned().await.unwrap().is_empty());
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
}
