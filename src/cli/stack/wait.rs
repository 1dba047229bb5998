//! Staying until a launch, update or destroy has ended, and saying how it ended.

use crate::cli::output::Output;
use crate::cli::run::conclude;
use crate::cli::{INTERRUPTED, Result, follow, interrupted};
use crate::client::Client;
use crate::model::run::RunState;
use crate::model::stack::Link;
use crate::model::time::show_length;
use crate::wire::runs::RunView;
use crate::wire::stacks::{Accepted, StackView};
use clap::Args;
use std::process::ExitCode;

/// Whether to stay.
#[derive(Debug, Args)]
pub struct Waiting {
    /// Stay until it has ended, with live progress; exit 1 where it failed
    #[arg(long, short)]
    pub wait: bool,
}

/// Says what was begun, or stays until it has ended.
pub async fn wait(client: &Client, accepted: Accepted, waiting: &Waiting, output: Output) -> Result {
    let (run, name) = (accepted.run.as_str(), accepted.stack.name.as_str());
    if !waiting.wait {
        output.result(&accepted, || {
            format!("Begun: {name}\n  follow it   greenroom run show {run} --follow\n  look at it  greenroom stack show {name}")
        });
        return Ok(ExitCode::SUCCESS);
    }
    let mut progress = output.progress();
    let done = tokio::select! {
        done = follow::follow(client, run, &mut progress) => done?,
        () = interrupted() => {
            progress.finish();
            output.note(format!(
                "\nIt goes on without you.\n  follow it again  greenroom run show {run} --follow\n  cancel it        greenroom run cancel {run}"
            ));
            return Ok(ExitCode::from(INTERRUPTED));
        }
    };
    let stack = client.show_stack(&accepted.stack.id).await?;
    if output.is_json() {
        output.json(&serde_json::json!({ "stack": stack, "run": done }));
    } else if done.state == RunState::Succeeded {
        succeeded(&stack, &done, output);
    }
    let code = conclude(&done, output);
    if done.state != RunState::Succeeded {
        advise(&stack, output);
    }
    Ok(code)
}

/// Stays until a run has ended, and says how it ended.
pub async fn follow_run(client: &Client, run: &str, output: Output) -> Result {
    let mut progress = output.progress();
    let done = follow::follow(client, run, &mut progress).await?;
    if output.is_json() {
        output.json(&done);
    } else if done.state == RunState::Succeeded {
        output.done(format!("{}: done", done.title));
    }
    Ok(conclude(&done, output))
}

fn succeeded(stack: &StackView, run: &RunView, output: Output) {
    let took = run
        .ended_at
        .map(|ended| format!(" in {}", show_length(ended.since(run.created_at))));
    output.done(format!("{} is {}{}", stack.name, stack.state, took.unwrap_or_default()));
    for link in public_links(stack) {
        output.link(&link.label, &link.url);
    }
}

/// The links that are meant for people: what was launched for itself before what others need.
pub fn public_links(stack: &StackView) -> Vec<&Link> {
    let place = |link: &Link| stack.apps.iter().position(|app| app.app == link.app.as_str());
    let mut links: Vec<&Link> = stack.links.iter().filter(|link| link.public).collect();
    links.sort_by_key(|link| std::cmp::Reverse(place(link)));
    links
}

fn advise(stack: &StackView, output: Output) {
    let name = &stack.name;
    let can = |action: &str| stack.actions.iter().any(|a| a == action);
    if can("retry") {
        output.note(format!("retry it:   greenroom stack retry {name} --wait"));
    }
    if can("destroy") {
        output.note(format!("destroy it: greenroom stack destroy {name}"));
    }
}
