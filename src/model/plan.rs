//! A plan: a typed graph of steps, as data. Stored and shown before it starts, pinned once it runs.

use super::fault::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What recovery may do about an effect whose outcome is unknown (DESIGN: the engine's promise).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EffectClass {
    /// Reads only: run again.
    Pure,
    /// Sets an absolute value: run again.
    Convergent,
    /// Carries an operation id that the effector remembers: send again, attach to the result.
    Keyed,
    /// Compare-and-set: probe, then try again from what was expected.
    Guarded,
    /// Cannot be taken back but can be seen: probe, then decide.
    OneWay,
    /// Neither repeatable nor observable: a person decides.
    Raw,
}

/// What happens to the run when a step fails for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Undo what was done, last first (launches).
    Compensate,
    /// Stop and wait for a person (failovers).
    Block,
    /// Go on without it.
    Continue,
}

/// How often a step is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Wait before the second attempt, in milliseconds; doubled for each further one, up to a minute.
    pub backoff_ms: i64,
}

impl Retry {
    /// One attempt only.
    pub const NEVER: Self = Self {
        attempts: 1,
        backoff_ms: 0,
    };
    /// Three attempts, a quarter of a second apart at first.
    pub const BRIEFLY: Self = Self {
        attempts: 3,
        backoff_ms: 250,
    };
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Unique in the plan; letters, digits, `-`, `_`, `.`.
    pub key: String,
    /// The step kind that carries it out.
    pub kind: String,
    /// What it does, for people: "Fetch storefront at v1.1".
    pub title: String,
    /// Keys of the steps that must have succeeded first.
    pub after: Vec<String>,
    /// Typed input of the kind.
    pub input: Value,
    /// Time limit of one attempt, in milliseconds.
    pub timeout_ms: i64,
    /// How often it is tried.
    pub retry: Retry,
    /// What follows its final failure.
    pub on_failure: OnFailure,
    /// Whether it has something to undo when the run is compensated.
    pub undo: bool,
    /// Whether that counts even where it never began, because its effect was stored together with the run.
    #[serde(default)]
    pub undo_always: bool,
    /// Past this step the run only goes forward. A plan of nothing but pivots only goes forward from the start.
    pub pivot: bool,
}

impl StepSpec {
    /// A step with two minutes, three brief attempts, compensation on failure and nothing to undo.
    pub fn new(key: impl Into<String>, kind: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            kind: kind.into(),
            title: title.into(),
            after: Vec::new(),
            input: Value::Null,
            timeout_ms: 120_000,
            retry: Retry::BRIEFLY,
            on_failure: OnFailure::Compensate,
            undo: false,
            undo_always: false,
            pivot: false,
        }
    }

    /// Runs after these steps.
    #[must_use]
    pub fn after<S: Into<String>>(mut self, keys: impl IntoIterator<Item = S>) -> Self {
        self.after.extend(keys.into_iter().map(Into::into));
        self
    }

    /// Sets the input. A value that cannot be JSON becomes null, which the kind then refuses.
    #[must_use]
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.input = serde_json::to_value(input).unwrap_or_default();
        self
    }

    /// Sets the time limit of one attempt, in milliseconds.
    #[must_use]
    pub fn timeout_ms(mut self, millis: i64) -> Self {
        self.timeout_ms = millis;
        self
    }

    /// Sets how often it is tried.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Says that it has something to undo.
    #[must_use]
    pub fn undoable(mut self) -> Self {
        self.undo = true;
        self
    }

    /// Says that it has something to undo even where it never began.
    #[must_use]
    pub fn always_undoable(mut self) -> Self {
        self.undo = true;
        self.undo_always = true;
        self
    }
}

/// A graph of steps for one subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Which plan it is: `launch_stack`, `update_stack`, `destroy_stack`.
    pub kind: String,
    /// What it does, for people: "Launch staging server quiet-otter".
    pub title: String,
    /// The id of the thing it is about; runs of one subject exclude each other.
    pub subject: String,
    /// The steps, in the order people read them.
    pub steps: Vec<StepSpec>,
}

impl Plan {
    /// Checks that keys are unique, that every `after` names a step, and that the graph has no circle.
    ///
    /// # Errors
    /// A fault naming the step at fault.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |what: String| Err(Fault::new("internal", what));
        let mut waits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for step in &self.steps {
            if waits
                .insert(&step.key, step.after.iter().map(String::as_str).collect())
                .is_some()
            {
                return bad(format!("the plan has two steps `{}`", step.key));
            }
        }
        for step in &self.steps {
            if let Some(missing) = step.after.iter().find(|key| !waits.contains_key(key.as_str())) {
                return bad(format!("step `{}` waits for `{missing}`, which is not in the plan", step.key));
            }
        }
        while !waits.is_empty() {
            let free: Vec<&str> = waits
                .iter()
                .filter(|(_, after)| after.is_empty())
                .map(|(key, _)| *key)
                .collect();
            if free.is_empty() {
                let names: Vec<&str> = waits.keys().copied().collect();
                return bad(format!("the plan's steps wait for each other: {}", names.join(", ")));
            }
            for key in &free {
                waits.remove(key);
            }
            for after in waits.values_mut() {
                for key in &free {
                    after.remove(key);
                }
            }
        }
        Ok(())
    }
}
