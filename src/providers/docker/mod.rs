//! The Docker provider: a node is a container with the agent as its first process, alone on a network of its own.
//!
//! Container, network and volume of a node are called after it and labelled with it, so an earlier call that was cut short
//! anywhere is found again from the engine alone. Agents reach the server through a socket in a folder that they are given, so
//! a node needs no way out and the server opens nothing beyond this machine. Keys of agents are on volumes, and no image holds
//! them. The invariant: at most one container has a node's name, because the engine lets no second one have it.

mod archive;
mod container;
mod engine;
mod images;
mod make;
mod networks;
mod record;
mod remove;
mod subnet;
mod tags;

use super::{
    Capabilities, FencingToken, Image, Inside, Interrupt, Layout, NodeHandle, NodeSpec, Observed, Owned, Provider, ProviderError,
    failed, fences, may_be_given,
};
use crate::machine::files;
use crate::model::id::NodeId;
use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum};
use bollard::query_parameters::{InspectContainerOptions, StopContainerOptionsBuilder};
use engine::{Engine, found};
use record::Record;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use subnet::Pool;

/// The points inside `ensure`, in order.
pub const ENSURE_POINTS: &[&str] = &["recorded", "image", "network", "container", "token", "started"];
/// The points inside `destroy`, in order.
pub const DESTROY_POINTS: &[&str] = &["fenced", "container-gone", "removed"];

// How long the engine may take to let go of what it was told to remove.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the Docker provider is told.
#[derive(Clone)]
pub struct DockerOptions {
    /// The server's data folder; what is written down of nodes goes into its folder `docker`.
    pub folder: PathBuf,
    /// The engine, as `unix:///var/run/docker.sock` or `tcp://10.0.0.5:2375`. Where empty, what `DOCKER_HOST` names, or this machine's.
    pub host: String,
    /// The image that nodes start from.
    pub image: String,
    /// The pool that networks of stacks are taken from, such as `10.213.0.0/16`.
    pub networks: String,
    /// More environment variables of every program on a node.
    pub environment: BTreeMap<String, String>,
    /// How agents reach the server.
    pub way: Way,
    /// The program that is the agent: this one.
    pub agent_program: PathBuf,
    /// For tests of what a killed server leaves.
    pub interrupt: Option<Interrupt>,
}

/// How agents reach the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Through `server.sock` in this folder, which every node is given to read.
    Socket(PathBuf),
    /// At this address, which nodes must be able to reach.
    Url(String),
}

impl std::fmt::Debug for DockerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerOptions")
            .field("folder", &self.folder)
            .field("host", &self.host)
            .field("image", &self.image)
            .field("networks", &self.networks)
            // Names only: an index or a proxy may be given with a password.
            .field("environment", &self.environment.keys())
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Docker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: DockerOptions,
    engine: Engine,
    pool: Pool,
    root: PathBuf,
    // Labels what is ours on an engine that others use too.
    server: String,
    program: OnceLock<String>,
    // One plain image is enough, however many nodes wait for it.
    making_image: tokio::sync::Mutex<()>,
    limits_disk: OnceLock<bool>,
    // Calls about one node come one after the other; calls about different nodes do not wait for each other.
    busy: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Docker {
    /// A provider of containers on this engine, which is not asked anything yet.
    ///
    /// # Errors
    /// Where the settings make no sense or the folder cannot be made.
    pub fn new(options: DockerOptions) -> Result<Self, ProviderError> {
        let denied = |why: String| ProviderError::Denied { why };
        let pool: Pool = options
            .networks
            .parse()
            .map_err(|e| denied(format!("docker.networks: {e}")))?;
        if let Some(name) = options.environment.keys().find(|name| !may_be_given(name)) {
            return Err(denied(format!(
                "docker.environment: `{name}` cannot be given: a name has letters, digits and `_`, and each node has a PATH, HOME, \
                 TMPDIR and GREENROOM_… of its own"
            )));
        }
        let engine = Engine::new(&options.host);
        if matches!(options.way, Way::Socket(_)) && !engine.is_here() {
            return Err(denied(format!(
                "the Docker engine at {} is on another machine: set `agents.url` to an address at which it reaches this server",
                engine.host()
            )));
        }
        let root = options.folder.join("docker");
        let unwritable = |e: &std::io::Error| failed(&format!("the folder {} cannot be made", root.display()), e);
        std::fs::create_dir_all(root.join(fences::FOLDER)).map_err(|e| unwritable(&e))?;
        if let Way::Socket(folder) = &options.way {
            std::fs::create_dir_all(folder).map_err(|e| unwritable(&e))?;
        }
        let server = name_of_server(&root).map_err(|e| unwritable(&e))?;
        Ok(Self(Arc::new(Inner {
            engine,
            pool,
            root,
            server,
            options,
            program: OnceLock::new(),
            making_image: tokio::sync::Mutex::default(),
            limits_disk: OnceLock::new(),
            busy: Mutex::default(),
        })))
    }

    /// Whether an engine answers within this time.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn answers(&self, within: Duration) -> Result<(), ProviderError> {
        let asked = tokio::time::timeout(within, self.0.engine.client()).await;
        asked.map_or_else(
            |_| {
                Err(ProviderError::Retry {
                    why: format!("the Docker engine at {} takes too long to answer", self.0.engine.host()),
                })
            },
            |answer| answer.map(|_| ()),
        )
    }

    async fn in_turn<T, W>(&self, node: &NodeId, work: impl FnOnce(Arc<Inner>, NodeId) -> W) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let turn = {
            let mut busy = self.0.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(busy.entry(node.clone()).or_default())
        };
        let work = work(Arc::clone(&self.0), node.clone());
        // As a task of its own, so that a caller who goes away leaves it to come to its end.
        let done = tokio::spawn(async move {
            let _turn = turn.lock().await;
            work.await
        });
        done.await.unwrap_or_else(|error| {
            Err(ProviderError::Retry {
                why: format!("the Docker provider failed: {error}"),
            })
        })
    }
}

