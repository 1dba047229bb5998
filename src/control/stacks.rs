//! Stacks: plan, launch, look, extend, update, retry, destroy.

use super::{Control, Result};
use crate::model::actor::Actor;
use crate::model::stack::Size;
use crate::wire::Page;
use crate::wire::runs::LogPage;
use crate::wire::stacks::{Accepted, ExtendRequest, LaunchRequest, PlanView, StackView, UpdateRequest};

/// Which stacks to list.
#[derive(Debug, Clone, Default)]
pub struct StackFilter {
    /// Only the asker's.
    pub mine: bool,
    /// Also destroyed and failed-and-destroyed ones.
    pub ended: bool,
    /// Text in name, owner or app.
    pub text: Option<String>,
    /// From an earlier page's `next`.
    pub cursor: Option<String>,
    /// At most this many, 1 to 200.
    pub limit: i64,
}

/// What the launch form offers besides apps.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// Providers: name, isolation for people.
    pub providers: Vec<(String, String)>,
    /// Sizes.
    pub sizes: Vec<Size>,
    /// Default lease, such as `8h`.
    pub lease_default: String,
    /// Longest lease, such as `14d`.
    pub lease_maximum: String,
}

impl Control {
    /// What the launch form offers besides apps.
    pub fn launch_options(&self) -> LaunchOptions {
        unimplemented!()
    }

    /// What a launch would do: apps at commits, steps, states, usual time. Changes nothing.
    ///
    /// # Errors
    /// `invalid-request` with fields, `revision-not-found`, `repository-unreachable`, `recipe-invalid`, `lease-too-long`, ...
    pub async fn plan_stack(&self, _actor: &Actor, _request: &LaunchRequest) -> Result<PlanView> {
        unimplemented!()
    }

    /// Launches a stack: stores it with its plan and starts the run.
    ///
    /// # Errors
    /// As [`Self::plan_stack`]; `not-allowed` below member; `conflict` where the name is taken.
    pub async fn launch_stack(&self, _actor: &Actor, _request: &LaunchRequest) -> Result<Accepted> {
        unimplemented!()
    }

    /// Stacks, newest first.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_stacks(&self, _actor: &Actor, _filter: &StackFilter) -> Result<Page<StackView>> {
        unimplemented!()
    }

    /// One stack, by id or by the name it has or last had.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_stack(&self, _actor: &Actor, _id_or_name: &str) -> Result<StackView> {
        unimplemented!()
    }

    /// Gives a stack more time.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`, `lease-too-long`, `invalid-request`.
    pub async fn extend_stack(&self, _actor: &Actor, _id_or_name: &str, _request: &ExtendRequest) -> Result<StackView> {
        unimplemented!()
    }

    /// Brings some apps of a stack to other revisions.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`, `revision-not-found`, ...
    pub async fn update_stack(&self, _actor: &Actor, _id_or_name: &str, _request: &UpdateRequest) -> Result<Accepted> {
        unimplemented!()
    }

    /// Launches a failed stack again as it was asked for, or updates a tainted one again.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`.
    pub async fn retry_stack(&self, _actor: &Actor, _id_or_name: &str) -> Result<Accepted> {
        unimplemented!()
    }

    /// Destroys a stack, whatever state it is in; a launch or update under way is cancelled. Asking twice is asking once.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`.
    pub async fn destroy_stack(&self, _actor: &Actor, _id_or_name: &str) -> Result<Accepted> {
        unimplemented!()
    }

    /// What a service of a stack says, after a place in it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn service_log(&self, _actor: &Actor, _id_or_name: &str, _service: &str, _after: i64) -> Result<LogPage> {
        unimplemented!()
    }
}
