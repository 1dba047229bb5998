//! Removing a sandbox: its processes, however they were started, then its folder, and a last look that both are gone.

use super::{ProviderError, failed};
use crate::machine::files;
use crate::machine::processes::{self, Process};
use rustix::process::Signal;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

// How long processes may take to end when asked to. Their data goes with them, so there is little for them to save.
const GRACE: Duration = Duration::from_millis(400);
// The same of what is to be started again: as long as the agent gives its services.
const GRACE_OF_KEPT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(15);

/// Ends everything in the sandbox of this folder and removes the folder. Once it returns, nothing is left.
pub(super) fn remove(folder: &Path) -> Result<(), ProviderError> {
    let began = Instant::now();
    loop {
        end(folder, GRACE)?;
        match files::remove_all(folder) {
            Ok(()) => {
                // Something started between the look and the removal would have nothing to live in, but must not live.
                if left_running(folder).is_empty() && !folder.exists() {
                    return Ok(());
                }
            }
            Err(error) if began.elapsed() > PATIENCE => {
                return Err(failed(&format!("the folder {} cannot be removed", folder.display()), &error));
            }
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Ends everything in the sandbox of this folder, giving it the time to save what it holds.
pub(super) fn end_all(folder: &Path) -> Result<(), ProviderError> {
    end(folder, GRACE_OF_KEPT)
}

fn end(folder: &Path, grace: Duration) -> Result<(), ProviderError> {
    let began = Instant::now();
    let mut asked = BTreeSet::new();
    loop {
        let left = left_running(folder);
        if left.is_empty() {
            return Ok(());
        }
        for process in &left {
            if asked.insert((process.pid, process.ticks)) {
                process.signal(Signal::TERM);
            } else if began.elapsed() > grace {
                process.signal(Signal::KILL);
            }
        }
        if began.elapsed() > grace + PATIENCE {
            let pids: Vec<String> = left.iter().map(|p| p.pid.to_string()).collect();
            return Err(ProviderError::Retry {
                why: format!("these processes of {} do not end: {}", folder.display(), pids.join(", ")),
            });
        }
        std::thread::sleep(Duration::from_millis(if began.elapsed() > grace { 20 } else { 4 }));
    }
}

/// The processes of the sandbox in this folder.
pub(super) fn left_running(folder: &Path) -> Vec<Process> {
    let agent = folder.join("agent");
    let recorded = recorded(&agent);
    let agent = agent.to_str().unwrap_or_default();
    processes::family(&processes::all(), |process| {
        process.variable(processes::FOLDER) == Some(agent) || recorded.contains(&(process.pid, process.ticks))
    })
}

// What the agent wrote down of its services: finds those that rewrote their environment after the agent died.
fn recorded(agent: &Path) -> BTreeSet<(u32, u64)> {
    #[derive(Deserialize)]
    struct Record {
        pid: u32,
        ticks: u64,
    }
    std::fs::read_dir(agent.join("services"))
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::read(entry.ok()?.path()).ok())
        .filter_map(|text| serde_json::from_slice::<Record>(&text).ok())
        .map(|record| (record.pid, record.ticks))
        .collect()
}
