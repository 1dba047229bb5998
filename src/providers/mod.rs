//! Where nodes come from: one trait of idempotent verbs, told apart by capability rather than by name.
//!
//! A provider knows neither the database nor the engine. Every verb may be called twice with the same arguments; `ensure`
//! looks first and creates second; `stop` keeps the node's disk and `start` brings back what `stop` left; `destroy` returns
//! only once the provider itself says that nothing is left. Each verb that changes something carries a fencing token, and a
//! provider refuses a token below the highest it has seen for that node, so a controller that wakes up late changes nothing.
//!
//! Whatever a provider makes beside a node (networks, disks, addresses, names) carries the node's tag, is listed by
//! `list_owned` as that node's for as long as it is there, and goes with `destroy`. Images are the one thing that outlives nodes.

use crate::machine::files;
pub use crate::model::configuration::Layout;
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::stack::Size;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub mod docker;
#[cfg(feature = "ec2")]
pub mod ec2;
pub mod fake;
mod fences;
pub mod postgres;
pub mod sandbox;

/// Called at the named points inside verbs that change something; `true` makes the call end there as if the server had been killed.
pub type Interrupt = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// `(term, epoch)` of the run's lease; compared lexicographically.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FencingToken {
    /// Raised when our own store is restored or promoted.
    pub term: i64,
    /// Raised each time a run changes hands.
    pub epoch: i64,
}

/// What a node should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Our id: the name under which the provider finds it again.
    pub node: NodeId,
    /// The stack it is for.
    pub stack: StackId,
    /// The stack's name, for tags.
    pub stack_name: String,
    /// How much room.
    pub size: Size,
    /// Ports that must be reachable, as `app/port`.
    pub ports: Vec<String>,
    /// Files and folders of the server's machine that the node may read, such as git mirrors (sandbox only).
    pub readable: Vec<PathBuf>,
    /// What else its tags say, for people and bills: the stack's owner, its purpose.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The image to start from, by its `external_id`; the provider's plain one where absent or no longer there.
    #[serde(default)]
    pub image: Option<String>,
    /// How its agent finds the server.
    pub bootstrap: Bootstrap,
}

/// How a new node's agent finds the server and proves itself once.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// The server's address as the node reaches it.
    pub server_url: String,
    /// One-time registration token.
    pub token: String,
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap")
            .field("server_url", &self.server_url)
            .field("token", &"[redacted]")
            .finish()
    }
}

/// A node as its provider gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHandle {
    /// The provider's own name for it: a folder, a container id, an instance id.
    pub external_id: String,
    /// Where its ports are reached from the server and by people.
    pub address: String,
    /// The port given for each `app/port` of the spec, as seen at `address`.
    pub ports: BTreeMap<String, u16>,
    /// Where its apps listen, where that is not where they are reached: a container's own address and ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<Inside>,
    /// Where things go on this node.
    pub layout: Layout,
    /// Where set, a state may only write below this folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confined_to: Option<String>,
    /// How well it is kept apart, for people: "bubblewrap: own processes, read-only system, hidden homes".
    pub isolation: String,
}

/// Where the apps of a node listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inside {
    /// The address that they bind to and call each other at.
    pub address: String,
    /// The port for each `app/port`.
    pub ports: BTreeMap<String, u16>,
}

impl NodeHandle {
    /// The address that apps on this node bind to and call each other at.
    pub fn inner_address(&self) -> &str {
        self.inside.as_ref().map_or(&self.address, |inside| &inside.address)
    }

    /// The port that `app/port` listens on.
    pub fn inner_port(&self, key: &str) -> Option<u16> {
        let ports = self.inside.as_ref().map_or(&self.ports, |inside| &inside.ports);
        ports.get(key).copied()
    }
}

/// What a provider can do and how well it keeps nodes apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Packages can be installed, rather than only checked for.
    pub installs_packages: bool,
    /// States may write outside the node's own folders.
    pub whole_machine: bool,
    /// Nodes can be kept as images that later ones start from.
    pub bakes: bool,
    /// How well nodes are kept apart, for people.
    pub isolation: String,
}

/// What a provider says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// It is there and its agent runs.
    Running,
    /// It is there and its agent does not run.
    Stopped,
    /// There is nothing.
    Gone,
}

/// Something the provider holds under our tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// Our id, as tagged.
    pub node: NodeId,
    /// The provider's name for it.
    pub external_id: String,
    /// What it is.
    pub observed: Observed,
}

/// An image that a node was kept as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What it was baked for; the tag under which it is found again.
    pub key: String,
    /// The provider's name for it.
    pub external_id: String,
    /// Whether it can be started from by now.
    pub usable: bool,
    /// How much room it takes, where the provider says.
    pub bytes: Option<u64>,
}

/// One thing that a provider needs, and whether it has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at: "permission ec2:RunInstances", "subnet subnet-1".
    pub what: String,
    /// Whether it is as it should be; nothing where that cannot be found out before it is needed.
    pub ok: Option<bool>,
    /// What was found.
    pub why: String,
    /// What to do about it; empty where nothing is to be done.
    pub next: String,
}

impl Finding {
    /// It is as it should be.
    pub fn good(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ok: Some(true),
            why: why.into(),
            next: String::new(),
        }
    }

    /// It is not, and this is what to do.
    pub fn bad(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            ok: Some(false),
            why: why.into(),
            next: next.into(),
        }
    }

    /// It cannot be found out.
    pub fn unknown(what: impl Into<String>, why: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            ok: None,
            ..Self::bad(what, why, next)
        }
    }
}

