//! Which state type can be made into which target, and why not.

use super::Target;
use crate::model::configuration::{DatabaseEngine, StateBody};

/// Whether a state can be made into a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It can.
    Yes,
    /// It can, with a difference that people should know.
    Partly(&'static str),
    /// It cannot, and why.
    No(&'static str),
}

/// Whether this state can be made into that target.
pub const fn support(body: &StateBody, target: Target) -> Support {
    if matches!(target, Target::Agent) {
        return Support::Yes;
    }
    match (body, target) {
        (StateBody::Service { .. }, Target::Image) => Support::Partly("it is enabled, and starts when the image is booted"),
        (StateBody::Service { .. }, _) => Support::Partly("it becomes a unit of systemd"),
        (
            StateBody::Database {
                engine: DatabaseEngine::Postgres { .. },
                ..
            },
            _,
        ) => Support::No("it needs the server that makes databases and the agent that loads them"),
        (StateBody::Database { .. }, Target::Image) => Support::No("data does not belong into an image"),
        _ => Support::Yes,
    }
}
