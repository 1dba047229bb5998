//! Launching, and showing what a launch would do.

use super::choices::Choices;
use super::wait::{Waiting, wait};
use crate::cli::Result;
use crate::cli::output::{Output, Table};
use crate::client::Client;
use crate::model::time::show_length;
use crate::wire::stacks::{LaunchRequest, PlanView};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `stack launch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    greenroom stack launch storefront --wait\n  \
    greenroom stack launch storefront@v1.1 catalogue@main --data catalogue/db=fixture --lease 4h --wait")]
pub struct LaunchArgs {
    #[command(flatten)]
    choices: Choices,
    #[command(flatten)]
    waiting: Waiting,
}

/// Launches, and stays until it is ready where asked to.
pub async fn launch(client: &Client, args: LaunchArgs, output: Output) -> Result {
    let accepted = client.launch_stack(&LaunchRequest::from(args.choices)).await?;
    let apps = accepted.stack.apps.iter().map(|a| format!("{}@{}", a.app, a.revision));
    output.note(format!(
        "Launching {}: {}",
        accepted.stack.name,
        apps.collect::<Vec<_>>().join(", ")
    ));
    wait(client, accepted, &args.waiting, output).await
}

/// Shows the plan.
pub async fn plan(client: &Client, choices: Choices, output: Output) -> Result {
    let plan = client.plan_stack(&LaunchRequest::from(choices)).await?;
    if output.is_json() {
        output.json(&plan);
    } else {
        print(&plan, output);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(plan: &PlanView, output: Output) {
    let mut apps = Table::new(&["APP", "REVISION", "COMMIT", "WHY", "SUBJECT"], "");
    for app in &plan.apps {
        let commit = app.commit.chars().take(10).collect();
        let why = if app.chosen { "chosen" } else { "needed" };
        apps.row([
            app.app.clone(),
            app.revision.clone(),
            commit,
            why.to_owned(),
            app.subject.clone(),
        ]);
    }
    output.table(&plan.apps, &apps);
    output.line("");
    let data: Vec<String> = plan.data.iter().map(|(key, choice)| format!("{key}={choice}")).collect();
    output.fields(&[
        ("data", data.join(", ")),
        ("size", plan.size.to_string()),
        ("runs on", format!("{} ({})", plan.provider, plan.isolation)),
        ("ends", plan.lease_until.to_string()),
        ("usually takes", plan.usual_ms.map(show_length).unwrap_or_default()),
    ]);
    output.line("");
    let mut steps = Table::new(&["STEP", "USUALLY", "WHAT"], "");
    for step in &plan.steps {
        let usual = step.usual_ms.map(show_length).unwrap_or_default();
        steps.row([step.key.clone(), usual, step.title.clone()]);
    }
    output.table(&plan.steps, &steps);
    output.line(format!("\nOn the server, in this order ({} states):", plan.states.len()));
    for state in &plan.states {
        output.line(format!("  {}", state.title));
    }
}
