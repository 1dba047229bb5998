//! The sandbox provider: a node is a folder, an agent and its processes on the server's own machine. It needs no image, no
//! daemon and no privileges.
//!
//! Everything of a node is in `<data>/sandboxes/<node>`, and every process of it carries the folder's name as a mark in its
//! environment, so an earlier call that was cut short anywhere is found again from the file system and `/proc` alone. The
//! agent runs detached and outlives the server. The invariant: ports are written down before they are used, and at most one
//! agent runs in a folder, because it holds a lock there.

mod ports;
mod remove;
mod start;
mod surroundings;

use super::{
    Capabilities, FencingToken, Finding, Interrupt, Layout, NodeHandle, NodeSpec, Observed, Owned, Provider, ProviderError,
    failed, fences, may_be_given,
};
use crate::machine::processes;
use crate::model::id::NodeId;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use surroundings::Surroundings;

/// The points inside `ensure`, in order.
pub const ENSURE_POINTS: &[&str] = &["folders", "ports", "token", "started"];
/// The points inside `destroy`, in order.
pub const DESTROY_POINTS: &[&str] = &["fenced", "removed"];

/// What the sandbox provider is told.
#[derive(Clone)]
pub struct SandboxOptions {
    /// The server's data folder. Sandboxes go into its folder `sandboxes`; what else is in it is hidden from them.
    pub folder: PathBuf,
    /// First port of the pool.
    pub first_port: u16,
    /// Last port of the pool.
    pub last_port: u16,
    /// `auto`, `plain` or `bubblewrap`.
    pub isolation: String,
    /// Folders of programs that sandboxes may run, before the system's own; found by asking the tools where empty.
    pub path: Vec<PathBuf>,
    /// More environment variables of every program in a sandbox.
    pub environment: BTreeMap<String, String>,
    /// The program that is the agent: this one.
    pub agent_program: PathBuf,
    /// For tests of what a killed server leaves.
    pub interrupt: Option<Interrupt>,
}

impl std::fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("folder", &self.folder)
            .field("ports", &(self.first_port..=self.last_port))
            .field("isolation", &self.isolation)
            .field("path", &self.path)
            // Names only: an index or a proxy may be given with a password.
            .field("environment", &self.environment.keys())
            .field("agent_program", &self.agent_program)
            .finish_non_exhaustive()
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: SandboxOptions,
    root: PathBuf,
    surroundings: OnceLock<Surroundings>,
    // Calls about one node come one after the other; calls about different nodes do not wait for each other.
    busy: Mutex<HashMap<NodeId, Arc<Mutex<()>>>>,
    ports: Mutex<()>,
}

impl Sandbox {
    /// A provider of sandboxes in this folder. What the machine offers is found out in the background.
    ///
    /// # Errors
    /// Where the settings make no sense, the folder cannot be made, or bubblewrap is demanded and does not work.
    pub fn new(options: SandboxOptions) -> Result<Self, ProviderError> {
        let denied = |why: String| ProviderError::Denied { why };
        if options.first_port == 0 || options.first_port > options.last_port {
            return Err(denied(format!(
                "the ports {} to {} are no pool",
                options.first_port, options.last_port
            )));
        }
        if !matches!(options.isolation.as_str(), "auto" | "plain" | "bubblewrap") {
            return Err(denied(format!(
                "`{}` is no isolation: it must be auto, plain or bubblewrap",
                options.isolation
            )));
        }
        if let Some(name) = options.environment.keys().find(|name| !may_be_given(name)) {
            return Err(denied(format!(
                "`{name}` cannot be given to sandboxes: a name has letters, digits and `_`, and each sandbox has a PATH, HOME, \
                 TMPDIR and GREENROOM_… of its own"
            )));
        }
        let root = options.folder.join("sandboxes");
        let made = std::fs::create_dir_all(root.join(fences::FOLDER)).and_then(|()| root.canonicalize());
        let root = made.map_err(|e| failed(&format!("the folder {} cannot be made", root.display()), &e))?;
        let demanded = options.isolation == "bubblewrap";
        let inner = Arc::new(Inner {
            options,
            root,
            surroundings: OnceLock::new(),
            busy: Mutex::default(),
            ports: Mutex::default(),
        });
        if demanded {
            inner.surroundings().check_demanded()?;
        } else {
            // Asking the tools takes longer than a server may take to start, and less than the first launch takes to be planned.
            let waiting = Arc::clone(&inner);
            std::thread::spawn(move || {
                waiting.surroundings();
            });
        }
        Ok(Self(inner))
    }

