//! The agent: on a node, it asks what the node should be, makes it so, keeps its services running, and says how it went.
//!
//! It knows the server only through its link, and the configuration only as states in written order. What it starts outlives
//! it: killed at any moment and started again, it finds its services by what it wrote down and by the marks in their
//! environment, finishes what it was doing, and sends what it had not sent. The invariant: everything that must survive is in
//! its folder before it is acted on, and one agent at a time holds that folder.

mod confine;
mod converge;
mod folder;
mod journal;
mod keep;
mod limits;
mod link;
mod logs;
mod poll;
mod program;
mod reports;
mod secrets;
mod services;
mod spool;
mod states;

use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::wire::agent::{Report, ReportOutcome};
use confine::Confines;
use converge::{Assigned, converge, report};
use folder::Folder;
use journal::Journal;
pub use limits::Limits;
use link::Link;
use logs::Logs;
use poll::Poller;
use program::Surroundings;
use reports::Reports;
use secrets::{Secrets, Veil};
use services::Services;
use states::Hands;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Where it keeps its state: the node's key, its journal, what it has not sent yet, what it knows of its services.
    pub folder: PathBuf,
    /// The server's address.
    pub server_url: String,
    /// The node it is on.
    pub node: NodeId,
    /// The file with the one-time registration token; read at each attempt, because a newer token may come, and removed once
    /// the node is registered.
    pub token_file: Option<PathBuf>,
    /// Where set, states may only write below this folder.
    pub confined_to: Option<PathBuf>,
    /// What it and all it starts may use.
    pub limits: Limits,
    /// How well the node is kept apart, as its provider says.
    pub isolation: String,
    /// The longest pause between attempts to reach the server.
    pub longest_pause: Duration,
    /// Converge once and end, rather than stay.
    pub once: bool,
    /// Be the keeper, which starts this program again as the agent whenever that ends.
    pub keep: bool,
}

/// The command line of `greenroom agent`.
#[derive(Debug, Clone, clap::Args)]
pub struct AgentArgs {
    /// Where the agent keeps its state.
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The server's address.
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// The node's id.
    #[arg(long, value_name = "NODE")]
    pub node: NodeId,
    /// The file with the one-time registration token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// States may only write below this folder.
    #[arg(long, value_name = "FOLDER")]
    pub confined_to: Option<PathBuf>,
    /// How well the node is kept apart, for people.
    #[arg(long, value_name = "TEXT", default_value = "none: the whole machine")]
    pub isolation: String,
    /// The most memory that one process may have for its data, in MiB.
    #[arg(long, value_name = "MIB")]
    pub memory_mb: Option<u64>,
    /// The size that one file may grow to, in MiB.
    #[arg(long, value_name = "MIB")]
    pub file_mb: Option<u64>,
    /// How many files one process may have open.
    #[arg(long, value_name = "COUNT")]
    pub open_files: Option<u64>,
    /// How many processes the user may have; not felt by root.
    #[arg(long, value_name = "COUNT")]
    pub processes: Option<u64>,
    /// The longest pause between attempts to reach the server, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub longest_pause_ms: u64,
    /// Converge once and end.
    #[arg(long)]
    pub once: bool,
    /// Start the agent again whenever it ends, as the first process of a sandbox must.
    #[arg(long, hide = true)]
    pub keep: bool,
}

impl From<AgentArgs> for AgentOptions {
    fn from(args: AgentArgs) -> Self {
        Self {
            folder: args.folder,
            server_url: args.server,
            node: args.node,
            token_file: args.token_file,
            confined_to: args.confined_to,
            limits: Limits {
                memory_mb: args.memory_mb,
                file_mb: args.file_mb,
                open_files: args.open_files,
                processes: args.processes,
            },
            isolation: args.isolation,
            longest_pause: Duration::from_millis(args.longest_pause_ms),
            once: args.once,
            keep: args.keep,
        }
    }
}

// Services change in bursts; one report tells of a burst.
const GATHER: Duration = Duration::from_millis(300);
const LAST_WORDS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(1);

