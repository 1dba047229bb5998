//! The worker: looks for runs that nobody drives, claims them, and drives each in a task of its own.

use super::drive::{CrashHook, drive};
use super::kind::StepKinds;
use crate::model::id::RunId;
use crate::store::Store;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const CLAIMS_AT_ONCE: i64 = 64;

/// How the engine works.
#[derive(Clone)]
pub struct EngineOptions {
    /// Names this process among owners of leases; never reused.
    pub boot_id: String,
    /// How long a lease lasts without renewal.
    pub lease: Duration,
    /// How often everything is looked at without a wake-up.
    pub poll: Duration,
    /// Called at every point where a crash would matter; only tests give one.
    pub crash: Option<CrashHook>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            boot_id: format!("boot_{}", uuid::Uuid::now_v7().simple()),
            lease: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            crash: None,
        }
    }
}

impl std::fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineOptions")
            .field("boot_id", &self.boot_id)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Carries out the runs of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) store: Store,
    pub(super) kinds: StepKinds,
    pub(super) options: EngineOptions,
    driven: Arc<Mutex<BTreeSet<RunId>>>,
}

impl Engine {
    /// An engine over this store for plans of these kinds.
    pub fn new(store: Store, kinds: StepKinds, options: EngineOptions) -> Self {
        Self {
            store,
            kinds,
            options,
            driven: Arc::default(),
        }
    }

    /// Drives runs until cancelled. Steps under way are then told to stop and their runs left as they are: whoever starts
    /// next takes them up.
    pub fn start(&self, cancel: CancellationToken) -> JoinHandle<()> {
        let engine = self.clone();
        tokio::spawn(async move {
            let tasks = TaskTracker::new();
            let mut changes = engine.store.changes();
            loop {
                engine.claim(&tasks, &cancel).await;
                let woken = async {
                    loop {
                        match changes.recv().await {
                            Ok(change) if change.topics.iter().any(|t| t == "runs" || t == "*") => return,
                            Ok(_) => {}
                            Err(RecvError::Lagged(_)) => return,
                            Err(RecvError::Closed) => std::future::pending().await,
                        }
                    }
                };
                tokio::select! {
                    () = cancel.cancelled() => break,
                    _ = tokio::time::timeout(engine.options.poll, woken) => {}
                }
            }
            tasks.close();
            tasks.wait().await;
        })
    }

    async fn claim(&self, tasks: &TaskTracker, cancel: &CancellationToken) {
        let found = match self.store.claimable_runs(&self.options.boot_id, CLAIMS_AT_ONCE).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "runs could not be looked for");
                return;
            }
        };
        for run in found {
            if !self.driven.lock().unwrap_or_else(PoisonError::into_inner).insert(run.clone()) {
                continue;
            }
            let engine = self.clone();
            let cancel = cancel.clone();
            tasks.spawn(async move {
                // One unreadable run must not stop the others.
                if let Err(error) = drive(&engine, &run, &cancel).await {
                    tracing::error!(%run, %error, "the run could not be driven; it is tried again");
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = tokio::time::sleep(engine.options.poll) => {}
                    }
                }
                engine.driven.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
                // A run of the same subject may have waited for this one.
                engine.store.wake(crate::store::Change {
                    topics: vec!["runs".to_owned()],
                });
            });
        }
    }
}