    async fn with_node<T: Send + 'static>(
        &self,
        node: &NodeId,
        work: impl FnOnce(&Inner) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let inner = Arc::clone(&self.0);
        let turn = {
            let mut busy = inner.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(busy.entry(node.clone()).or_default())
        };
        // On a thread of its own, so that a caller who goes away leaves it to come to its end.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            work(&inner)
        });
        done.await.unwrap_or_else(|error| {
            Err(ProviderError::Retry {
                why: format!("the sandbox provider failed: {error}"),
            })
        })
    }
}

impl Inner {
    fn folder(&self, node: &NodeId) -> PathBuf {
        self.root.join(node.as_str())
    }

    fn surroundings(&self) -> &Surroundings {
        self.surroundings.get_or_init(|| Surroundings::find(&self.options))
    }

    fn point(&self, name: &str) -> Result<(), ProviderError> {
        match &self.options.interrupt {
            Some(interrupt) if interrupt(name) => Err(ProviderError::Retry {
                why: format!("interrupted at {name}"),
            }),
            _ => Ok(()),
        }
    }

    fn observe(&self, node: &NodeId) -> Observed {
        let folder = self.folder(node);
        if start::agent_runs(&folder) {
            Observed::Running
        } else if folder.exists() || !remove::left_running(&folder).is_empty() {
            Observed::Stopped
        } else {
            Observed::Gone
        }
    }

    fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        fences::raise(&self.root, &spec.node, token)?;
        let made = self.make(spec);
        if matches!(made, Err(ProviderError::DiskFull { .. })) {
            remove::remove(&self.folder(&spec.node))?;
        }
        made
    }

    fn make(&self, spec: &NodeSpec) -> Result<NodeHandle, ProviderError> {
        let folder = self.folder(&spec.node);
        start::make_folders(&folder)?;
        self.point("folders")?;
        let ports = {
            let _one_at_a_time = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
            ports::give(&self.root, &folder, spec, &self.options)?
        };
        self.point("ports")?;
        start::write_token(&folder, &spec.bootstrap.token)?;
        self.point("token")?;
        start::start(self, &spec.node)?;
        self.point("started")?;
        Ok(self.handle(&folder, ports))
    }

    fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        let folder = self.folder(node);
        if !start::was_started(&folder) {
            return Err(nowhere(node));
        }
        fences::raise(&self.root, node, token)?;
        remove::end_all(&folder)
    }

    fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let folder = self.folder(node);
        let record = ports::read(&folder).filter(|_| start::was_started(&folder));
        let record = record.ok_or_else(|| nowhere(node))?;
        fences::raise(&self.root, node, token)?;
        start::start(self, node)?;
        Ok(self.handle(&folder, record.ports))
    }

    fn handle(&self, folder: &Path, ports: BTreeMap<String, u16>) -> NodeHandle {
        let place = |name: &str| folder.join(name).display().to_string();
        NodeHandle {
            external_id: folder.display().to_string(),
            address: "127.0.0.1".to_owned(),
            ports,
            inside: None,
            layout: Layout {
                apps: place("apps"),
                data: place("data"),
                config: place("config"),
                logs: place("logs"),
            },
            confined_to: Some(folder.display().to_string()),
            isolation: self.surroundings().isolation(),
        }
    }

    fn check(&self) -> Vec<Finding> {
        let options = &self.options;
        let surroundings = self.surroundings();
        let isolation = surroundings.isolation();
        let walls = match surroundings.check_demanded() {
            Ok(()) => Finding::good("isolation", isolation),
            Err(error) => Finding::bad(
                "isolation",
                error.to_string(),
                "Install bubblewrap, or set sandbox.isolation to auto",
            ),
        };
        let all = options.first_port..=options.last_port;
        let count = all.clone().count();
        let free = all
            .filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .count();
        let what = format!("ports {} to {}", options.first_port, options.last_port);
        let ports = if free == 0 {
            let next = "Set sandbox.first_port and last_port to more, or end stacks that are not needed";
            Finding::bad(what, "none is free", next)
        } else {
            Finding::good(what, format!("{free} of {count} are free"))
        };
        vec![walls, ports]
    }

    fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        let entries = std::fs::read_dir(&self.root).map_err(|e| failed("the sandboxes cannot be listed", &e))?;
        let mut nodes: BTreeSet<NodeId> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        for process in processes::all() {
            let marked = process.variable(processes::FOLDER).map(Path::new);
            if let Some(below) = marked.and_then(|folder| folder.strip_prefix(&self.root).ok())
                && let Some(name) = below.components().next().and_then(|c| c.as_os_str().to_str())
                && let Ok(node) = name.parse()
            {
                nodes.insert(node);
            }
        }
        Ok(nodes
            .into_iter()
            .map(|node| Owned {
                external_id: self.folder(&node).display().to_string(),
                observed: self.observe(&node),
                node,
            })
            .filter(|owned| owned.observed != Observed::Gone)
            .collect())
    }
}

