//! Stacks: what someone launched, at which revisions, on which data, until when.

use super::fault::Fault;
use super::id::{NodeId, RunId, StackId, UserId};
use super::name::{AppName, CommitId, StackName};
use super::run::states;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

states! {
    /// The state of a stack. Every state has a way out: destroy is always offered.
    StackState {
        /// Its launch is under way.
        Building = "building",
        /// It serves what was asked for.
        Ready = "ready",
        /// An update is under way.
        Updating = "updating",
        /// It lives, but an update failed: it serves what it served before.
        Tainted = "tainted",
        /// Its launch failed and was undone.
        Failed = "failed",
        /// It is being put to sleep.
        Stopping = "stopping",
        /// It sleeps: its server is off and keeps its disk.
        Stopped = "stopped",
        /// It is being woken.
        Starting = "starting",
        /// It is being destroyed.
        Destroying = "destroying",
        /// It is gone, and the provider confirmed it.
        Destroyed = "destroyed",
    }
}

states! {
    /// What a stack is for.
    Purpose {
        /// Someone launched it.
        Person = "person",
        /// An image is made of its server, which then goes.
        Bake = "bake",
        /// It waits in a pool for someone.
        Pool = "pool",
        /// It shows a branch for as long as that is there.
        Preview = "preview",
    }
}

impl StackState {
    /// Whether a run is at work on it that a destruction has to cancel first.
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Building | Self::Updating | Self::Stopping | Self::Starting)
    }
}

states! {
    /// How much room a stack gets.
    Size {
        /// One core, 1 GiB.
        Small = "small",
        /// Two cores, 2 GiB.
        Medium = "medium",
        /// Four cores, 8 GiB.
        Large = "large",
    }
}

impl Size {
    /// Processor cores.
    pub const fn cpus(self) -> u32 {
        match self {
            Self::Small => 1,
            Self::Medium => 2,
            Self::Large => 4,
        }
    }

    /// Memory in MiB: the most that one process may have for its data.
    pub const fn memory_mb(self) -> u64 {
        match self {
            Self::Small => 1024,
            Self::Medium => 2048,
            Self::Large => 8192,
        }
    }

    /// Disk in MiB: the most that one file may grow to in a sandbox.
    pub const fn disk_mb(self) -> u64 {
        match self {
            Self::Small => 2048,
            Self::Medium => 4096,
            Self::Large => 16_384,
        }
    }
}

states! {
    /// What a database of a stack starts with.
    DataChoice {
        /// Nothing.
        Empty = "empty",
        /// The app's test fixture.
        Fixture = "fixture",
    }
}

/// An app of a stack, at a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackApp {
    /// The app.
    pub app: AppName,
    /// The descriptor version the plan was made from.
    pub descriptor_version: i64,
    /// What the person asked for, such as `v1.1` or `main`.
    pub revision: String,
    /// What it resolved to when the plan was made.
    pub commit: CommitId,
    /// The commit's subject line.
    pub subject: String,
    /// Whether the person picked it, or a dependency brought it.
    pub chosen: bool,
}

/// Everything a stack is made from: the input of its plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSpec {
    /// Apps, dependencies before what needs them.
    pub apps: Vec<StackApp>,
    /// What each database starts with, by `app/resource`.
    pub data: BTreeMap<String, DataChoice>,
    /// How much room.
    pub size: Size,
    /// The bundle of recipes that its server is built from; the server's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
}

/// Where an app of a running stack is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Link {
    /// The app.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The port's name in the descriptor.
    pub port: String,
    /// What to call it.
    pub label: String,
    /// The address: the same for as long as the stack lives.
    pub url: String,
    /// The address on its node, for now; past the proxy, so only for programs beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<String>,
    /// Whether it is meant for people.
    pub public: bool,
}

impl Link {
    /// The address on the node.
    pub fn direct(&self) -> &str {
        self.direct.as_deref().unwrap_or(&self.url)
    }
}

/// A stack as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Its id.
    pub id: StackId,
    /// Its name; free again once it is being destroyed.
    pub name: StackName,
    /// Who launched it.
    pub owner: UserId,
    /// What it is for.
    pub purpose: Purpose,
    /// The provider of its nodes.
    pub provider: String,
    /// Its state; see [`StackState`].
    pub state: StackState,
    /// What it is meant to be.
    pub spec: StackSpec,
    /// What it was before the update that is under way or failed.
    pub previous: Option<StackSpec>,
    /// Its node, once one was asked for.
    pub node: Option<NodeId>,
    /// Where its apps are.
    pub links: Vec<Link>,
    /// Why it is failed or tainted.
    pub fault: Option<Fault>,
    /// The run that last worked on it.
    pub run: Option<RunId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first ready.
    pub ready_at: Option<Timestamp>,
    /// When it ends by itself.
    pub lease_until: Timestamp,
    /// How far it may be extended.
    pub lease_max: Timestamp,
    /// When it was put to sleep, while it sleeps.
    pub stopped_at: Option<Timestamp>,
    /// Row version, for `If-Match`.
    pub version: i64,
}
