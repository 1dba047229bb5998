//! `greenroom run`: what is being done, and what people can say to it.

use super::connect::Connection;
use super::output::{Output, Table, plain};
use super::{INTERRUPTED, Result, follow, interrupted};
use crate::client::Client;
use crate::model::run::{RunState, Signal};
use crate::model::time::show_length;
use crate::wire::problem::Problem;
use crate::wire::runs::RunView;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Debug, Subcommand)]
enum RunCommand {
    /// Show a run and its steps
    Show {
        /// Its id
        id: String,
        /// Stay until it ends
        #[arg(long, short)]
        follow: bool,
    },
    /// List runs, newest first
    #[command(visible_alias = "ls")]
    List {
        /// Only those about this thing, such as a stack's id
        #[arg(long)]
        subject: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Read what a step has logged
    Log {
        /// The run's id
        id: String,
        /// The step's key
        step: String,
        /// Stay until it ends
        #[arg(long, short)]
        follow: bool,
    },
    /// Stop a run and undo what it did
    Cancel {
        /// Its id
        id: String,
        #[command(flatten)]
        why: Reason,
    },
    /// Try the steps that failed again
    Retry {
        /// Its id
        id: String,
        /// Only this step
        #[arg(long)]
        step: Option<String>,
    },
    /// Go on as if a step had succeeded
    Skip {
        /// The run's id
        id: String,
        /// The step's key
        step: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Say that a step was done by hand
    Complete {
        /// The run's id
        id: String,
        /// The step's key
        step: String,
        /// What was done
        #[arg(long)]
        reason: String,
    },
    /// Give up a run whose clean-up failed
    Abandon {
        /// Its id
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
struct Reason {
    /// Why
    #[arg(long, default_value = "cancelled from the command line")]
    reason: String,
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: RunArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    let (id, signal) = match args.command {
        RunCommand::Show { id, follow } => return show(&client, &id, follow, output).await,
        RunCommand::List { subject, limit } => {
            let runs = client.list_runs(subject.as_deref(), limit).await?;
            let mut table = Table::new(&["RUN", "WHAT", "STATE", "BY", "WHEN", "TOOK"], "No runs yet");
            for run in &runs {
                table.row([
                    run.id.clone(),
                    run.title.clone(),
                    run.state.to_string(),
                    run.actor.clone(),
                    run.created_at.to_string(),
                    took(run),
                ]);
            }
            output.table(&runs, &table);
            return Ok(ExitCode::SUCCESS);
        }
        RunCommand::Log { id, step, follow } => return log(&client, &id, &step, follow, output).await,
        RunCommand::Cancel { id, why } => (id, Signal::Cancel { reason: why.reason }),
        RunCommand::Retry { id, step } => (id, Signal::Retry { step }),
        RunCommand::Skip { id, step, reason } => (id, Signal::Skip { step, reason }),
        RunCommand::Complete { id, step, reason } => (id, Signal::Complete { step, reason }),
        RunCommand::Abandon { id, reason } => (id, Signal::Abandon { reason }),
    };
    let run = client.signal_run(&id, &signal).await?;
    output.result(&run, || format!("Told {}: it is {} now", run.id, run.state));
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &Client, id: &str, follow: bool, output: Output) -> Result {
    if !follow {
        let run = client.show_run(id).await?;
        if output.is_json() {
            output.json(&run);
        } else {
            print(&run, output);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut progress = output.progress();
    let run = tokio::select! {
        done = follow::follow(client, id, &mut progress) => done?,
        () = interrupted() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    if output.is_json() {
        output.json(&run);
    }
    Ok(conclude(&run, output))
}

/// Says how a run ended where it did not end well.
pub fn conclude(run: &RunView, output: Output) -> ExitCode {
    if run.state == RunState::Succeeded {
        return ExitCode::SUCCESS;
    }
    if !output.is_json() {
        match &run.fault {
            Some(fault) => output.problem(&fault.clone().into()),
            None => output.note(format!("{} is {}", run.title, run.state)),
        }
        if run.state == RunState::Blocked {
            output.note(format!(
                "It waits for a person: `greenroom run retry {0}` or `greenroom run cancel {0}`",
                run.id
            ));
        }
    }
    ExitCode::FAILURE
}

fn took(run: &RunView) -> String {
    match (run.started_at, run.ended_at) {
        (Some(started), Some(ended)) => show_length(ended.since(started)),
        _ => String::new(),
    }
}

fn print(run: &RunView, output: Output) {
    output.line(plain(&run.title));
    output.fields(&[
        ("run", run.id.clone()),
        ("about", run.subject.clone()),
        ("by", run.actor.clone()),
        ("state", run.state.to_string()),
        ("asked for", run.created_at.to_string()),
        ("took", took(run)),
        ("usually takes", run.usual_ms.map(show_length).unwrap_or_default()),
        ("waits for", plain(&run.waiting_for)),
        ("can", run.actions.join(", ")),
    ]);
    output.line("");
    let mut table = Table::new(&["STEP", "STATE", "TOOK", "USUALLY", "WHAT"], "It has no steps");
    for step in &run.steps {
        let took = match (step.started_at, step.ended_at) {
            (Some(started), Some(ended)) => show_length(ended.since(started)),
            _ => String::new(),
        };
        let usual = step.usual_ms.map(show_length).unwrap_or_default();
        table.row([step.key.clone(), step.state.to_string(), took, usual, step.title.clone()]);
    }
    output.table(&run.steps, &table);
    if let Some(fault) = &run.fault {
        output.problem(&fault.clone().into());
    }
}

async fn log(client: &Client, id: &str, step: &str, follow: bool, output: Output) -> Result {
    let read = async {
        let (mut after, mut first, mut all) = (0, true, Vec::new());
        loop {
            let page = client.step_log(id, step, after, follow && !first).await?;
            first = false;
            let came = !page.chunks.is_empty();
            for chunk in page.chunks {
                if output.is_json() {
                    all.push(chunk);
                } else {
                    output.text(plain(&chunk.text));
                }
            }
            after = page.next.max(after);
            if !came && (!follow || !page.open) {
                return Ok::<_, Box<Problem>>(all);
            }
        }
    };
    tokio::select! {
        done = read => {
            let all = done?;
            if output.is_json() {
                output.json(&all);
            }
            Ok(ExitCode::SUCCESS)
        }
        () = interrupted() => Ok(ExitCode::from(INTERRUPTED)),
    }
}
