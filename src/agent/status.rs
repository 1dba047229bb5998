//! How the agent of a folder is, for whoever stands before the node: read from its folder, so that it works without agent and
//! server.

use super::converge::Assigned;
use super::folder::Folder;
use super::journal::Journal;
use super::pause::Disabled;
use crate::model::fault::Fault;
use crate::model::time::Timestamp;
use crate::wire::agent::{Registered, Report, ReportOutcome};
use serde::Serialize;
use std::path::Path;

/// See the module.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Which process holds the folder and for how long; nothing where no agent runs.
    pub running: Option<String>,
    /// The node's id, once it is registered.
    pub node: Option<String>,
    /// Why it changes nothing, where someone said so.
    pub disabled: Option<Disabled>,
    /// Hash of the configuration it was given last.
    pub configuration: Option<String>,
    /// When its last convergence began.
    pub began: Option<Timestamp>,
    /// What that came to; nothing while it is under way or where it was cut short.
    pub outcome: Option<ReportOutcome>,
    /// How many states it changed.
    pub changed: usize,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// How many reports the server has not taken yet.
    pub unsent: usize,
}

/// Looks.
///
/// # Errors
/// Where the folder cannot be used.
pub fn status(path: &Path) -> Result<Status, Fault> {
    let folder = Folder::look(path)?;
    let journal = Journal::load(&folder);
    Ok(Status {
        running: Folder::holder(path, "lock").map(|holder| holder.to_string()),
        node: folder.load::<Registered>(Registered::NAME).map(|r| r.node),
        disabled: Disabled::now(&folder),
        configuration: Assigned::load(&folder).map(|a| a.hash),
        began: journal.as_ref().map(|j| Timestamp(j.began_ms)),
        outcome: journal.as_ref().and_then(|j| j.outcome),
        changed: journal
            .iter()
            .flat_map(|j| &j.states)
            .filter(|s| s.outcome == "changed")
            .count(),
        fault: journal.and_then(|j| j.fault),
        unsent: folder.load::<Vec<Report>>("reports").map_or(0, |all| all.len()),
    })
}
