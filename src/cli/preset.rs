//! `greenroom preset`: launches kept under a name, and the pools that have them ready.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table};
use super::stack::choices::Choices;
use crate::model::pool::PoolSpec;
use crate::wire::presets::{PresetBody, PresetView};
use crate::wire::stacks::LaunchRequest;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `preset`.
#[derive(Debug, Args)]
pub struct PresetArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: PresetCommand,
}

#[derive(Debug, Subcommand)]
enum PresetCommand {
    /// List presets
    #[command(visible_alias = "ls")]
    List,
    /// Show a preset
    Show {
        /// Its name
        name: String,
    },
    /// Keep a launch under a name
    #[command(
        after_help = "Example:\n  greenroom preset save shop --title \"The shop as it is\" --hot 1 storefront@v1.1 --size medium"
    )]
    Save(Box<SaveArgs>),
    /// Forget a preset; the members of its pool go
    Remove {
        /// Its name
        name: String,
    },
    /// Make nothing more for its pool; what is there stays
    Pause {
        /// The preset
        name: String,
    },
    /// Let its pool go on, as if it had never failed
    Resume {
        /// The preset
        name: String,
    },
}

#[derive(Debug, Args)]
struct SaveArgs {
    /// Its name
    preset: String,
    /// What to call it
    #[arg(long)]
    title: String,
    /// What it is good for
    #[arg(long, default_value = "")]
    description: String,
    /// How many servers of it are kept running, ready to be taken
    #[arg(long, default_value_t = 0)]
    hot: u32,
    /// How many more are kept asleep, ready to be woken
    #[arg(long, default_value_t = 0)]
    stopped: u32,
    /// How old a member of the pool may get [default: 24h]
    #[arg(long, value_name = "LENGTH")]
    expiry: Option<String>,
    #[command(flatten)]
    choices: Choices,
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: PresetArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        PresetCommand::List => {
            let presets = client.list_presets().await?;
            let mut table = Table::new(
                &["PRESET", "TITLE", "APPS", "POOL"],
                "No presets: `greenroom preset save NAME --title TITLE APP`",
            );
            for preset in &presets {
                table.row([
                    preset.name.clone(),
                    preset.body.title.clone(),
                    apps(&preset.body.launch),
                    pool(preset),
                ]);
            }
            output.table(&presets, &table);
        }
        PresetCommand::Show { name } => show(&client.show_preset(&name).await?, output),
        PresetCommand::Save(args) => {
            let pool = PoolSpec {
                hot: args.hot,
                stopped: args.stopped,
                expiry: args.expiry,
                windows: Vec::new(),
            };
            let body = PresetBody {
                title: args.title,
                description: args.description,
                launch: LaunchRequest {
                    // A preset is launched many times.
                    idempotency_key: None,
                    ..LaunchRequest::from(args.choices)
                },
                pool: (pool.hot + pool.stopped > 0).then_some(pool),
            };
            show(&client.save_preset(&args.preset, &body).await?, output);
        }
        PresetCommand::Remove { name } => {
            client.remove_preset(&name).await?;
            output.done(format!("{name} is forgotten"));
        }
        PresetCommand::Pause { name } => show(&client.pause_pool(&name, true).await?, output),
        PresetCommand::Resume { name } => show(&client.pause_pool(&name, false).await?, output),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(preset: &PresetView, output: Output) {
    if output.is_json() {
        return output.json(preset);
    }
    let launch = &preset.body.launch;
    output.line(format!("{}: {}", preset.name, preset.body.title));
    output.fields(&[
        ("what for", preset.body.description.clone()),
        ("apps", apps(launch)),
        ("size", launch.size.map(|size| size.to_string()).unwrap_or_default()),
        ("lease", launch.lease.clone().unwrap_or_default()),
        ("runs on", launch.provider.clone().unwrap_or_default()),
        ("pool", pool(preset)),
        ("changed", format!("{} by {}", preset.updated_at, preset.updated_by)),
    ]);
}

fn apps(launch: &LaunchRequest) -> String {
    let name = |app: &crate::wire::stacks::AppChoice| match &app.revision {
        Some(revision) => format!("{}@{revision}", app.app),
        None => app.app.clone(),
    };
    launch.apps.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn pool(preset: &PresetView) -> String {
    let (Some(pool), Some(state)) = (&preset.body.pool, &preset.state) else {
        return String::new();
    };
    let mut parts = vec![
        format!("{} of {} hot", state.hot, pool.hot),
        format!("{} of {} asleep", state.stopped, pool.stopped),
    ];
    if state.making > 0 {
        parts.push(format!("{} on the way", state.making));
    }
    if state.paused {
        parts.push("paused".to_owned());
    }
    if let (Some(why), Some(at)) = (&state.last_failure, state.retry_at) {
        parts.push(format!("failed {} times ({why}), tries again at {at}", state.failures));
    }
    parts.join(", ")
}
