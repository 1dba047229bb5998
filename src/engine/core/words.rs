//! What a run is told and what it answers: attempts and their outcomes, events, commands. Values only.

use crate::model::fault::Fault;
use crate::model::plan::EffectClass;
use crate::model::run::Signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether an attempt does or undoes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Going forward.
    Do,
    /// Taking back.
    Undo,
}

impl Direction {
    /// Its name in rows and operation ids.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}

/// One attempt, by its place: what an operation id is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Op {
    /// Index of the step in the plan.
    pub step: usize,
    /// Do or undo.
    pub direction: Direction,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It took effect.
    Done {
        /// Its outputs.
        outputs: Value,
    },
    /// It failed and left no effect.
    Failed {
        /// Why.
        fault: Fault,
    },
    /// It failed, and another try is pointless.
    Final {
        /// Why.
        fault: Fault,
    },
    /// It may or may not have taken effect: said so itself, ran out of time, or broke.
    Unclear {
        /// What is known.
        fault: Fault,
    },
    /// It was told to stop and did.
    Stopped,
}

/// What the world said about an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Found {
    /// It took effect.
    Applied {
        /// Its outputs.
        outputs: Value,
    },
    /// It did not.
    NotApplied,
    /// It cannot be told.
    Unknown,
    /// The world cannot be asked now.
    Unavailable {
        /// Why.
        fault: Fault,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A worker took the run over; nothing that an earlier one began is under way any more.
    Claimed {
        /// The worker.
        boot_id: String,
        /// Term of its lease.
        term: i64,
        /// Epoch of its lease.
        epoch: i64,
        /// The kinds that this worker knows, with their classes.
        classes: BTreeMap<String, EffectClass>,
        /// Whether nothing new may begin yet, because people have said something.
        hold: bool,
    },
    /// The worker is about to stop, or has to hear people out first; or no longer.
    Held {
        /// Whether nothing new may begin.
        on: bool,
    },
    /// An attempt ended.
    Settled {
        /// Which.
        op: Op,
        /// As what.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// The world was asked about the open or doubtful attempt of a step.
    Probed {
        /// Which step.
        step: usize,
        /// The answer.
        #[serde(flatten)]
        found: Found,
    },
    /// Time went by.
    Woken,
    /// A person said something.
    Signalled {
        /// Who.
        actor: String,
        /// What.
        signal: Signal,
    },
}

impl Event {
    /// Its name in the journal.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::Held { .. } => "held",
            Self::Settled { .. } => "settled",
            Self::Probed { .. } => "probed",
            Self::Woken => "woken",
            Self::Signalled { .. } => "signalled",
        }
    }

    /// The step it is about.
    pub const fn step(&self) -> Option<usize> {
        match self {
            Self::Settled { op, .. } => Some(op.step),
            Self::Probed { step, .. } => Some(*step),
            _ => None,
        }
    }
}

/// What to do now. The new state, with an intent for each `Begin` and an outcome for each `Settle`, is stored first.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A new attempt: store its intent, then carry it out.
    Begin(Op),
    /// An attempt whose intent is stored: carry it out under the same operation id.
    Resume(Op),
    /// Ask the world about this attempt.
    Probe(Op),
    /// Tell the attempt under way of this step to stop.
    Stop(usize),
    /// Store what became of an attempt.
    Settle {
        /// Which.
        op: Op,
        /// `done`, `failed`, `unclear`, `in_doubt`, `stopped`, `not_applied` or `by_hand`.
        outcome: &'static str,
    },
}
