//! `greenroom app`: registering apps, looking at them, their revisions and their history, and going back in it.

use super::connect::Connection;
use super::output::{Output, Table};
use super::{Result, app_check, history, needs, offline};
use crate::client::Client;
use crate::model::fault::Fault;
use crate::wire::apps::{AppView, SchedulesView};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

// Apps among the nouns of the API.
const NOUN: &str = "apps";

/// Arguments of `app`.
#[derive(Debug, Args)]
pub struct AppArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Register apps, or save a new version of one with `--edited`
    Add {
        /// Descriptors; one that needs another comes after it
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// The version of the app's descriptor that you edited, as `app show` says it
        #[arg(long, value_name = "VERSION")]
        edited: Option<i64>,
        /// Only say what the server would find
        #[arg(long)]
        dry_run: bool,
    },
    /// Check descriptors where they are written; needs no server
    Validate(app_check::ValidateArgs),
    /// Print the JSON Schema of descriptors, for editors
    Schema,
    /// List apps
    #[command(visible_alias = "ls")]
    List {
        /// Only those with these words in name, title, description, owners or tags
        text: Option<String>,
        /// As they were at this revision of the inventory, or at this time
        #[arg(long, value_name = "REVISION")]
        at: Option<String>,
    },
    /// Show an app
    Show {
        /// Its name
        name: String,
        /// Print only its descriptor, as it was saved
        #[arg(long)]
        descriptor: bool,
        /// As it was at this revision of the inventory, or at this time
        #[arg(long, value_name = "REVISION")]
        at: Option<String>,
    },
    /// Show what an app needs and what needs it, also through others
    Needs(needs::NeedsArgs),
    /// Show what an app runs by the clock
    Schedules {
        /// Its name
        name: String,
    },
    /// List the versions of an app's descriptor, with what changed
    #[command(visible_alias = "versions")]
    History {
        /// Its name
        name: String,
    },
    /// Show what differs between two versions of an app's descriptor
    Diff {
        /// Its name
        name: String,
        /// The older version [default: the one before]
        #[arg(long)]
        from: Option<i64>,
        /// The newer version [default: the present one]
        #[arg(long)]
        to: Option<i64>,
    },
    /// Make an old version of an app's descriptor the present one, also of an app that was removed
    Restore {
        /// Its name
        name: String,
        /// The version, as `history` says it
        version: i64,
    },
    /// List branches, tags and recent commits of an app's repository
    Revisions {
        /// Its name
        name: String,
        /// Ask the repository first
        #[arg(long)]
        fresh: bool,
    },
    /// Take an app out of the inventory
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem, or a file that cannot be read.
pub async fn run(args: AppArgs, output: Output) -> Result {
    let connect = || args.connection.client();
    match args.command {
        AppCommand::Add { files, edited, dry_run } => return add(&connect()?, &files, edited, dry_run, output).await,
        AppCommand::Validate(mut args) => {
            args.json |= output.is_json();
            return offline(output, |out| app_check::validate(&args, out));
        }
        AppCommand::Schema => return offline(output, |out| app_check::schema(out)),
        AppCommand::List { text, at } => {
            let apps = connect()?.list_apps(text.as_deref(), at.as_deref()).await?;
            let mut table = Table::new(
                &["APP", "TYPE", "DEFAULT", "DEV OWNER", "NEEDS"],
                "No apps yet: `greenroom app add FILE`",
            );
            for app in &apps {
                let needs = app.depends_on.join(", ");
                table.row([
                    app.name.clone(),
                    app.kind.clone(),
                    app.default_ref.clone(),
                    app.dev_owner.clone(),
                    needs,
                ]);
            }
            output.table(&apps, &table);
        }
        AppCommand::Show { name, descriptor, at } => {
            let app = connect()?.show_app(&name, at.as_deref()).await?;
            if descriptor {
                output.text(&app.descriptor);
            } else if output.is_json() {
                output.json(&app);
            } else {
                show(&app, output);
            }
        }
        AppCommand::Needs(args) => return needs::run(&connect()?, &args, output).await,
        AppCommand::Schedules { name } => {
            let schedules = connect()?.app_schedules(&name).await?;
            output.table(&schedules, &schedule_table(&schedules));
            for place in &schedules.unknown {
                output.note(format!("Not known in {place}"));
            }
        }
        AppCommand::History { name } => {
            let versions = connect()?.object_versions(NOUN, &name).await?;
            history::print_versions(&versions, output);
        }
        AppCommand::Diff { name, from, to } => {
            let diff = connect()?.object_diff(NOUN, &name, from, to).await?;
            history::print_diff(&diff, output);
        }
        AppCommand::Restore { name, version } => restore(&connect()?, &name, version, output).await?,
        AppCommand::Revisions { name, fresh } => {
            let revisions = connect()?.list_revisions(&name, fresh).await?;
            let mut table = Table::new(&["REVISION", "KIND", "COMMIT", "DATE", "SUBJECT"], "The repository is empty");
            for revision in &revisions {
                let commit = revision.commit.chars().take(10).collect();
                let date = revision.at.to_string().chars().take(10).collect();
                table.row([
                    revision.name.clone(),
                    revision.kind.clone(),
                    commit,
                    date,
                    revision.subject.clone(),
                ]);
            }
            output.table(&revisions, &table);
        }
        AppCommand::Remove { name } => {
            connect()?.remove_app(&name).await?;
            output.result(&serde_json::json!({ "removed": name }), || format!("Removed {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn schedule_table(schedules: &SchedulesView) -> Table {
    let mut table = Table::new(&["SCHEDULE", "WHEN", "COMMAND", "WHERE"], "Nothing runs by the clock");
    for one in &schedules.wanted {
        let place = if one.runs {
            "wanted by the descriptor"
        } else {
            "wanted by the descriptor, run by no recipe"
        };
        table.row([one.name.clone(), one.when.clone(), one.command.join(" "), place.to_owned()]);
    }
    for one in &schedules.built {
        let place = format!("{} in {}, by {} ({})", one.environment, one.datacenter, one.kind, one.origin);
        table.row([one.name.clone(), one.when.clone(), one.command.join(" "), place]);
    }
    table
}

async fn restore(client: &Client, name: &str, version: i64, output: Output) -> Result<()> {
    let present = match client.show_app(name, None).await {
        Ok(app) => Some(app.summary.version),
        Err(problem) if problem.code == "not-found" => None,
        Err(problem) => return Err(problem),
    };
    let app = client.restore_app(name, version, present).await?;
    output.result(&app, || {
        format!(
            "{name} is as in version {version} again; this is version {}",
            app.summary.version
        )
    });
    Ok(())
}

async fn add(client: &Client, files: &[PathBuf], edited: Option<i64>, dry_run: bool, output: Output) -> Result {
    let mut answers = Vec::new();
    for file in files {
        let shown = file.display().to_string();
        let descriptor = read(file)?;
        if dry_run {
            let found = client.validate_app(&shown, descriptor).await?;
            if !found.ok {
                let mut problem: crate::wire::problem::Problem =
                    Fault::new("descriptor-invalid", "The descriptor has errors").into();
                problem.diagnostics = found.diagnostics;
                return Err(Box::new(problem));
            }
            output.done(format!("{shown} would be accepted"));
            continue;
        }
        let app = match edited {
            None => client.create_app(&shown, descriptor).await?,
            Some(version) => client.save_app(&name_in(&descriptor), &shown, descriptor, version).await?,
        };
        output.done(format!("{} is registered, version {}", app.summary.name, app.summary.version));
        answers.push(app);
    }
    if output.is_json() {
        output.json(&answers);
    }
    Ok(ExitCode::SUCCESS)
}

// The server says what is wrong with a descriptor without a name; any address will do for it.
fn name_in(descriptor: &[u8]) -> String {
    let document: serde_json::Value = serde_json::from_slice(descriptor).unwrap_or_default();
    document["metadata"]["name"].as_str().unwrap_or("unnamed").to_owned()
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|error| {
        let fault = Fault::new("not-found", format!("The file {} cannot be read", file.display())).why(error);
        Box::new(fault.next("Check its name").into())
    })
}

fn show(app: &AppView, output: Output) {
    let summary = &app.summary;
    output.line(format!("{} ({})", summary.title, summary.name));
    if !summary.description.is_empty() {
        output.line(&summary.description);
    }
    output.line("");
    let databases = summary
        .databases
        .iter()
        .map(|db| format!("{} ({})", db.key, db.choices.join(" or ")));
    output.fields(&[
        ("type", summary.kind.clone()),
        ("default revision", summary.default_ref.clone()),
        ("dev owner", summary.dev_owner.clone()),
        ("ops owner", summary.ops_owner.clone()),
        ("needs", app.needs.join(", ")),
        ("needed by", app.needed_by.join(", ")),
        ("databases", databases.collect::<Vec<_>>().join(", ")),
        ("version", format!("{}, {}", summary.version, summary.updated_at)),
    ]);
}
