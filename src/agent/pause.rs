//! An agent that someone told to keep its hands off: why, and until when. What it keeps running goes on.

use super::folder::Folder;
use crate::clock::{Clock, SystemClock};
use crate::model::fault::Fault;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;

const NAME: &str = "disabled";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Why.
    pub reason: String,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Since when.
    pub since: Timestamp,
}

impl Disabled {
    /// What holds now in this folder.
    pub(super) fn now(folder: &Folder) -> Option<Self> {
        let found: Self = folder.load(NAME)?;
        found.until.is_none_or(|until| SystemClock.now() < until).then_some(found)
    }
}

/// Has the agent of this folder change nothing.
///
/// # Errors
/// Where the folder cannot be written.
pub fn disable(folder: &Path, reason: &str, until: Option<Timestamp>) -> Result<Disabled, Fault> {
    let disabled = Disabled {
        reason: reason.to_owned(),
        until,
        since: SystemClock.now(),
    };
    Folder::look(folder)?.save_flushed(NAME, &disabled)?;
    Ok(disabled)
}

/// Lets the agent of this folder act again; whether it was kept from it.
///
/// # Errors
/// Where the folder cannot be used.
pub fn enable(folder: &Path) -> Result<bool, Fault> {
    let folder = Folder::look(folder)?;
    let was = Disabled::now(&folder).is_some();
    folder.forget(NAME);
    Ok(was)
}
