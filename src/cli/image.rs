//! `greenroom image` and `greenroom reap`: images that servers start from, and what providers hold beside what they should.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table};
use super::stack::choices::Choices;
use super::stack::wait::{Waiting, follow_run};
use crate::wire::images::{HoldingsView, ImageView};
use crate::wire::stacks::LaunchRequest;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `image`.
#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Install, fetch and build what a launch would, once, and keep it as an image
    Bake {
        #[command(flatten)]
        choices: Choices,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// List images
    #[command(visible_alias = "ls")]
    List,
    /// Remove an image; servers that were started from it live on
    Remove {
        /// Whose it is
        provider: String,
        /// Its key
        key: String,
    },
}

/// Arguments of `reap`.
#[derive(Debug, Args)]
pub struct ReapArgs {
    #[command(flatten)]
    connection: Connection,
    /// Only show what exists, what should, and the difference; exit 1 where there is one
    #[arg(long)]
    report: bool,
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: ImageArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        ImageCommand::Bake { choices, waiting } => {
            let baking = client.bake_image(&LaunchRequest::from(choices)).await?;
            match (&baking.run, waiting.wait) {
                (Some(run), true) => return follow_run(&client, run, output).await,
                (Some(run), false) => output.result(&baking, || {
                    format!(
                        "Begun: {}\n  follow it   greenroom run show {run} --follow",
                        describe(&baking.image)
                    )
                }),
                (None, _) => output.result(&baking, || format!("There is one already: {}", describe(&baking.image))),
            }
        }
        ImageCommand::List => {
            let images = client.list_images().await?;
            let mut table = Table::new(
                &["PROVIDER", "IMAGE", "STATE", "APPS", "MB", "BAKED", "LAST USED"],
                "No images: `greenroom image bake APP --provider PROVIDER`",
            );
            for image in &images {
                table.row([
                    image.provider.clone(),
                    image.key.clone(),
                    image.state.clone(),
                    image.apps.join(", "),
                    image.bytes.map(|bytes| (bytes / 1_000_000).to_string()).unwrap_or_default(),
                    image.created_at.to_string(),
                    image.used_at.map(|at| at.to_string()).unwrap_or_default(),
                ]);
            }
            output.table(&images, &table);
        }
        ImageCommand::Remove { provider, key } => {
            client.remove_image(&provider, &key).await?;
            output.done(format!("{key} of {provider} is removed"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes what nobody knows of, or only shows it.
///
/// # Errors
/// The server's problem.
pub async fn reap(args: ReapArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    if args.report {
        let holdings = client.show_holdings().await?;
        if output.is_json() {
            output.json(&holdings);
        } else {
            print(&holdings, output);
        }
        let clean = holdings.differences == 0 && holdings.unanswered.is_empty();
        return Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let reaped = client.reap().await?;
    if output.is_json() {
        output.json(&reaped);
    } else {
        output.line(format!("Removed: {}", reaped.removed));
        print(&reaped.holdings, output);
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(image: &ImageView) -> String {
    format!("{} of {} with {}", image.key, image.provider, image.apps.join(", "))
}

fn print(holdings: &HoldingsView, output: Output) {
    let mut table = Table::new(
        &["PROVIDER", "WHAT", "IS", "SHOULD BE", "STACK", "DIFFERENCE"],
        "No provider holds a server, and none should",
    );
    for server in &holdings.servers {
        let name = if server.external_id.is_empty() {
            &server.node
        } else {
            &server.external_id
        };
        table.row([
            server.provider.clone(),
            name.clone(),
            server.observed.clone(),
            if server.expected.is_empty() {
                "gone".to_owned()
            } else {
                server.expected.clone()
            },
            server.stack.clone().unwrap_or_default(),
            server.difference.clone().unwrap_or_default(),
        ]);
    }
    output.table(&holdings.servers, &table);
    if !holdings.images.is_empty() {
        let mut table = Table::new(&["PROVIDER", "IMAGE", "DIFFERENCE"], "");
        for image in &holdings.images {
            let name = if image.external_id.is_empty() {
                &image.key
            } else {
                &image.external_id
            };
            table.row([
                image.provider.clone(),
                name.clone(),
                image.difference.clone().unwrap_or_default(),
            ]);
        }
        output.line("");
        output.table(&holdings.images, &table);
    }
    for unanswered in &holdings.unanswered {
        output.line(format!("Not asked: {unanswered}"));
    }
    output.line(match holdings.differences {
        0 => "\nNo difference.".to_owned(),
        1 => "\n1 difference.".to_owned(),
        many => format!("\n{many} differences."),
    });
}
