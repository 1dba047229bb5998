//! `greenroom stack`: launching staging servers and looking after them.

mod change;
pub(super) mod choices;
mod launch;
mod logs;
mod look;
mod share;
pub(super) mod wait;

pub use wait::public_links;

use super::Result;
use super::connect::Connection;
use super::output::Output;
use clap::{Args, Subcommand};

/// Arguments of `stack`.
#[derive(Debug, Args)]
pub struct StackArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: StackCommand,
}

#[derive(Debug, Subcommand)]
enum StackCommand {
    /// Launch a staging server
    Launch(launch::LaunchArgs),
    /// Show what a launch would do; changes nothing
    Plan(choices::Choices),
    /// List staging servers, newest first
    #[command(visible_alias = "ls")]
    List(look::ListArgs),
    /// Show a staging server: apps, links, services, lease
    Show(look::ShowArgs),
    /// Read what its services say
    Logs(logs::LogsArgs),
    /// Show or change who may look at its apps
    Share(share::ShareArgs),
    /// Make a link for a guest without an account, renew it or end it
    Link(share::LinkArgs),
    /// Open its first page in a browser
    Open(look::OpenArgs),
    /// Give it more time
    Extend(change::ExtendArgs),
    /// Bring some of its apps to other revisions
    Update(change::UpdateArgs),
    /// Try a failed launch or update again
    Retry(change::ChangeArgs),
    /// Put a staging server to sleep: it is off and keeps its disk
    Stop(change::ChangeArgs),
    /// Wake a staging server that sleeps
    Start(change::ChangeArgs),
    /// Make a new server for it; the old one serves until the new one is healthy, and what is on its disk is lost
    Rebuild(change::ChangeArgs),
    /// Destroy it, whatever state it is in
    #[command(visible_alias = "rm")]
    Destroy(change::ChangeArgs),
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: StackArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        StackCommand::Launch(args) => launch::launch(&client, args, output).await,
        StackCommand::Plan(choices) => launch::plan(&client, choices, output).await,
        StackCommand::List(args) => look::list(&client, args, output).await,
        StackCommand::Show(args) => look::show(&client, &args, output).await,
        StackCommand::Logs(args) => logs::logs(&client, args, output).await,
        StackCommand::Share(args) => share::share(&client, args, output).await,
        StackCommand::Link(args) => share::link(&client, args, output).await,
        StackCommand::Open(args) => look::open(&client, &args, output).await,
        StackCommand::Extend(args) => change::extend(&client, args, output).await,
        StackCommand::Update(args) => change::update(&client, args, output).await,
        StackCommand::Retry(args) => change::retry(&client, args, output).await,
        StackCommand::Stop(args) => change::stop(&client, args, output).await,
        StackCommand::Start(args) => change::start(&client, args, output).await,
        StackCommand::Rebuild(args) => change::rebuild(&client, args, output).await,
        StackCommand::Destroy(args) => change::destroy(&client, args, output).await,
    }
}