#[async_trait]
impl Provider for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            installs_packages: false,
            whole_machine: false,
            bakes: false,
            isolation: self.0.surroundings().isolation(),
        }
    }

    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let wanted = spec.clone();
        self.with_node(&spec.node, move |inner| inner.ensure(&wanted, token)).await
    }

    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        let inner = Arc::clone(&self.0);
        let node = node.clone();
        // Not in turn: looking must not wait for a long removal.
        let seen = tokio::task::spawn_blocking(move || inner.observe(&node)).await;
        seen.map_err(|e| ProviderError::Retry { why: e.to_string() })
    }

    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| {
            if start::was_started(&inner.folder(&wanted)) && inner.observe(&wanted) == Observed::Stopped {
                start::start(inner, &wanted)?;
            }
            Ok(inner.observe(&wanted))
        })
        .await
    }

    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| inner.stop(&wanted, token)).await
    }

    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| inner.start(&wanted, token)).await
    }

    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| {
            let fenced = fences::raise(&inner.root, &wanted, token);
            // Where the disk is full, removing is what makes the room to write the token into.
            if !matches!(fenced, Ok(()) | Err(ProviderError::DiskFull { .. })) {
                return fenced;
            }
            inner.point("fenced")?;
            remove::remove(&inner.folder(&wanted))?;
            inner.point("removed")?;
            if fenced.is_err() {
                fences::raise(&inner.root, &wanted, token)?;
            }
            fences::prune(&inner.root, std::time::SystemTime::now());
            Ok(())
        })
        .await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        let inner = Arc::clone(&self.0);
        let listed = tokio::task::spawn_blocking(move || inner.list_owned()).await;
        listed.map_err(|e| ProviderError::Retry { why: e.to_string() })?
    }

    async fn check(&self) -> Vec<Finding> {
        let inner = Arc::clone(&self.0);
        let looked = tokio::task::spawn_blocking(move || inner.check()).await;
        looked.unwrap_or_else(|error| vec![Finding::bad("the sandbox provider", error.to_string(), "")])
    }
}

fn nowhere(node: &NodeId) -> ProviderError {
    ProviderError::Denied {
        why: format!("there is no sandbox of the node {node}"),
    }
}
