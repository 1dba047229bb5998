//! The doors of stacks: which app is behind an address, who may go through, and when someone last did.
//!
//! A request through the proxy asks no database: what is behind a label and whom a pass stands for are kept in memory. Both
//! are forgotten when the store says that they changed, and looked up again after a few seconds whatever it says.

mod find;
mod passes;
mod sharing;
mod usage;
mod wake;

pub use passes::{ENTER, Entered, GUEST};
pub use usage::{InUse, Usage};

use super::Control;
use crate::model::id::{StackId, UserId};
use crate::model::name::{AppName, StackName};
use crate::model::sharing::{Visibility, Visitor};
use crate::model::stack::StackState;
use crate::model::time::Timestamp;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

// How long something is believed where no wake-up says otherwise.
const BELIEVED_MS: i64 = 5_000;
const FLUSH_EVERY: Duration = Duration::from_mins(1);
// More passes than this are not kept: they are looked up.
const MOST_PASSES: usize = 20_000;

/// What is behind an address.
#[derive(Debug)]
pub struct Door {
    /// The first label of its host name.
    pub label: String,
    /// The stack.
    pub stack: StackId,
    /// Its name.
    pub stack_name: StackName,
    /// Who launched it.
    pub owner: UserId,
    /// Their name.
    pub owner_name: String,
    /// The app.
    pub app: AppName,
    /// What people call it.
    pub title: String,
    /// Whether the port is meant for people.
    pub for_people: bool,
    /// The stack's state.
    pub state: StackState,
    /// Where the app listens, as `host:port`, once it has a node.
    pub upstream: Option<Arc<str>>,
    /// To whom it is open.
    pub visibility: Visibility,
    /// Whom it is shared with.
    pub shared_with: Vec<UserId>,
    /// Notes that it is used.
    pub usage: Arc<Usage>,
    read_at: Timestamp,
}

impl Door {
    /// Whether the app is meant to answer now.
    pub fn serves(&self) -> bool {
        matches!(self.state, StackState::Ready | StackState::Tainted | StackState::Updating)
    }
}

/// What is kept in memory.
#[derive(Debug, Default)]
pub struct Doors {
    by_label: RwLock<HashMap<String, Arc<Door>>>,
    passes: RwLock<HashMap<String, Known>>,
    // Counts what was forgotten, so that nothing that was read before is kept after.
    forgotten: AtomicU64,
    used: Mutex<HashMap<StackId, Arc<Usage>>>,
}

// A pass that was looked up.
#[derive(Debug, Clone)]
struct Known {
    label: String,
    visitor: Arc<Visitor>,
    at: Timestamp,
}

impl Doors {
    fn door(&self, label: &str, now: Timestamp) -> Option<Arc<Door>> {
        let doors = self.by_label.read().unwrap_or_else(PoisonError::into_inner);
        doors.get(label).filter(|door| is_fresh(door.read_at, now)).cloned()
    }

    fn keep_door(&self, door: &Arc<Door>, seen: u64) {
        let mut doors = self.by_label.write().unwrap_or_else(PoisonError::into_inner);
        if self.forgotten.load(Ordering::Acquire) == seen {
            doors.insert(door.label.clone(), Arc::clone(door));
        }
    }

    fn pass(&self, label: &str, secret: &str, now: Timestamp) -> Option<Arc<Visitor>> {
        let passes = self.passes.read().unwrap_or_else(PoisonError::into_inner);
        let known = passes.get(secret)?;
        (known.label == label && is_fresh(known.at, now)).then(|| Arc::clone(&known.visitor))
    }

    fn keep_pass(&self, label: &str, secret: &str, visitor: &Arc<Visitor>, at: Timestamp, seen: u64) {
        let mut passes = self.passes.write().unwrap_or_else(PoisonError::into_inner);
        if passes.len() >= MOST_PASSES {
            passes.retain(|_, known| is_fresh(known.at, at));
        }
        if passes.len() < MOST_PASSES && self.forgotten.load(Ordering::Acquire) == seen {
            let known = Known {
                label: label.to_owned(),
                visitor: Arc::clone(visitor),
                at,
            };
            passes.insert(secret.to_owned(), known);
        }
    }

    fn seen(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Forgets the doors of a stack.
    fn forget_stack(&self, stack: &str) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        let mut doors = self.by_label.write().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|_, door| door.stack.as_str() != stack);
    }

    fn forget_passes(&self) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.passes.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn forget_all(&self) {
        self.forget_passes();
        self.by_label.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    // Nodes are named by the stack's row: what becomes of one is told under its own topic.
    fn hear(&self, topics: &[String]) {
        for topic in topics {
            if let Some(stack) = topic.strip_prefix("stack:") {
                self.forget_stack(stack);
            } else if matches!(topic.as_str(), "sessions" | "users" | "sharing") {
                self.forget_passes();
            } else if topic == "*" {
                self.forget_all();
            }
        }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<StackId, Arc<Usage>>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    (0..BELIEVED_MS).contains(&now.since(at))
}

impl Control {
    /// Keeps what is known of doors true, and writes down when they were used, until told to stop.
    pub async fn keep_doors(&self, cancel: CancellationToken) {
        let mut changes = self.store.changes();
        let mut flush = tokio::time::interval(FLUSH_EVERY);
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                change = changes.recv() => match change {
                    Ok(change) => self.doors.hear(&change.topics),
                    Err(RecvError::Lagged(_)) => self.doors.forget_all(),
                    Err(RecvError::Closed) => break,
                },
                _ = flush.tick() => self.note_use().await,
            }
        }
        self.note_use().await;
    }

    async fn note_use(&self) {
        if let Err(error) = self.flush_usage().await {
            tracing::warn!(%error, "when stacks were used could not be written down");
        }
    }
}
