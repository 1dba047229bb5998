//! Runs: look, cancel, retry, skip; read logs.

use super::{Control, Result};
use crate::model::actor::Actor;
use crate::model::run::Signal;
use crate::wire::Page;
use crate::wire::runs::{LogPage, RunView};

impl Control {
    /// One run with its steps.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_run(&self, _actor: &Actor, _id: &str) -> Result<RunView> {
        unimplemented!()
    }

    /// Runs, newest first; those about one thing where `subject`.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_runs(
        &self,
        _actor: &Actor,
        _subject: Option<&str>,
        _cursor: Option<&str>,
        _limit: i64,
    ) -> Result<Page<RunView>> {
        unimplemented!()
    }

    /// Says something to a run. `request_id` makes a second identical call the same one.
    ///
    /// # Errors
    /// `not-found`; `conflict` where the run is in no state for it; `not-allowed` for other people's stacks below operator.
    pub async fn signal_run(&self, _actor: &Actor, _id: &str, _signal: Signal, _request_id: Option<&str>) -> Result<RunView> {
        unimplemented!()
    }

    /// The log of one step after a place in it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn step_log(&self, _actor: &Actor, _run: &str, _step: &str, _after: i64) -> Result<LogPage> {
        unimplemented!()
    }
}