impl Inner {
    fn folder(&self, node: &NodeId) -> PathBuf {
        self.root.join(node.as_str())
    }

    fn point(&self, name: &str) -> Result<(), ProviderError> {
        match &self.options.interrupt {
            Some(interrupt) if interrupt(name) => Err(ProviderError::Retry {
                why: format!("interrupted at {name}"),
            }),
            _ => Ok(()),
        }
    }

    async fn look(&self, node: &NodeId) -> Result<Option<ContainerInspectResponse>, ProviderError> {
        let client = self.engine.client().await?;
        let there = client
            .inspect_container(&tags::name(node), None::<InspectContainerOptions>)
            .await;
        found(there).map_err(|e| self.engine.failed("the container cannot be looked at", &e))
    }

    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        Ok(match self.look(node).await? {
            None => Observed::Gone,
            Some(there) if runs(&there) => Observed::Running,
            Some(_) => Observed::Stopped,
        })
    }

    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        fences::raise(&self.root, &spec.node, token)?;
        let made = self.make(spec).await;
        if matches!(made, Err(ProviderError::DiskFull { .. })) {
            self.remove(&spec.node).await?;
        }
        made
    }

    fn handle(&self, node: &NodeId, record: &Record, wanted: impl Fn(&String) -> bool) -> Result<NodeHandle, ProviderError> {
        let subnet = record.subnet.ok_or_else(|| ProviderError::Retry {
            why: format!("nothing is written down of the network of {node}"),
        })?;
        let ports = record.ports.iter().filter(|(name, _)| wanted(name));
        let ports: BTreeMap<String, u16> = ports.map(|(name, port)| (name.clone(), *port)).collect();
        Ok(NodeHandle {
            external_id: tags::name(node),
            address: subnet.node().to_string(),
            ports,
            inside: None::<Inside>,
            layout: Layout::of_servers(),
            confined_to: None,
            isolation: container::isolation(self.limits_disk.get().copied()),
        })
    }

    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        let Some(there) = self.look(node).await? else {
            return Ok(Observed::Gone);
        };
        if !runs(&there)
            && let Some(record) = Record::read(&self.folder(node))
        {
            self.start_container(node, &record).await?;
        }
        self.observe(node).await
    }

    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        if self.look(node).await?.is_none() {
            return Err(nowhere(node));
        }
        fences::raise(&self.root, node, token)?;
        let client = self.engine.client().await?;
        let options = StopContainerOptionsBuilder::new().t(container::GRACE_S).build();
        let stopped = client.stop_container(&tags::name(node), Some(options)).await;
        stopped.map_err(|e| self.engine.failed("the container cannot be stopped", &e))?;
        match self.observe(node).await? {
            Observed::Stopped => Ok(()),
            other => Err(ProviderError::Retry {
                why: format!("the engine says that the container is still {other:?}"),
            }),
        }
    }

    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let there = self.look(node).await?;
        let (Some(there), Some(record)) = (there, Record::read(&self.folder(node))) else {
            return Err(nowhere(node));
        };
        fences::raise(&self.root, node, token)?;
        if !runs(&there) {
            self.start_container(node, &record).await?;
        }
        self.handle(node, &record, |_| true)
    }

    async fn bake(&self, node: &NodeId, key: &str, token: FencingToken) -> Result<Image, ProviderError> {
        fences::raise(&self.root, node, token)?;
        match self.look(node).await? {
            None => Err(nowhere(node)),
            Some(there) if runs(&there) => Err(ProviderError::Denied {
                why: format!("the node {node} runs: stop it first"),
            }),
            Some(_) => images::bake(&self.engine, node, key, &self.program().await?).await,
        }
    }

    async fn set_outbound(&self, node: &NodeId, open: bool, token: FencingToken) -> Result<(), ProviderError> {
        if self.look(node).await?.is_none() {
            return Err(nowhere(node));
        }
        fences::raise(&self.root, node, token)?;
        let container = tags::name(node);
        if open {
            networks::open(&self.engine, self.pool, &container).await
        } else {
            networks::cut(&self.engine, &container).await
        }
    }

    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        let fenced = fences::raise(&self.root, node, token);
        // Where the disk is full, removing is what makes the room to write the token into.
        if !matches!(fenced, Ok(()) | Err(ProviderError::DiskFull { .. })) {
            return fenced;
        }
        self.point("fenced")?;
        self.remove(node).await?;
        self.point("removed")?;
        if fenced.is_err() {
            fences::raise(&self.root, node, token)?;
        }
        fences::prune(&self.root, std::time::SystemTime::now());
        Ok(())
    }
}

