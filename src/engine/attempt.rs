//! One attempt: a step kind at work, within its time limit, stopped when told to, whatever it does. It must not know the
//! database but for the step's log. Invariant: it ends in exactly one event.

use super::core::{Direction, Event, Found, Op, Outcome};
use super::kind::{LogSink, Probe, StepContext, StepError, StepKind};
use super::worker::EngineOptions;
use crate::model::fault::Fault;
use crate::model::id::RunId;
use crate::model::secret;
use crate::model::time::show_length;
use crate::store::Store;
use crate::store::runs::claim::Lease;
use async_trait::async_trait;
use serde_json::Value;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

// Asking the world is a look, not work.
const PROBE_LIMIT: Duration = Duration::from_secs(30);

/// What names an attempt to effectors: the same across a crash of it, another for every other attempt.
pub fn op_id(run: &RunId, step: &str, direction: Direction, attempt: u32) -> String {
    let whole = secret::hash(&format!("{run}/{step}/{}/{attempt}", direction.as_str()));
    format!("op_{}", &whole[..32])
}

/// An attempt to be carried out.
pub(super) struct Attempt {
    pub(super) op: Op,
    pub(super) probe: bool,
    pub(super) kind: Arc<dyn StepKind>,
    pub(super) context: StepContext,
    pub(super) limit: Duration,
    pub(super) options: Arc<EngineOptions>,
    pub(super) permits: Arc<Semaphore>,
}

impl Attempt {
    pub(super) async fn carry_out(self) -> Event {
        if self.probe {
            return self.ask().await;
        }
        let what = || point_name(self.op.direction, &self.context.step);
        self.options.reach("after_intent", what).await;
        let outcome = self.work().await;
        self.options.reach("after_effect", what).await;
        Event::Settled { op: self.op, outcome }
    }

    async fn work(&self) -> Outcome {
        let token = &self.context.cancel;
        let permit = tokio::select! {
            permit = self.permits.acquire() => permit,
            () = token.cancelled() => return Outcome::Stopped,
        };
        let work = async {
            match self.op.direction {
                Direction::Do => self.kind.apply(&self.context).await,
                Direction::Undo => self.kind.undo(&self.context).await.map(|()| Value::Null),
            }
        };
        tokio::pin!(work);
        let outcome = tokio::select! {
            result = &mut work => outcome(result),
            () = tokio::time::sleep(self.limit) => {
                token.cancel();
                // It may have ended in the last moment, and then that counts; whatever else it says, time was up.
                match tokio::time::timeout(self.options.grace, &mut work).await {
                    Ok(Ok(outputs)) => Outcome::Done { outputs },
                    Ok(Err(StepError::Failed(fault) | StepError::Final(fault) | StepError::InDoubt(fault))) => {
                        Outcome::Unclear { fault: self.timed_out().why(fault) }
                    }
                    Ok(Err(StepError::Stopped)) | Err(_) => Outcome::Unclear { fault: self.timed_out() },
                }
            }
            () = token.cancelled() => {
                tokio::time::timeout(self.options.grace, &mut work).await.map_or(Outcome::Stopped, outcome)
            }
        };
        drop(permit);
        outcome
    }

    fn timed_out(&self) -> Fault {
        let limit = show_length(i64::try_from(self.limit.as_millis()).unwrap_or(i64::MAX));
        Fault::new(
            "timed-out",
            format!("Step `{}` did not end within {limit}", self.context.step),
        )
    }

    async fn ask(&self) -> Event {
        let found = match tokio::time::timeout(PROBE_LIMIT, self.kind.probe(&self.context)).await {
            Ok(Ok(Probe::Applied(outputs))) => Found::Applied { outputs },
            Ok(Ok(Probe::NotApplied)) => Found::NotApplied,
            Ok(Ok(Probe::Unknown)) => Found::Unknown,
            Ok(Err(fault)) => Found::Unavailable { fault },
            Err(_) => Found::Unavailable {
                fault: Fault::new("timed-out", "The world did not say whether the step took effect"),
            },
        };
        Event::Probed {
            step: self.op.step,
            found,
        }
    }
}

/// A step at a crash point.
pub(super) fn point_name(direction: Direction, step: &str) -> String {
    match direction {
        Direction::Do => step.to_owned(),
        Direction::Undo => format!("undo:{step}"),
    }
}

fn outcome(result: Result<Value, StepError>) -> Outcome {
    match result {
        Ok(outputs) => Outcome::Done { outputs },
        Err(StepError::Failed(fault)) => Outcome::Failed { fault },
        Err(StepError::Final(fault)) => Outcome::Final { fault },
        Err(StepError::InDoubt(fault)) => Outcome::Unclear { fault },
        Err(StepError::Stopped) => Outcome::Stopped,
    }
}

/// The event of an attempt whose task panicked: it says nothing of what was done by then.
pub(super) fn broken(op: Op, probe: bool, step: &str, panic: &(dyn Any + Send)) -> Event {
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
    let fault = Fault::new("internal", format!("Step `{step}` broke")).why(said.unwrap_or_else(|| "it panicked".into()));
    if probe {
        Event::Probed {
            step: op.step,
            found: Found::Unavailable { fault },
        }
    } else {
        Event::Settled {
            op,
            outcome: Outcome::Unclear { fault },
        }
    }
}

/// A step's log in the store.
pub(super) struct StoredLog {
    pub(super) store: Store,
    pub(super) lease: Lease,
    pub(super) step: String,
}

#[async_trait]
impl LogSink for StoredLog {
    async fn append(&self, text: &str) {
        if let Err(error) = self.store.append_step_log(&self.lease, &self.step, text).await {
            tracing::warn!(run = %self.lease.run, step = self.step, %error, "a log line could not be stored");
        }
    }
}
