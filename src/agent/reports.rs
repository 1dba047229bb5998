//! Reports on their way to the server. Progress may be overtaken by newer progress; results are kept on disk until the server
//! has them, and go in order.

use super::folder::Folder;
use super::link::{Link, LinkError};
use crate::wire::agent::{Report, ReportOutcome};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

const NAME: &str = "reports";
// Results that nobody could be told of for so long have been overtaken many times.
const KEPT: usize = 20;

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
            match link.report(&report).await {
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
