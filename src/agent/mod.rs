//! The agent: on a node, it asks what the node should be, makes it so, keeps its services running, and says how it went.
//!
//! It knows the server only through its link, and the configuration only as states in written order. What it starts outlives
//! it: killed at any moment and started again, it finds its services by what it wrote down and by the marks in their
//! environment, finishes what it was doing, and sends what it had not sent. The invariant: everything that must survive is in
//! its folder before it is acted on, and one agent at a time holds that folder.

mod blobs;
mod confine;
mod converge;
mod drift;
mod facts;
mod folder;
mod init;
mod install;
mod journal;
mod keep;
mod limits;
mod link;
mod logs;
mod offline;
mod options;
mod pause;
mod plan;
mod poll;
mod program;
mod renew;
mod reports;
mod secrets;
mod services;
mod sources;
mod spool;
mod states;
mod status;
mod unit;
mod work;

use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::wire::agent::{Registered, StateReport};
use confine::Confines;
use converge::Assigned;
pub use facts::collect as collect_facts;
use folder::{Folder, Taken};
pub use install::{InstallArgs, Installed, UninstallArgs, Uninstalled, install, uninstall};
use journal::Journal;
pub use limits::Limits;
use link::Link;
use logs::Logs;
pub use options::{AgentArgs, AgentOptions, AgentTask, Echo, Given};
pub use pause::{Disabled, disable, enable};
use poll::Poller;
use program::Surroundings;
use renew::Renewer;
pub use renew::{AGENT, Renewal};
use reports::Reports;
use secrets::{Secrets, Veil};
use services::Services;
use sources::Sources;
use states::{Hands, Packages};
pub use status::{Status, status};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
pub use unit::unit_file;

const LAST_WORDS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(1);

/// What a convergence came to, for whoever asked for one.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// How many states were changed, or would be.
    pub changed: usize,
    /// How many were as they should be.
    pub unchanged: usize,
    /// Of how many a plan cannot know.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: usize,
    /// What a plan says of each that is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StateReport>,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What this process is to become now, rather than to end.
    #[serde(skip)]
    pub renewal: Option<Renewal>,
}

impl Outcome {
    fn of(journal: Option<Journal>) -> Self {
        let Some(journal) = journal else { return Self::default() };
        Self {
            changed: journal.states.iter().filter(|s| s.outcome == "changed").count(),
            unchanged: journal.unchanged as usize,
            fault: journal.fault,
            ..Self::default()
        }
    }

    /// The exit code that tells of it: 0 nothing changed, 2 something did, 4 it failed, 6 something changed and then it failed.
    pub fn exit_code(&self) -> u8 {
        match (self.changed > 0, self.fault.is_some()) {
            (false, false) => 0,
            (true, false) => 2,
            (false, true) => 4,
            (true, true) => 6,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Runs the agent until it is cancelled, or, with `once`, until it has converged once. Its services go on without it.
///
/// # Errors
/// Where its folder cannot be used. A convergence that failed is no error; the outcome tells of it.
pub async fn run(options: AgentOptions, cancel: CancellationToken) -> Result<Outcome, Fault> {
    if options.keep {
        keep::keep(&options, cancel).await?;
        return Ok(Outcome::default());
    }
    if init::is_wanted(&options) {
        return Ok(Outcome {
            renewal: init::run(&options, cancel).await?,
            ..Outcome::default()
        });
    }
    if options.plan {
        return offline::plan(&options).await;
    }
    if options.offline {
        return offline::run(&options, cancel).await;
    }
    // From the start, for a hangup that nobody hears ends the process.
    let renewer = Renewer::new(&options);
    let folder = match Folder::take(&options.folder, "lock")? {
        Taken::Ours(folder) => folder,
        Taken::By(holder) if options.once => return Err(holder.fault()),
        Taken::By(holder) => {
            tracing::info!(folder = %options.folder.display(), %holder, "another agent holds the folder");
            return Ok(Outcome::default());
        }
    };
    options.limits.apply()?;
    let identity = folder.identity()?;
    let public_key = identity.key.public().to_string();
    let registered = folder.load::<Registered>(Registered::NAME);
    let known = registered.and_then(|r| r.node.parse().ok());
    // A node of the inventory gets its id when it registers.
    let node = options.node.clone().or(known).unwrap_or_else(|| NodeId::from_bits(0));
    let link = Link::new(&options.server_url, node.as_str(), identity.key, options.longest_pause)?;
    let veil = Veil::default();
    let logs = Logs::open(&folder, &identity.writer, veil.clone(), None)?;
    let secrets = Secrets::of_server(link.clone(), veil.clone());
    let surroundings = Surroundings::new(&node, folder.path());
    veil.add_given(surroundings.given());
    services::sweep_tasks(&surroundings).await;
    let services = Services::new(folder.clone(), logs.clone(), secrets.clone(), surroundings.clone())?;
    let hands = Hands {
        confines: Confines::new(options.confined_to.as_deref(), folder.path()),
        folder: folder.clone(),
        logs: logs.clone(),
        secrets,
        sources: Sources::of(Some(link.clone()), &folder),
        veil,
        surroundings,
        services,
        packages: Packages::default(),
        overlay: Mutex::default(),
        diff: Mutex::default(),
    };
    let reports = Reports::new(folder.clone());
    let before = Assigned::load(&folder);
    let (assign, assigned) = watch::channel(before.clone());
    let (register, mut registered) = watch::channel(false);
    let poller = Poller::new(&options, public_key, link.clone(), folder.clone());
    let etag = before.as_ref().map(|b| b.etag.clone());
    let outbound = async {
        // Nobody would take anything from a node that is not registered.
        if registered.wait_for(|yes| *yes).await.is_ok() {
            tokio::join!(logs.ship(&link), reports.ship(&link));
        }
    };
    let work = async {
        let result = work::work(&options, &hands, &reports, &link, before, assigned, renewer).await;
        if result.renewal.is_none() {
            tokio::join!(logs.drained(LAST_WORDS), reports.drained(LAST_WORDS));
        }
        result
    };
    let result = tokio::select! {
        result = work => result,
        () = cancel.cancelled() => Outcome::default(),
        () = gone(&folder) => Outcome::default(),
        () = poller.run(etag, &assign, &register) => Outcome::default(),
        () = outbound => Outcome::default(),
        () = logs.gather() => Outcome::default(),
    };
    logs.take_up(false);
    Ok(result)
}

// A sandbox that was removed takes its agent's folder along; there is nothing left to do then.
async fn gone(folder: &Folder) {
    while folder.is_there() {
        tokio::time::sleep(LOOK).await;
    }
}
