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
        (StateBody::DatabaseRestore(_), _) => Support::No("only the agent makes sure that the node may be restored to"),
        (StateBody::DatabaseUser(user), _) if user.password.is_some() => Support::No("its password is fetched by the agent only"),
        (StateBody::ServerDatabase(_) | StateBody::DatabaseUser(_), Target::Image) => {
            Support::No("no database server runs while an image is made")
        }
        (StateBody::WaitFor(wait), Target::Image) if wait.file.is_none() => Support::No("nothing runs while an image is made"),
        (StateBody::HostsEntry(_), Target::Image) => Support::No("the host of a container writes its /etc/hosts"),
        (StateBody::SystemService(_) | StateBody::Timer(_), Target::Image) => {
            Support::Partly("it is enabled, and starts when the image is booted")
        }
        _ => Support::Yes,
    }
}