/// Why a provider did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It may work later.
    #[error("{why}")]
    Retry {
        /// The cause.
        why: String,
    },
    /// There is no room.
    #[error("{why}")]
    Quota {
        /// What is used up.
        why: String,
    },
    /// A port of the node is taken by a program that is not ours.
    #[error("port {port} is taken: {why}")]
    PortTaken {
        /// The port.
        port: u16,
        /// What is known of who has it.
        why: String,
    },
    /// The file system is full.
    #[error("{why}")]
    DiskFull {
        /// Which one.
        why: String,
    },
    /// It will not do this.
    #[error("{why}")]
    Denied {
        /// The rule.
        why: String,
    },
    /// It says more exactly than this list what is wrong, whose turn it is and what to do next.
    #[error("{fault}")]
    Known {
        /// That.
        fault: Box<Fault>,
        /// Whether it may work later.
        again: bool,
    },
    /// The token is below the highest seen for this node.
    #[error("an older controller (token {given:?}) tried to change a node that {seen:?} holds")]
    Fenced {
        /// What was given.
        given: FencingToken,
        /// The highest seen.
        seen: FencingToken,
    },
}

/// Where nodes come from.
#[async_trait]
pub trait Provider: Send + Sync + std::fmt::Debug {
    /// Its name in settings, forms and URLs.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Makes sure the node exists and its agent runs; finds what an earlier, interrupted call made.
    ///
    /// # Errors
    /// See [`ProviderError`]; whatever was made by then is found again by a later call or removed by `destroy`.
    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError>;

    /// Looks at a node.
    ///
    /// # Errors
    /// Where the provider cannot be asked.
    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError>;

    /// Starts the agent of a node again, if the node is there and the agent is not. Needs no token: it restores what is.
    ///
    /// # Errors
    /// Where the provider cannot be asked, or the agent cannot be started.
    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError>;

    /// Ends everything that runs on a node and keeps its disk; returns once the provider says that it is stopped. What is
    /// stopped already stays so.
    ///
    /// # Errors
    /// Where something may still run, or there is no such node.
    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError>;

    /// Starts a stopped node again. Addresses and ports may be others than before; its agent finds the server by itself.
    ///
    /// # Errors
    /// Where it cannot be started, or there is no such node.
    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError>;

    /// Keeps a stopped node as an image under this key; finds what an earlier, interrupted call kept. Providers say whether
    /// they can ([`Capabilities::bakes`]).
    ///
    /// # Errors
    /// Where there is no such node, it runs, or the provider keeps no images.
    async fn bake(&self, node: &NodeId, key: &str, token: FencingToken) -> Result<Image, ProviderError> {
        let _ = (node, key, token);
        Err(ProviderError::Denied {
            why: format!("the {} provider keeps no images", self.name()),
        })
    }

    /// All images it holds under our tag, also half-made ones.
    ///
    /// # Errors
    /// Where the provider cannot be asked.
    async fn images(&self) -> Result<Vec<Image>, ProviderError> {
        Ok(Vec::new())
    }

    /// Removes an image; one that is not there is already gone. Nodes that were started from it live on.
    ///
    /// # Errors
    /// Where it may be left.
    async fn remove_image(&self, external_id: &str) -> Result<(), ProviderError> {
        let _ = external_id;
        Ok(())
    }

    /// Removes the node and returns once nothing of it is left. A node that never was is already gone.
    ///
    /// # Errors
    /// Where something may be left.
    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError>;

    /// Lets a node reach the world outside of its stack, or cuts that: open while packages are fetched and apps are built, then
    /// as their `outbound` says. Providers that cannot cut it do nothing, and say so in their isolation.
    ///
    /// # Errors
    /// Where it may be other than asked, or there is no such node.
    async fn set_outbound(&self, node: &NodeId, open: bool, token: FencingToken) -> Result<(), ProviderError> {
        let _ = (node, open, token);
        Ok(())
    }

    /// All it holds under our tag.
    ///
    /// # Errors
    /// Where the provider cannot be asked.
    async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError>;

    /// Whether it has all that launches need, looked at in one pass and without making anything.
    async fn check(&self) -> Vec<Finding> {
        let what = format!("the {} provider", self.name());
        vec![match self.list_owned().await {
            Ok(owned) => Finding::good(what, format!("it answers; {} servers of ours", owned.len())),
            Err(error) => Finding::bad(what, error.to_string(), "Check its settings and that what it uses runs"),
        }]
    }
}

/// The providers of a server, by name; the first is the default.
#[derive(Debug, Clone, Default)]
pub struct Providers(Vec<Arc<dyn Provider>>);

impl Providers {
    /// These providers, the default first.
    pub fn new(all: Vec<Arc<dyn Provider>>) -> Self {
        Self(all)
    }

    /// The provider of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Provider>> {
        self.0.iter().find(|p| p.name() == name)
    }

    /// All, the default first.
    pub fn all(&self) -> &[Arc<dyn Provider>] {
        &self.0
    }
}

// What each node has of its own, or its processes are found by, is not for the settings to change.
fn may_be_given(name: &str) -> bool {
    let word = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    word && !matches!(name, "PATH" | "HOME" | "TMPDIR") && !name.starts_with("GREENROOM_")
}

fn failed(what: &str, error: &std::io::Error) -> ProviderError {
    let why = format!("{what}: {error}");
    if files::is_full(error) {
        ProviderError::DiskFull { why }
    } else {
        ProviderError::Retry { why }
    }
}
