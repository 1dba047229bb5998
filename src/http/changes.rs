//! Waiting for something to change, for long polls and event streams.
//!
//! A wake-up is a hint that may be lost: whoever waits reads again after each, and every few seconds without one.

use super::state::AppState;
use crate::control::Change;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

// The longest silence before a waiter looks for itself.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Listens from the moment it is made, so that nothing between a read and the wait is missed.
#[derive(Debug)]
pub struct Waiter {
    changes: broadcast::Receiver<Change>,
    shutdown: CancellationToken,
    deadline: Instant,
}

/// Why a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Woken {
    /// These topics changed. `*` where some were missed.
    Changed(Vec<String>),
    /// Nothing was heard for a while: look.
    Look,
    /// The time is up or the server stops.
    Over,
}

impl Waiter {
    /// Listens for at most this long.
    pub fn new(state: &AppState, at_most: Duration) -> Self {
        Self {
            changes: state.control.changes(),
            shutdown: state.shutdown.clone(),
            deadline: Instant::now() + at_most,
        }
    }

    /// Waits until a topic that `wanted` accepts changes, or it is time to look.
    pub async fn next(&mut self, wanted: impl Fn(&str) -> bool) -> Woken {
        let look_at = (Instant::now() + LOOK_EVERY).min(self.deadline);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Woken::Over,
                change = self.changes.recv() => match change {
                    Ok(mut change) => {
                        change.topics.retain(|topic| topic == "*" || wanted(topic));
                        if !change.topics.is_empty() {
                            return Woken::Changed(change.topics);
                        }
                    }
                    Err(RecvError::Lagged(_)) => return Woken::Changed(vec!["*".to_owned()]),
                    Err(RecvError::Closed) => return Woken::Over,
                },
                () = tokio::time::sleep_until(look_at) => {
                    return if look_at == self.deadline { Woken::Over } else { Woken::Look };
                }
            }
        }
    }
}
