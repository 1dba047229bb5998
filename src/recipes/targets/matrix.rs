//! Which state type can be made into which target, and why not.

use super::Target;
use crate::model::configuration::{DatabaseEngine, State, StateBody};

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
        (
            StateBody::Package { .. }
            | StateBody::File { .. }
            | StateBody::Directory { .. }
            | StateBody::Git { .. }
            | StateBody::Execute { .. }
            | StateBody::Database { .. },
            _,
        ) => Support::Yes,
        _ => Support::No(AGENT),
    }
}

const AGENT: &str = "only the agent makes it true so far";

/// What of a state, besides its type, keeps it from being made into a target; the agent takes everything.
pub fn unsupported(state: &State, target: Target) -> Option<&'static str> {
    if target == Target::Agent {
        return None;
    }
    let guards = &state.guards;
    let by_body = match &state.body {
        StateBody::Package {
            install: Some(install), ..
        } => {
            let plain = install.state == "installed" && install.version.is_none() && !install.hold && install.also.is_empty();
            (!plain).then_some("more than that one package is installed")
        }
        StateBody::File {
            owner, group, validate, ..
        } => (owner.is_some() || group.is_some() || !validate.is_empty()).then_some("`owner`, `group` and `validate`"),
        StateBody::Directory { owner, group, .. } => (owner.is_some() || group.is_some()).then_some("`owner` and `group`"),
        StateBody::Git { user, .. } | StateBody::Service { user, .. } => user.is_some().then_some("`user`"),
        StateBody::Execute {
            user,
            exit_codes,
            refresh_only,
            ..
        } => (user.is_some() || !exit_codes.is_empty() || *refresh_only).then_some("`user`, `exit_codes` and `refresh_only`"),
        _ => None,
    };
    by_body
        .or((!state.notify.is_empty()).then_some("`notify`"))
        .or(state.report_only.then_some("`report_only`"))
        .or(
            (guards.removes.is_some() || guards.file_exists.is_some() || guards.port_open.is_some())
                .then_some("`removes`, `file_exists` and `port_open`"),
        )
}
