//! The command line: one file a group. A command reads its arguments, asks the server through [`crate::client`] and hands what it got
//! to [`output`], which alone prints.
//!
//! Exit codes: 0 done, 1 it failed and the message says why, 2 the command line is not understood, 130 interrupted.

mod agent;
mod app;
pub mod app_check;
mod apply;
mod bundle;
pub mod connect;
pub mod demo;
mod enrol;
mod explain;
mod follow;
mod history;
mod image;
mod inventory;
mod login;
mod needs;
mod node;
mod object;
pub mod output;
mod preset;
mod preview;
mod provider;
pub mod recipe;
mod recipe_apply;
mod run;
mod search;
mod secret;
pub mod serve;
mod stack;
mod start;
mod targets;
mod token;
mod user;

use crate::model::fault::Fault;
use crate::model::inventory::ObjectKind;
use crate::wire::problem::Problem;
use clap::{CommandFactory, Parser, Subcommand};
use output::Output;
use std::process::ExitCode;

/// What a command gives: its exit code, or what to tell the person.
pub type Result<T = ExitCode, E = Box<Problem>> = std::result::Result<T, E>;

// Interrupted by Ctrl-C, as shells say it.
const INTERRUPTED: u8 = 130;

/// Staging servers by asking: pick apps, revisions and test data, and get a running server built like production
#[derive(Debug, Parser)]
#[command(
    name = "greenroom",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Start with `greenroom demo`: it shows everything on a small bookshop, and leaves nothing behind.\n\
                  Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted."
)]
struct Cli {
    /// Print results, and errors, as one JSON document on standard output
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Launch a small bookshop to see what Greenroom does; `--check` tests the installation
    Demo(demo::DemoArgs),
    /// Run the server
    Serve(start::ServeArgs),
    /// Launch and look after staging servers
    Stack(stack::StackArgs),
    /// Keep launches under names, and have them ready in pools
    Preset(preset::PresetArgs),
    /// Look at previews of branches, and take them down
    Preview(preview::PreviewArgs),
    /// Keep servers as images that later launches start from
    Image(image::ImageArgs),
    /// Remove what providers hold and nobody knows of, or show what they hold and should hold
    Reap(image::ReapArgs),
    /// Whether providers have what launches need
    Provider(provider::ProviderArgs),
    /// Register apps, look at what they need and at their history, and go back in it
    App(app::AppArgs),
    /// Make the inventory what a folder of files says, with the difference first
    Apply(apply::ApplyArgs),
    /// Look at nodes, their facts and their history
    Node(object::NodeArgs),
    /// Look at datacenters and their history
    Datacenter(object::ObjectArgs),
    /// Look at environments and their history
    Environment(object::ObjectArgs),
    /// Look at roles and their history
    Role(object::ObjectArgs),
    /// Search nodes, apps, stacks and the rest
    Search(search::SearchArgs),
    /// Say what would stop without a node or a datacenter
    Impact(search::ImpactArgs),
    /// Say which revision of each app runs where
    Running(search::RunningArgs),
    /// Answer Ansible, Puppet, Prometheus and Backstage out of the inventory
    Inventory(inventory::InventoryArgs),
    /// Look at what is being done, and say something to it
    Run(run::RunArgs),
    /// Keep the address and token of a server
    Login(login::LoginArgs),
    /// Make and revoke your API tokens
    Token(token::TokenArgs),
    /// Keep secrets for nodes of the inventory; their values are never shown
    Secret(secret::SecretArgs),
    /// Make accounts and sign-in links
    User(user::UserArgs),
    /// Keep recipes as bundles, promote one to an environment, and see what a change would touch
    Bundle(bundle::BundleArgs),
    /// Check, render and list recipes; needs no server
    Recipe(recipe::RecipeArgs),
    /// Run the agent of a node, or converge it once
    Agent(Box<crate::agent::AgentArgs>),
    /// Say what an error code means
    Explain(explain::ExplainArgs),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    crate::tls::install();
    let done = match runtime(&cli.command) {
        Ok(runtime) => {
            let done = runtime.block_on(run(cli.command, output));
            // Whatever still blocks in the background must not keep the program.
            runtime.shutdown_background();
            done
        }
        Err(error) => Err(Box::new(
            Fault::new("internal", "The program cannot start its threads")
                .why(error)
                .into(),
        )),
    };
    done.unwrap_or_else(|mut problem| {
        if problem.code == "not-signed-in" {
            "Use `greenroom login URL`, or give a token with --token or GREENROOM_TOKEN".clone_into(&mut problem.hint);
        }
        output.problem(&problem);
        ExitCode::FAILURE
    })
}

// A server gets threads; a command that asks one question needs none.
fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match command {
        Command::Serve(_) | Command::Demo(_) => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)));
            builder
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.max_blocking_threads(64).enable_all().build()
}

async fn run(command: Command, output: Output) -> Result {
    match command {
        Command::Demo(args) => demo::run(args, output).await,
        Command::Serve(args) => start::run(args, output).await,
        Command::Stack(args) => stack::run(args, output).await,
        Command::Preset(args) => preset::run(args, output).await,
        Command::Preview(args) => preview::run(args, output).await,
        Command::Image(args) => image::run(args, output).await,
        Command::Reap(args) => image::reap(args, output).await,
        Command::Provider(args) => provider::run(args, output).await,
        Command::App(args) => app::run(args, output).await,
        Command::Apply(args) => apply::run(args, output).await,
        Command::Node(args) => object::run_node(args, output).await,
        Command::Datacenter(args) => object::run(ObjectKind::Datacenter, args, output).await,
        Command::Environment(args) => object::run(ObjectKind::Environment, args, output).await,
        Command::Role(args) => object::run(ObjectKind::Role, args, output).await,
        Command::Search(args) => search::run(args, output).await,
        Command::Impact(args) => search::run_impact(args, output).await,
        Command::Running(args) => search::run_running(args, output).await,
        Command::Inventory(args) => inventory::run(args, output).await,
        Command::Run(args) => run::run(args, output).await,
        Command::Login(args) => login::run(args, output).await,
        Command::Token(args) => token::run(args, output).await,
        Command::Secret(args) => secret::run(args, output).await,
        Command::User(args) => user::run(args, output).await,
        Command::Bundle(args) => bundle::run(args, output).await,
        Command::Recipe(args) => match args.task {
            recipe::RecipeTask::Apply(args) => Box::pin(recipe_apply::run(&args, output)).await,
            recipe::RecipeTask::Read(command) => offline(output, |out| recipe::run(&command, out)),
        },
        Command::Agent(args) => Box::pin(agent::run(*args, output)).await,
        Command::Explain(args) => explain::run(&args, output),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "greenroom", &mut text);
            output.text(String::from_utf8_lossy(&text));
            Ok(ExitCode::SUCCESS)
        }
    }
}

// Commands that need no server write their whole answer at once.
fn offline(output: Output, command: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<bool>) -> Result {
    let mut text = Vec::new();
    let ok = command(&mut text).map_err(|e| Box::new(Fault::new("internal", "The answer cannot be written").why(e).into()))?;
    output.text(String::from_utf8_lossy(&text));
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits for Ctrl-C, for being told to end, or for the terminal to be closed.
pub(crate) async fn interrupted() {
    ended(true).await;
}

/// As [`interrupted`]; a hangup counts only where it is meant so.
async fn ended(by_hangup: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let one = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = one(SignalKind::interrupt()) => {}
        () = one(SignalKind::terminate()) => {}
        () = one(SignalKind::hangup()), if by_hangup => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        Cli::command().debug_assert();
    }
}
