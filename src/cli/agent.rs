//! `greenroom agent`: what a node runs. A provider or a unit file starts it; people start it to converge once.

use super::output::Output;
use super::{Result, ended};
use crate::agent::{self, AgentArgs, AgentOptions, AgentTask, Echo, Installed, Outcome, Renewal, Status};
use crate::model::fault::Fault;
use crate::wire::agent::ReportOutcome;
use crate::wire::problem::Problem;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Runs the agent until it is told to end; its services run on.
///
/// # Errors
/// Where its folder cannot be used, or another run holds it.
pub async fn run(args: AgentArgs, output: Output) -> Result {
    if let Some(task) = &args.task {
        return look_after(&args, task, output).await;
    }
    let log = std::env::var("GREENROOM_LOG").unwrap_or_else(|_| if args.offline || args.plan { "warn" } else { "info" }.into());
    crate::telemetry::start(&log, false);
    let mut options = AgentOptions::from(args);
    let cancel = CancellationToken::new();
    let told = cancel.clone();
    let begins_anew = options.hears_hangups();
    tokio::spawn(async move {
        ended(!begins_anew).await;
        told.cancel();
    });
    if (options.offline || options.plan) && !output.is_json() {
        options.echo = Some(Echo::new(move |line| output.line(line)));
    }
    let once = options.once || options.plan;
    let refuse = |fault: Fault| Box::new(Problem::from(fault));
    let outcome = agent::run(options, cancel).await.map_err(refuse)?;
    if let Some(renewal) = &outcome.renewal {
        return Err(become_program(renewal));
    }
    if !once {
        return Ok(ExitCode::SUCCESS);
    }
    Ok(conclude(outcome, output))
}

// Gives why that is not possible, or nothing, ever: this process is then the other program.
fn become_program(renewal: &Renewal) -> Box<Problem> {
    let mut command = std::process::Command::new(&renewal.program);
    command.args(std::env::args_os().skip(1)).env_remove(agent::AGENT);
    if let Some(below) = renewal.agent {
        command.env(agent::AGENT, below.to_string());
    }
    let error = command.exec();
    let what = format!("The agent cannot go over to {}", renewal.program.display());
    Box::new(Fault::new("internal", what).why(error).into())
}

async fn look_after(args: &AgentArgs, task: &AgentTask, output: Output) -> Result {
    let refuse = |fault: Fault| Box::new(Problem::from(fault));
    match task {
        AgentTask::Disable { reason, until } => {
            let disabled = agent::disable(&args.folder, reason, *until).map_err(refuse)?;
            let end = until.map_or_else(|| "until it is enabled".to_owned(), |until| format!("until {until}"));
            output.result(&disabled, || format!("The agent changes nothing {end}: {reason}"));
        }
        AgentTask::Enable => {
            let was = agent::enable(&args.folder).map_err(refuse)?;
            let said = if was {
                "The agent acts again"
            } else {
                "The agent was not disabled"
            };
            output.result(&serde_json::json!({ "was_disabled": was }), || said.to_owned());
        }
        AgentTask::Status => show(&agent::status(&args.folder).map_err(refuse)?, output),
        AgentTask::Unit => output.text(agent::unit_file(args)),
        AgentTask::Install(wanted) => {
            let installed = agent::install(wanted, &args.folder).await.map_err(refuse)?;
            output.result(&installed, || said_of(&installed));
        }
        AgentTask::Uninstall(wanted) => {
            let gone = agent::uninstall(wanted, &args.folder).map_err(refuse)?;
            output.result(&gone, || match gone.removed.as_slice() {
                [] => "The agent was not installed".to_owned(),
                removed => format!("Removed {}", removed.join(", ")),
            });
            if !gone.running.is_empty() {
                output.note(format!("What it had started goes on: {}", gone.running.join(", ")));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn said_of(installed: &Installed) -> String {
    let mut text = match installed.written.as_slice() {
        [] => "All was as it should be".to_owned(),
        written => format!("Wrote {}", written.join(", ")),
    };
    if installed.started {
        text.push_str("\nThe agent runs");
    }
    if let Some(node) = &installed.node {
        text = format!("{text}\nThe node is registered as {node}");
    }
    if let Some(next) = &installed.next {
        text = format!("{text}\n{next}");
    }
    text
}

fn show(status: &Status, output: Output) {
    if output.is_json() {
        return output.json(status);
    }
    let shown = |outcome: Option<ReportOutcome>| match outcome {
        Some(ReportOutcome::Applied) => "applied",
        Some(ReportOutcome::Failed) => "failed",
        _ => "under way, or cut short",
    };
    let last = status.began.map(|began| {
        let changed = match status.changed {
            0 => String::new(),
            count => format!(", {count} changed"),
        };
        format!("{} at {began}{changed}", shown(status.outcome))
    });
    let disabled = status.disabled.as_ref().map(|d| {
        let until = d.until.map(|until| format!(", until {until}")).unwrap_or_default();
        format!("since {}{until}: {}", d.since, d.reason)
    });
    output.fields(&[
        ("agent", status.running.clone().unwrap_or_else(|| "not running".to_owned())),
        ("node", status.node.clone().unwrap_or_else(|| "not registered".to_owned())),
        ("disabled", disabled.unwrap_or_default()),
        ("configuration", status.configuration.clone().unwrap_or_default()),
        ("last run", last.unwrap_or_default()),
        ("fault", status.fault.as_ref().map(ToString::to_string).unwrap_or_default()),
        (
            "unsent",
            if status.unsent > 0 {
                format!("{} reports", status.unsent)
            } else {
                String::new()
            },
        ),
    ]);
}

pub(super) fn conclude(outcome: Outcome, output: Output) -> ExitCode {
    let code = outcome.exit_code();
    if output.is_json() {
        output.json(&outcome);
    } else if let Some(fault) = outcome.fault {
        output.problem(&Problem::from(fault));
    }
    ExitCode::from(code)
}
