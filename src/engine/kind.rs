//! The seam between the engine and what plans are made of: a step kind.

use crate::model::fault::Fault;
use crate::model::id::RunId;
use crate::model::plan::EffectClass;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What a step kind may know while it works.
#[derive(Debug, Clone)]
pub struct StepContext {
    /// The run.
    pub run: RunId,
    /// What the run is about, such as a stack's id.
    pub subject: String,
    /// The step's key in its plan.
    pub step: String,
    /// The step's input.
    pub input: Value,
    /// Outputs of every step of the run that has succeeded, by key.
    pub outputs: BTreeMap<String, Value>,
    /// Names this attempt to effectors; the same across a crash of the same attempt.
    pub op_id: String,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Term of the run's lease.
    pub term: i64,
    /// Epoch of the run's lease.
    pub epoch: i64,
    /// While undoing: why the run failed. Absent when going forward or where a person cancelled.
    pub cause: Option<Fault>,
    /// The step's log.
    pub log: StepLog,
    /// Fires when the run is cancelled, the lease is lost, or the server stops: return soon.
    pub cancel: CancellationToken,
}

impl StepContext {
    /// The typed input.
    ///
    /// # Errors
    /// A fault where the plan holds something else.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_value(self.input.clone()).map_err(|e| {
            Fault::new(
                "internal",
                format!("step `{}` has an input it does not understand", self.step),
            )
            .why(e)
        })
    }

    /// The typed output of an earlier step.
    ///
    /// # Errors
    /// A fault where there is none or it is something else.
    pub fn output<T: DeserializeOwned>(&self, step: &str) -> Result<T, Fault> {
        let value = self.outputs.get(step).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value)
            .map_err(|e| Fault::new("internal", format!("step `{}` needs the output of `{step}`", self.step)).why(e))
    }
}

/// Where a step writes its log; each call is durable once it returns.
#[derive(Clone)]
pub struct StepLog(pub Arc<dyn LogSink>);

impl std::fmt::Debug for StepLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StepLog")
    }
}

/// Takes log text.
#[async_trait]
pub trait LogSink: Send + Sync {
    /// Appends text (whole lines) to the step's stream. Failing to log never fails the step.
    async fn append(&self, text: &str);
}

impl StepLog {
    /// Appends one line.
    pub async fn line(&self, text: impl AsRef<str> + Send) {
        let mut line = text.as_ref().to_owned();
        line.push('\n');
        self.0.append(&line).await;
    }
}

/// What the world says about an attempt whose outcome is unknown.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// It took effect, with these outputs.
    Applied(Value),
    /// It did not.
    NotApplied,
    /// It cannot be told.
    Unknown,
}

/// Why an attempt did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub enum StepError {
    /// It failed and left no effect. Tried again while attempts are left.
    Failed(Fault),
    /// It failed and trying again is pointless: no such tag, a build that fails.
    Final(Fault),
    /// It may or may not have taken effect: probe before anything else.
    InDoubt(Fault),
    /// It was told to stop and did.
    Stopped,
}

impl From<Fault> for StepError {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// One kind of step.
#[async_trait]
pub trait StepKind: Send + Sync + std::fmt::Debug {
    /// Its name in plans.
    fn name(&self) -> &'static str;

    /// What recovery may do about it.
    fn class(&self) -> EffectClass;

    /// Does it; returns its outputs.
    ///
    /// # Errors
    /// See [`StepError`].
    async fn apply(&self, cx: &StepContext) -> Result<Value, StepError>;

    /// Asks the world whether an attempt took effect. Pure and convergent kinds are simply run again.
    ///
    /// # Errors
    /// Where the world cannot be asked now.
    async fn probe(&self, _cx: &StepContext) -> Result<Probe, Fault> {
        Ok(match self.class() {
            EffectClass::Pure | EffectClass::Convergent | EffectClass::Keyed => Probe::NotApplied,
            EffectClass::Guarded | EffectClass::OneWay | EffectClass::Raw => Probe::Unknown,
        })
    }

    /// Takes it back, whether it had taken effect, half of it, or not at all. Must be repeatable.
    ///
    /// # Errors
    /// See [`StepError`].
    async fn undo(&self, _cx: &StepContext) -> Result<(), StepError> {
        Ok(())
    }

    /// What a run shows while this step works: "Waiting for the agent to apply 14 states".
    fn waits_for(&self, _input: &Value) -> Option<String> {
        None
    }
}

/// The kinds that plans may use, by name.
#[derive(Debug, Clone, Default)]
pub struct StepKinds(BTreeMap<&'static str, Arc<dyn StepKind>>);

impl StepKinds {
    /// These kinds.
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn StepKind>>) -> Self {
        Self(kinds.into_iter().map(|kind| (kind.name(), kind)).collect())
    }

    /// The kind of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn StepKind>> {
        self.0.get(name)
    }
}
