//! Stacks: plan, launch, look, change, destroy.

use super::{Client, Result, wait_seconds};
use crate::wire::runs::LogPage;
use crate::wire::stacks::{Accepted, ExtendRequest, LaunchRequest, PlanView, StackView, UpdateRequest};
use reqwest::Method;

impl Client {
    /// What a launch would do.
    ///
    /// # Errors
    /// The server's problem; `invalid-request` with fields.
    pub async fn plan_stack(&self, request: &LaunchRequest) -> Result<PlanView> {
        self.json(self.ask(Method::POST, &["stacks", "plan"]).json(request)).await
    }

    /// Launches a stack.
    ///
    /// # Errors
    /// As [`Self::plan_stack`].
    pub async fn launch_stack(&self, request: &LaunchRequest) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks"]).json(request)).await
    }

    /// Stacks, newest first.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_stacks(&self, mine: bool, ended: bool, text: Option<&str>, limit: usize) -> Result<Vec<StackView>> {
        let flag = |value: bool| if value { "true" } else { "false" };
        let mut query = vec![("mine", flag(mine)), ("ended", flag(ended))];
        query.extend(text.map(|text| ("text", text)));
        self.list(&["stacks"], &query, limit).await
    }

    /// One stack, by id or name.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_stack(&self, stack: &str) -> Result<StackView> {
        self.get(&["stacks", stack]).await
    }

    /// Gives a stack more time.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn extend_stack(&self, stack: &str, request: &ExtendRequest) -> Result<StackView> {
        self.json(self.ask(Method::POST, &["stacks", stack, "extend"]).json(request))
            .await
    }

    /// Brings apps of a stack to other revisions.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn update_stack(&self, stack: &str, request: &UpdateRequest) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks", stack, "update"]).json(request))
            .await
    }

    /// Tries a failed launch or update again.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn retry_stack(&self, stack: &str) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks", stack, "retry"])).await
    }

    /// Puts a stack to sleep.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn stop_stack(&self, stack: &str) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks", stack, "stop"])).await
    }

    /// Wakes a stack.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn start_stack(&self, stack: &str) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks", stack, "start"])).await
    }

    /// Makes a new server for a stack.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn rebuild_stack(&self, stack: &str) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks", stack, "rebuild"])).await
    }

    /// Destroys a stack.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn destroy_stack(&self, stack: &str) -> Result<Accepted> {
        self.json(self.ask(Method::DELETE, &["stacks", stack])).await
    }

    /// What a service of a stack said after a place; waits a while for more where asked to.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn service_log(&self, stack: &str, service: &str, after: i64, wait: bool) -> Result<LogPage> {
        let request = self.ask(Method::GET, &["stacks", stack, "services", service, "log"]);
        self.json(request.query(&[("after", after), ("wait", wait_seconds(wait))]))
            .await
    }
}
