//! `greenroom agent`: what a node runs. A provider or a unit file starts it; people start it to converge once.

use super::output::Output;
use super::{Result, interrupted};
use crate::agent::{self, AgentArgs, AgentOptions, Echo, Outcome};
use crate::model::fault::Fault;
use crate::wire::problem::Problem;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Runs the agent until it is told to end; its services run on.
///
/// # Errors
/// Where its folder cannot be used, or another run holds it.
pub async fn run(args: AgentArgs, output: Output) -> Result {
    let log = std::env::var("GREENROOM_LOG").unwrap_or_else(|_| if args.offline { "warn" } else { "info" }.into());
    crate::telemetry::start(&log, false);
    let cancel = CancellationToken::new();
    let told = cancel.clone();
    tokio::spawn(async move {
        interrupted().await;
        told.cancel();
    });
    let mut options = AgentOptions::from(args);
    if options.offline && !output.is_json() {
        options.echo = Some(Echo::new(move |line| output.line(line)));
    }
    let once = options.once;
    let refuse = |fault: Fault| Box::new(Problem::from(fault));
    let outcome = agent::run(options, cancel).await.map_err(refuse)?;
    if !once {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(conclude(outcome, output))
}

fn conclude(outcome: Outcome, output: Output) -> ExitCode {
    let code = outcome.exit_code();
    if output.is_json() {
        output.json(&outcome);
    } else if let Some(fault) = outcome.fault {
        output.problem(&Problem::from(fault));
    }
    ExitCode::from(code)
}