/// Runs the agent until it is cancelled, or, with `once`, until it has converged once. Its services go on without it.
///
/// # Errors
/// Where its folder cannot be used, and, with `once`, why the convergence failed.
pub async fn run(options: AgentOptions, cancel: CancellationToken) -> Result<(), Fault> {
    if options.keep {
        return keep::keep(&options, cancel).await;
    }
    let Some(folder) = Folder::take(&options.folder, "lock")? else {
        tracing::info!(folder = %options.folder.display(), "another agent holds the folder");
        return Ok(());
    };
    options.limits.apply()?;
    let identity = folder.identity()?;
    let link = Link::new(
        &options.server_url,
        options.node.as_str(),
        &identity.key,
        options.longest_pause,
    )?;
    let veil = Veil::default();
    let logs = Logs::open(&folder, &identity.writer, veil.clone())?;
    let secrets = Secrets::new(link.clone(), veil.clone());
    let surroundings = Surroundings::new(&options.node, folder.path());
    veil.add_given(surroundings.given());
    services::sweep_tasks(&surroundings).await;
    let services = Services::new(folder.clone(), logs.clone(), secrets.clone(), surroundings.clone())?;
    let hands = Hands {
        confines: Confines::new(options.confined_to.as_deref(), folder.path()),
        folder: folder.clone(),
        logs: logs.clone(),
        secrets,
        veil,
        surroundings,
        services,
    };
    let reports = Reports::new(folder.clone());
    let before = Assigned::load(&folder);
    let (assign, assigned) = watch::channel(before.clone());
    let (register, mut registered) = watch::channel(false);
    let poller = Poller::new(&options, identity, link.clone(), folder.clone());
    let etag = before.as_ref().map(|b| b.etag.clone());
    let outbound = async {
        // Nobody would take anything from a node that is not registered.
        if registered.wait_for(|yes| *yes).await.is_ok() {
            tokio::join!(logs.ship(&link), reports.ship(&link));
        }
    };
    let work = async {
        let result = work(&options, &hands, &reports, before, assigned).await;
        tokio::join!(logs.drained(LAST_WORDS), reports.drained(LAST_WORDS));
        result
    };
    let result = tokio::select! {
        result = work => result,
        () = cancel.cancelled() => Ok(()),
        () = gone(&folder) => Ok(()),
        () = poller.run(etag, &assign, &register) => Ok(()),
        () = outbound => Ok(()),
        () = logs.gather() => Ok(()),
    };
    logs.take_up(false);
    result
}

// Converges whenever there is something to converge to, and tells how the services are in between.
async fn work(
    options: &AgentOptions,
    hands: &Hands,
    reports: &Reports,
    before: Option<Assigned>,
    mut assigned: watch::Receiver<Option<Assigned>>,
) -> Result<(), Fault> {
    let mut journal = Journal::load(&hands.folder);
    if let Some(before) = before {
        let finished = journal.as_ref().filter(|j| j.etag == before.etag).and_then(|j| j.outcome);
        let was_well = finished == Some(ReportOutcome::Applied);
        hands.services.take_over(&before.services(), was_well).await;
        match (&journal, finished) {
            (Some(journal), Some(_)) => reports.add(report(journal, hands).await),
            // Cut short: gone on with below.
            _ => assigned.mark_changed(),
        }
    }
    let changed = hands.services.changed();
    loop {
        tokio::select! {
            more = assigned.changed() => {
                if more.is_err() {
                    return Ok(());
                }
                let Some(wanted) = assigned.borrow_and_update().clone() else { continue };
                let newer = assigned.clone();
                if converge(hands, reports, &wanted, || newer.has_changed().unwrap_or(false)).await {
                    journal = Journal::load(&hands.folder);
                    if options.once {
                        return journal.and_then(|j| j.fault).map_or(Ok(()), Err);
                    }
                }
            }
            () = changed.notified() => {
                tokio::time::sleep(GATHER).await;
                if let Some(journal) = journal.as_ref().filter(|j| j.outcome.is_some()) {
                    let now = health(journal, hands).await;
                    if !reports.told(&now) {
                        reports.add(now);
                    }
                }
            }
        }
    }
}

// How the services are now: a service that was given up makes what was applied a failure.
async fn health(journal: &Journal, hands: &Hands) -> Report {
    let mut now = report(journal, hands).await;
    if now.fault.is_none()
        && let Some(fault) = hands.services.fault().await
    {
        now.outcome = ReportOutcome::Failed;
        now.fault = Some(hands.veil.cover_fault(fault));
    }
    now
}

// A sandbox that was removed takes its agent's folder along; there is nothing left to do then.
async fn gone(folder: &Folder) {
    while folder.is_there() {
        tokio::time::sleep(LOOK).await;
    }
}