#[async_trait]
impl Provider for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            installs_packages: true,
            whole_machine: true,
            bakes: true,
            isolation: container::isolation(self.0.limits_disk.get().copied()),
        }
    }

    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let wanted = spec.clone();
        self.in_turn(&spec.node, |inner, _| async move { inner.ensure(&wanted, token).await })
            .await
    }

    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        // Not in turn: looking must not wait for a long removal.
        self.0.observe(node).await
    }

    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        self.in_turn(node, |inner, node| async move { inner.revive(&node).await })
            .await
    }

    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.in_turn(node, move |inner, node| async move { inner.stop(&node, token).await })
            .await
    }

    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        self.in_turn(node, move |inner, node| async move { inner.start(&node, token).await })
            .await
    }

    async fn bake(&self, node: &NodeId, key: &str, token: FencingToken) -> Result<Image, ProviderError> {
        let key = key.to_owned();
        self.in_turn(node, move |inner, node| async move { inner.bake(&node, &key, token).await })
            .await
    }

    async fn images(&self) -> Result<Vec<Image>, ProviderError> {
        images::baked(&self.0.engine, &self.0.server).await
    }

    async fn remove_image(&self, external_id: &str) -> Result<(), ProviderError> {
        images::remove(&self.0.engine, external_id).await
    }

    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.in_turn(node, move |inner, node| async move { inner.destroy(&node, token).await })
            .await
    }

    async fn set_outbound(&self, node: &NodeId, open: bool, token: FencingToken) -> Result<(), ProviderError> {
        self.in_turn(node, move |inner, node| async move {
            inner.set_outbound(&node, open, token).await
        })
        .await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        self.0.list_owned().await
    }
}

fn runs(container: &ContainerInspectResponse) -> bool {
    let status = container.state.as_ref().and_then(|state| state.status);
    status == Some(ContainerStateStatusEnum::RUNNING)
}

fn nowhere(node: &NodeId) -> ProviderError {
    ProviderError::Denied {
        why: format!("there is no container of the node {node}"),
    }
}

// Made up once and kept as long as the data folder, whose nodes these are.
fn name_of_server(root: &std::path::Path) -> std::io::Result<String> {
    let path = root.join("server");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => {
            let name = format!("{:016x}", rand::random::<u64>());
            files::replace(&path, name.as_bytes(), 0o600)?;
            Ok(name)
        }
    }
}
