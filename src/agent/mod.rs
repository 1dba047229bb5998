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
mod offline;
mod options;
mod poll;
mod program;
mod reports;
mod secrets;
mod services;
mod spool;
mod states;

use crate::model::fault::Fault;
use crate::wire::agent::{Report, ReportOutcome};
use confine::Confines;
use converge::{Assigned, converge, report};
use folder::{Folder, Taken};
use journal::Journal;
pub use limits::Limits;
use link::Link;
use logs::Logs;
pub use options::{AgentArgs, AgentOptions, Echo};
use poll::Poller;
use program::Surroundings;
use reports::Reports;
use secrets::{Secrets, Veil};
use services::Services;
use states::Hands;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

// Services change in bursts; one report tells of a burst.
const GATHER: Duration = Duration::from_millis(300);
const LAST_WORDS: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(1);

/// What a convergence came to, for whoever asked for one.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// How many states were changed, or would be.
    pub changed: usize,
    /// How many were as they should be.
    pub unchanged: usize,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

impl Outcome {
    fn of(journal: Option<Journal>) -> Self {
        let Some(journal) = journal else { return Self::default() };
        Self {
            changed: journal.states.iter().filter(|s| s.outcome == "changed").count(),
            unchanged: journal.unchanged as usize,
            fault: journal.fault,
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

/// Runs the agent until it is cancelled, or, with `once`, until it has converged once. Its services go on without it.
///
/// # Errors
/// Where its folder cannot be used. A convergence that failed is no error; the outcome tells of it.
pub async fn run(options: AgentOptions, cancel: CancellationToken) -> Result<Outcome, Fault> {
    if options.keep {
        keep::keep(&options, cancel).await?;
        return Ok(Outcome::default());
    }
    if options.offline {
        return offline::run(&options, cancel).await;
    }
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
    let node = options.node.clone().ok_or_else(|| {
        Fault::new("invalid-request", "The agent does not know which node it is on").next("Give the node's id with --node")
    })?;
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
        veil,
        surroundings,
        services,
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
        let result = work(&options, &hands, &reports, before, assigned).await;
        tokio::join!(logs.drained(LAST_WORDS), reports.drained(LAST_WORDS));
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

// Converges whenever there is something to converge to, and tells how the services are in between.
async fn work(
    options: &AgentOptions,
    hands: &Hands,
    reports: &Reports,
    before: Option<Assigned>,
    mut assigned: watch::Receiver<Option<Assigned>>,
) -> Outcome {
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
                    return Outcome::default();
                }
                let Some(wanted) = assigned.borrow_and_update().clone() else { continue };
                let newer = assigned.clone();
                if converge(hands, reports, &wanted, || newer.has_changed().unwrap_or(false)).await {
                    journal = Journal::load(&hands.folder);
                    if options.once {
                        return Outcome::of(journal);
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
