//! Reports on their way to the server. Progress may be overtaken by newer progress; results are kept on disk until the server
//! has them, and go in order.

use super::folder::Folder;
use super::link::{Link, LinkError, Packed, packed};
use crate::wire::agent::{Report, ReportOutcome};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

const NAME: &str = "reports";
// Results that nobody could be told of for so long have been overtaken many times.
const KEPT: usize = 50;
// What a report may come to, packed.
const MOST: usize = 256 * 1024;

/// See the module. Clones are the same reports.
#[derive(Debug, Clone)]
pub(super) struct Reports(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Folder,
    // Nobody will ever take them.
    unheard: bool,
    waiting: Mutex<VecDeque<Report>>,
    // What was added last.
    last: Mutex<Option<Report>>,
    added: Notify,
}

impl Reports {
    /// Those of this folder, with what an earlier agent could not send.
    pub(super) fn new(folder: Folder) -> Self {
        let waiting = folder.load(NAME).unwrap_or_default();
        Self::over(folder, waiting, false)
    }

    /// Reports that nobody will take, of a convergence without a server.
    pub(super) fn unheard(folder: Folder) -> Self {
        Self::over(folder, VecDeque::new(), true)
    }

    fn over(folder: Folder, waiting: VecDeque<Report>, unheard: bool) -> Self {
        Self(Arc::new(Inner {
            folder,
            unheard,
            waiting: Mutex::new(waiting),
            last: Mutex::default(),
            added: Notify::new(),
        }))
    }

    /// Adds a report; progress that has not been sent yet is replaced by it.
    pub(super) fn add(&self, report: Report) {
        if self.0.unheard {
            return;
        }
        let mut waiting = self.waiting();
        waiting.retain(|r| r.outcome != ReportOutcome::Converging);
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
        waiting.push_back(report);
        while waiting.len() > KEPT {
            waiting.pop_front();
        }
        self.keep(&waiting);
        drop(waiting);
        self.0.added.notify_one();
    }

    /// Whether this one says nothing that the last one did not say.
    pub(super) fn told(&self, report: &Report) -> bool {
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|last| {
            let key = |r: &Report| (r.configuration.clone(), r.outcome, r.services.clone());
            key(last) == key(report)
        })
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Report>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, waiting: &VecDeque<Report>) {
        let results: Vec<&Report> = waiting.iter().filter(|r| r.outcome != ReportOutcome::Converging).collect();
        let kept = if results.is_empty() {
            self.0.folder.forget(NAME);
            Ok(())
        } else {
            self.0.folder.save(NAME, &results)
        };
        if let Err(fault) = kept {
            tracing::warn!(%fault, "reports are only in memory now");
        }
    }

    /// Sends them for as long as it is polled.
    pub(super) async fn ship(&self, link: &Link) {
        let mut attempt = 0;
        loop {
            let next = self.waiting().front().cloned();
            let Some(report) = next else {
                self.0.added.notified().await;
                continue;
            };
            let sent = match fitting(report.clone()) {
                Ok(packed) => link.report(&packed).await,
                Err(error) => Err(error),
            };
            match sent {
                Err(LinkError::Refused(why)) => tracing::error!(why, "the server will never take this report; it is given up"),
                Err(_) => {
                    link.pause(attempt).await;
                    attempt += 1;
                    continue;
                }
                Ok(()) => {}
            }
            attempt = 0;
            let mut waiting = self.waiting();
            waiting.retain(|r| r.id != report.id);
            self.keep(&waiting);
        }
    }

    /// Waits until all have been sent, or this long.
    pub(super) async fn drained(&self, patience: Duration) {
        let began = std::time::Instant::now();
        while !self.waiting().is_empty() && began.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

// The report, cut down to what a report may come to.
fn fitting(mut report: Report) -> Result<Packed, LinkError> {
    let whole = packed(&report)?;
    if whole.bytes.len() <= MOST {
        return Ok(whole);
    }
    report.truncated = true;
    for state in &mut report.states {
        state.note = state.note.chars().take(80).collect();
        state.diff.clear();
    }
    loop {
        let shorter = packed(&report)?;
        if shorter.bytes.len() <= MOST || report.states.is_empty() {
            return Ok(shorter);
        }
        // The failures are what people look for; they come last.
        let half = report.states.len().div_ceil(2);
        report.states.drain(..half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::agent::StateReport;

    #[test]
    fn a_huge_report_is_cut_and_says_so_and_keeps_its_end() {
        let state = |n: u32| StateReport {
            id: format!("state/{n}/{:064x}", rand::random::<u128>()),
            outcome: "changed".to_owned(),
            note: (0..500).map(|_| rand::random_range('!'..'~')).collect(),
            took_ms: 1,
            drift: "corrective".to_owned(),
            diff: "-a\n+b\n".to_owned(),
        };
        let report = Report {
            id: "r".to_owned(),
            configuration: "c".to_owned(),
            outcome: ReportOutcome::Failed,
            states: (0..20_000).map(state).collect(),
            unchanged: 0,
            services: Vec::new(),
            fault: None,
            took_ms: 1,
            truncated: false,
            note: String::new(),
        };
        assert!(serde_json::to_vec(&report).unwrap().len() > 10_000_000);
        let sent = fitting(report).unwrap();
        assert!(sent.bytes.len() <= MOST);
        let plain = std::io::read_to_string(flate2::read::GzDecoder::new(sent.bytes.as_slice())).unwrap();
        let told: Report = serde_json::from_str(&plain).unwrap();
        assert!(told.truncated && told.states.last().unwrap().id.starts_with("state/19999/"));
    }
}
