//! The worker: claims whatever run is due and drives each in a task of its own. It must not know what a run does. Invariant:
//! whatever happens to one driver, the others and the claiming go on.

use super::driver::{Driver, Over};
use super::kind::StepKinds;
use crate::store::runs::claim::{Claim, Lease};
use crate::store::{Change, Store};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

// How long a run rests after the engine itself made a mistake with it.
const AFTER_MISTAKE_MS: i64 = 10_000;

/// A point where a crash would matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrashPoint {
    /// `before_intent`, `after_intent`, `after_effect` about a step; `before_commit`, `after_commit` about what is stored;
    /// `before_renewal`.
    pub place: &'static str,
    /// The step's key, after `undo:` while it is undone; or the names of the events that are stored.
    pub step: String,
}

/// Is waited for at every [`CrashPoint`]. It may end the process; a test that never lets it go on has killed the task there.
pub type CrashHook = Arc<dyn Fn(&CrashPoint) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// How the engine works.
#[derive(Clone)]
pub struct EngineOptions {
    /// Names this process among the holders of leases; never reused.
    pub boot_id: String,
    /// How long a lease lasts without renewal. It is renewed after three tenths of that, and nothing is begun after seven.
    pub lease: Duration,
    /// How often everything is looked at without a wake-up.
    pub poll: Duration,
    /// How many steps may work at the same time.
    pub steps: usize,
    /// How long a step that is told to stop may take to do so.
    pub grace: Duration,
    /// Only tests and drills give one.
    pub crash: Option<CrashHook>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            boot_id: format!("boot_{}", uuid::Uuid::now_v7().simple()),
            lease: Duration::from_secs(10),
            poll: Duration::from_secs(1),
            steps: 128,
            grace: Duration::from_secs(5),
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

impl EngineOptions {
    pub(super) async fn reach(&self, place: &'static str, step: impl FnOnce() -> String) {
        if let Some(hook) = &self.crash {
            hook(&CrashPoint { place, step: step() }).await;
        }
    }

    pub(super) fn lease_ms(&self) -> i64 {
        i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Carries out the runs of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(super) store: Store,
    pub(super) kinds: StepKinds,
    pub(super) options: Arc<EngineOptions>,
    pub(super) permits: Arc<Semaphore>,
}

impl Engine {
    /// An engine over this store for plans of these kinds.
    pub fn new(store: Store, kinds: StepKinds, options: EngineOptions) -> Self {
        let permits = Arc::new(Semaphore::new(options.steps.max(1)));
        Self {
            store,
            kinds,
            options: Arc::new(options),
            permits,
        }
    }

    /// Claims runs and drives them until cancelled. Then nothing new begins, what is under way is told to stop or, where it
    /// could not simply be repeated, given time to end, and the runs are given back for whoever starts next.
    ///
    /// Aborting the task is what a crash is to it: nothing of it goes on, and nothing is tidied up.
    pub fn start(&self, cancel: CancellationToken) -> JoinHandle<()> {
        let engine = self.clone();
        tokio::spawn(async move { engine.work(cancel).await })
    }

    async fn work(&self, cancel: CancellationToken) {
        // Whoever holds an SQLite database proves by its lock that earlier holders are dead.
        let mut alone = self.store.backend_name() == "sqlite";
        let mut changes = self.store.changes();
        let mut drivers = Drivers::default();
        loop {
            if alone {
                match self.store.end_other_leases(&self.options.boot_id).await {
                    Ok(_) => alone = false,
                    Err(error) => tracing::warn!(%error, "the leases of earlier servers could not be ended yet"),
                }
            }
            self.claim_due(&mut drivers, &cancel).await;
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(ended) = drivers.tasks.join_next_with_id(), if !drivers.tasks.is_empty() => self.note(&mut drivers, ended).await,
                () = woken(&mut changes) => {}
                () = tokio::time::sleep(self.options.poll) => {}
            }
        }
        while let Some(ended) = drivers.tasks.join_next_with_id().await {
            self.note(&mut drivers, ended).await;
        }
    }

    async fn claim_due(&self, drivers: &mut Drivers, cancel: &CancellationToken) {
        loop {
            match self.store.claim_run(&self.options.boot_id, self.options.lease_ms()).await {
                Ok(Some(claim)) => drivers.spawn(self, claim, cancel),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "runs could not be looked for");
                    return;
                }
            }
        }
    }

    // A driver ended. Where it could not do its work, its run is left alone for a moment and then tried again.
    async fn note(&self, drivers: &mut Drivers, ended: Result<(Id, Over), JoinError>) {
        let (id, over) = match ended {
            Ok((id, over)) => (id, over),
            Err(error) => (error.id(), Over::Mistaken(error.to_string())),
        };
        let Some(lease) = drivers.leases.remove(&id) else { return };
        match over {
            Over::Done => {}
            Over::Lost => tracing::warn!(run = %lease.run, "the run's lease was lost; whoever has it now goes on"),
            Over::Mistaken(why) => {
                tracing::error!(run = %lease.run, why, "the run could not be driven; it is tried again in a moment");
                if let Err(error) = self.store.give_back(&lease, AFTER_MISTAKE_MS).await {
                    tracing::warn!(run = %lease.run, %error, "the run could not be given back; its lease will end");
                }
            }
        }
    }
}

#[derive(Default)]
struct Drivers {
    tasks: JoinSet<Over>,
    leases: HashMap<Id, Lease>,
}

impl Drivers {
    fn spawn(&mut self, engine: &Engine, claim: Claim, cancel: &CancellationToken) {
        let lease = claim.lease.clone();
        let driver = Driver::new(engine.clone(), claim);
        let handle = self.tasks.spawn(driver.drive(cancel.clone()));
        self.leases.insert(handle.id(), lease);
    }
}

// Until some run may be due; what else happened meanwhile is the same wake-up.
async fn woken(changes: &mut Receiver<Change>) {
    let concerns = |change: &Change| change.topics.iter().any(|topic| topic == "runs" || topic == "*");
    loop {
        match changes.recv().await {
            Ok(change) if concerns(&change) => break,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => break,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
    while changes.try_recv().is_ok() {}
}
