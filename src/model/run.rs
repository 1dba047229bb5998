//! Runs and steps: their states and who may follow whom.
//!
//! | run state | meaning | leaves by |
//! |---|---|---|
//! | pending | stored, not yet claimed | claim → running |
//! | running | steps go forward | last step → succeeded; failure → compensating or blocked; cancel → compensating |
//! | blocked | waits for a person | retry → running; abort → compensating |
//! | compensating | undoing, last first | all undone → failed or cancelled; undo fails for good → stuck |
//! | succeeded, failed, cancelled, stuck, abandoned | ended | retry of a stuck clean-up → compensating; abandon a stuck one |

use serde::{Deserialize, Serialize};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every state.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The state's name in JSON and SQL.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text { $($text => Ok(Self::$variant),)* other => Err(format!("{other:?} is not a {}", stringify!($name))) }
            }
        }
    };
}
pub(crate) use states;

states! {
    /// The state of a run.
    RunState {
        /// Stored, not yet claimed.
        Pending = "pending",
        /// Steps go forward.
        Running = "running",
        /// Waits for a person.
        Blocked = "blocked",
        /// Undoing what was done, last first.
        Compensating = "compensating",
        /// Every step succeeded or was skipped.
        Succeeded = "succeeded",
        /// A step failed and everything was undone.
        Failed = "failed",
        /// A person cancelled it and everything was undone.
        Cancelled = "cancelled",
        /// An undo failed for good: something may be left.
        Stuck = "stuck",
        /// A named person gave it up, with a reason.
        Abandoned = "abandoned",
    }
}

impl RunState {
    /// Whether nothing more happens by itself.
    pub const fn is_ended(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Stuck | Self::Abandoned
        )
    }
}

states! {
    /// The state of a step.
    StepState {
        /// Its predecessors have not all succeeded.
        Waiting = "waiting",
        /// May start.
        Ready = "ready",
        /// An attempt is under way: its intent is stored.
        Running = "running",
        /// A failed attempt; the next starts at `wake_at`.
        Backoff = "backoff",
        /// Done.
        Succeeded = "succeeded",
        /// Passed over by a person, with a reason.
        Skipped = "skipped",
        /// Failed for good, with no effect left.
        Failed = "failed",
        /// It is not known whether the last attempt took effect.
        InDoubt = "in_doubt",
        /// Never started, because the run ended before.
        Cancelled = "cancelled",
        /// Its undo is under way.
        Undoing = "undoing",
        /// Its effect is gone.
        Undone = "undone",
        /// Its undo failed for good.
        UndoFailed = "undo_failed",
    }
}

/// What a person can say to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Signal {
    /// Stop and undo.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Try the failed, in-doubt or undo-failed step again.
    Retry {
        /// Only this step; all such steps where absent.
        step: Option<String>,
    },
    /// Go on as if the step had succeeded.
    Skip {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// The step was done by hand.
    Complete {
        /// The step.
        step: String,
        /// What was done.
        reason: String,
    },
    /// Give up a stuck run.
    Abandon {
        /// Why.
        reason: String,
    },
}
