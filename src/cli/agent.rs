//! `greenroom agent`: what a node runs. A provider starts it; people rarely do.

use super::{Result, interrupted};
use crate::agent::{self, AgentArgs, AgentOptions};
use crate::model::fault::Fault;
use crate::wire::problem::Problem;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Runs the agent until it is told to end; its services run on.
///
/// # Errors
/// Where its folder cannot be used, and, with `--once`, why the convergence failed.
pub async fn run(args: AgentArgs) -> Result {
    let log = std::env::var("GREENROOM_LOG").unwrap_or_else(|_| "info".into());
    crate::telemetry::start(&log, false);
    let cancel = CancellationToken::new();
    let told = cancel.clone();
    tokio::spawn(async move {
        interrupted().await;
        told.cancel();
    });
    let refuse = |fault: Fault| Box::new(Problem::from(fault));
    agent::run(AgentOptions::from(args), cancel).await.map_err(refuse)?;
    Ok(ExitCode::SUCCESS)
}
