//! Runs: look, say something to one, read logs, be woken.

use super::{Client, Result, wait_seconds};
use crate::model::run::Signal;
use crate::wire::runs::{LogPage, RunView};
use reqwest::{Method, Response};
use std::time::Duration;

impl Client {
    /// Runs, newest first.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_runs(&self, subject: Option<&str>, limit: usize) -> Result<Vec<RunView>> {
        let query: Vec<(&str, &str)> = subject.map(|subject| ("subject", subject)).into_iter().collect();
        self.list(&["runs"], &query, limit).await
    }

    /// One run with its steps.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_run(&self, run: &str) -> Result<RunView> {
        self.get(&["runs", run]).await
    }

    /// Says something to a run.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn signal_run(&self, run: &str, signal: &Signal) -> Result<RunView> {
        self.json(self.ask(Method::POST, &["runs", run, "signals"]).json(signal))
            .await
    }

    /// What a step logged after a place; waits a while for more where asked to.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn step_log(&self, run: &str, step: &str, after: i64, wait: bool) -> Result<LogPage> {
        let request = self.ask(Method::GET, &["runs", run, "steps", step, "log"]);
        self.json(request.query(&[("after", after), ("wait", wait_seconds(wait))]))
            .await
    }

    /// Wake-ups about these topics.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn events(&self, topics: &str) -> Result<Events> {
        let request = self.ask(Method::GET, &["events"]).query(&[("topics", topics)]);
        // A stream lasts as long as it lasts.
        let answer = self.send(request.timeout(Duration::from_hours(1))).await?;
        Ok(Events(answer))
    }
}

/// A stream of wake-ups. What woke is not said: whoever waits reads again.
#[derive(Debug)]
pub struct Events(Response);

impl Events {
    /// Waits for the next one; false where the stream has ended.
    pub async fn next(&mut self) -> bool {
        matches!(self.0.chunk().await, Ok(Some(_)))
    }
}
