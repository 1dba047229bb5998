//! Looking at staging servers.

use super::wait::public_links;
use crate::cli::Result;
use crate::cli::output::{Output, Table, plain};
use crate::client::Client;
use crate::clock::{Clock, SystemClock};
use crate::model::fault::Fault;
use crate::model::stack::StackState;
use crate::model::time::show_length;
use crate::wire::stacks::StackView;
use clap::Args;
use std::process::{Command, ExitCode, Stdio};

/// Arguments of `stack list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only those with this text in name, owner or an app
    text: Option<String>,
    /// Only yours
    #[arg(long)]
    mine: bool,
    /// Also destroyed ones
    #[arg(long)]
    all: bool,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// Arguments of `stack show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Name or id
    stack: String,
}

/// Arguments of `stack open`.
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// Name or id
    stack: String,
    /// The app to open [default: the first that is meant for people]
    #[arg(long)]
    app: Option<String>,
    /// Only print the address
    #[arg(long)]
    print: bool,
}

/// Lists.
pub async fn list(client: &Client, args: ListArgs, output: Output) -> Result {
    let stacks = client
        .list_stacks(args.mine, args.all, args.text.as_deref(), args.limit)
        .await?;
    let mut table = Table::new(
        &["STACK", "STATE", "HEALTH", "OWNER", "ENDS IN", "APPS"],
        "No staging servers: `greenroom stack launch APP`",
    );
    for stack in &stacks {
        let apps: Vec<String> = stack.apps.iter().map(|a| format!("{}@{}", a.app, a.revision)).collect();
        let lives = matches!(stack.state, StackState::Ready | StackState::Tainted | StackState::Updating);
        table.row([
            stack.name.clone(),
            stack.state.to_string(),
            if lives { stack.health.clone() } else { String::new() },
            stack.owner.clone(),
            remaining(stack),
            apps.join(", "),
        ]);
    }
    output.table(&stacks, &table);
    Ok(ExitCode::SUCCESS)
}

/// Shows one.
pub async fn show(client: &Client, args: &ShowArgs, output: Output) -> Result {
    let stack = client.show_stack(&args.stack).await?;
    if output.is_json() {
        output.json(&stack);
    } else {
        print(&stack, output);
    }
    Ok(ExitCode::SUCCESS)
}

fn remaining(stack: &StackView) -> String {
    if matches!(stack.state, StackState::Destroying | StackState::Destroyed) {
        return String::new();
    }
    show_length(stack.lease_until.since(SystemClock.now()))
}

fn print(stack: &StackView, output: Output) {
    output.line(format!("{} is {}", stack.name, stack.state));
    for link in public_links(stack) {
        output.link(&link.label, &link.url);
    }
    for link in stack.links.iter().filter(|link| !link.public) {
        output.link(&format!("({})", link.label), &link.url);
    }
    output.line("");
    let data: Vec<String> = stack.data.iter().map(|(key, choice)| format!("{key}={choice}")).collect();
    let run = stack.run.as_ref();
    output.fields(&[
        ("id", stack.id.clone()),
        ("owner", stack.owner.clone()),
        ("health", stack.health.clone()),
        ("runs on", format!("{}, {} ({})", stack.provider, stack.size, stack.isolation)),
        ("data", data.join(", ")),
        ("ends", format!("{} (in {})", stack.lease_until, remaining(stack))),
        (
            "last run",
            run.map(|run| format!("{}, {}", run.id, run.state)).unwrap_or_default(),
        ),
        ("waits for", run.map(|run| plain(&run.waiting_for)).unwrap_or_default()),
        ("can", stack.actions.join(", ")),
    ]);
    output.line("");
    let mut table = Table::new(&["APP", "REVISION", "COMMIT", "SERVICES", "SUBJECT"], "It has no apps");
    for app in &stack.apps {
        let services: Vec<String> = app.services.iter().map(|s| format!("{} {}", s.name, s.state)).collect();
        let commit = app.commit.chars().take(10).collect();
        table.row([
            app.app.clone(),
            app.revision.clone(),
            commit,
            services.join(", "),
            app.subject.clone(),
        ]);
    }
    output.table(&stack.apps, &table);
    if let Some(fault) = &stack.fault {
        output.problem(&fault.clone().into());
    }
}

/// Opens the address in a browser, or prints it.
pub async fn open(client: &Client, args: &OpenArgs, output: Output) -> Result {
    let stack = client.show_stack(&args.stack).await?;
    let found = match &args.app {
        Some(app) => stack.links.iter().find(|link| link.app.as_str() == app),
        None => public_links(&stack).into_iter().next(),
    };
    let Some(link) = found else {
        let fault = match &args.app {
            Some(app) => Fault::new("not-found", format!("{} has no address for {app}", stack.name)),
            None => Fault::new("not-found", format!("{} has nothing to open", stack.name)).why(format!("it is {}", stack.state)),
        };
        let next = format!("`greenroom stack show {}` lists what it has", stack.name);
        return Err(Box::new(fault.next(next).into()));
    };
    output.result(link, || link.url.clone());
    if !args.print && !output.is_json() {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let opened = Command::new(opener)
            .arg(&link.url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !opened.is_ok_and(|status| status.success()) {
            output.note("No browser could be opened here");
        }
    }
    Ok(ExitCode::SUCCESS)
}
