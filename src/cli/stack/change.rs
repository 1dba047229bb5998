//! Changing a staging server: more time, other revisions, another try, its end.

use super::choices;
use super::wait::{Waiting, wait};
use crate::cli::Result;
use crate::cli::output::Output;
use crate::client::Client;
use crate::wire::stacks::{AppChoice, ExtendRequest, UpdateRequest};
use clap::Args;
use std::process::ExitCode;

/// Arguments of `stack extend`.
#[derive(Debug, Args)]
pub struct ExtendArgs {
    /// Name or id
    stack: String,
    /// How long from now it should live, such as 4h
    #[arg(value_name = "LENGTH")]
    lease: String,
}

/// Arguments of `stack update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Name or id
    stack: String,
    /// Apps and their new revisions; the others stay
    #[arg(required = true, value_name = "APP@REVISION", value_parser = choices::app)]
    apps: Vec<AppChoice>,
    #[command(flatten)]
    waiting: Waiting,
}

/// Arguments of the changes that need to be told nothing more.
#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// Name or id
    stack: String,
    #[command(flatten)]
    waiting: Waiting,
}

/// Gives more time.
pub async fn extend(client: &Client, args: ExtendArgs, output: Output) -> Result {
    let stack = client.extend_stack(&args.stack, &ExtendRequest { lease: args.lease }).await?;
    output.result(&stack, || format!("{} lives until {}", stack.name, stack.lease_until));
    Ok(ExitCode::SUCCESS)
}

/// Brings apps to other revisions.
pub async fn update(client: &Client, args: UpdateArgs, output: Output) -> Result {
    let accepted = client.update_stack(&args.stack, &UpdateRequest { apps: args.apps }).await?;
    wait(client, accepted, &args.waiting, output).await
}

/// Tries again.
pub async fn retry(client: &Client, args: ChangeArgs, output: Output) -> Result {
    let accepted = client.retry_stack(&args.stack).await?;
    wait(client, accepted, &args.waiting, output).await
}

/// Puts to sleep.
pub async fn stop(client: &Client, args: ChangeArgs, output: Output) -> Result {
    let accepted = client.stop_stack(&args.stack).await?;
    wait(client, accepted, &args.waiting, output).await
}

/// Wakes.
pub async fn start(client: &Client, args: ChangeArgs, output: Output) -> Result {
    let accepted = client.start_stack(&args.stack).await?;
    wait(client, accepted, &args.waiting, output).await
}

/// Makes a new server.
pub async fn rebuild(client: &Client, args: ChangeArgs, output: Output) -> Result {
    let accepted = client.rebuild_stack(&args.stack).await?;
    wait(client, accepted, &args.waiting, output).await
}

/// Destroys.
pub async fn destroy(client: &Client, args: ChangeArgs, output: Output) -> Result {
    let accepted = client.destroy_stack(&args.stack).await?;
    wait(client, accepted, &args.waiting, output).await
}
