//! `greenroom node`, `datacenter`, `environment` and `role`: looking at the inventory, and going back in it. It is changed by
//! `greenroom apply`.

use super::Result;
use super::connect::Connection;
use super::history::{print_diff, print_versions};
use super::node::NodeQuestion;
use super::output::{Output, Table};
use crate::model::fault::Fault;
use crate::model::inventory::ObjectKind;
use crate::wire::inventory::ObjectView;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of each of the four.
#[derive(Debug, Args)]
pub struct ObjectArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ObjectCommand,
}

/// Arguments of `node`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    #[command(flatten)]
    Object(ObjectCommand),
    #[command(flatten)]
    Built(NodeQuestion),
    #[command(flatten)]
    Agent(super::enrol::AgentCommand),
    /// Show what a node last reported of itself, or hand in what `ohai` or `facter --json` printed there
    Facts {
        /// The node
        name: String,
        /// A file with facts to hand in
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum ObjectCommand {
    /// List them
    #[command(visible_alias = "ls")]
    List {
        /// Only those with this text in name, title, labels, place, roles or apps
        text: Option<String>,
        /// As they were at this revision of the inventory, or at this time
        #[arg(long, value_name = "REVISION")]
        at: Option<String>,
    },
    /// Show one
    Show {
        /// Its name
        name: String,
        /// As it was at this revision of the inventory, or at this time
        #[arg(long, value_name = "REVISION")]
        at: Option<String>,
    },
    /// List the versions of one, with what changed
    History {
        /// Its name
        name: String,
    },
    /// Show what differs between two versions of one
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
    /// Make an old version the present one, also of one that was removed
    Restore {
        /// Its name
        name: String,
        /// The version, as `history` says it
        version: i64,
    },
    /// Take one out of the inventory
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        name: String,
    },
}

/// Does what was asked of nodes.
///
/// # Errors
/// The server's problem, or a file that cannot be read.
pub async fn run_node(args: NodeArgs, output: Output) -> Result {
    let (name, save) = match args.command {
        NodeCommand::Object(command) => {
            let connection = args.connection;
            return run(ObjectKind::Node, ObjectArgs { connection, command }, output).await;
        }
        NodeCommand::Built(question) => return super::node::run(&args.connection.client()?, question, output).await,
        NodeCommand::Agent(command) => return super::enrol::run(args.connection, command, output).await,
        NodeCommand::Facts { name, save } => (name, save),
    };
    let client = args.connection.client()?;
    let facts = match save {
        None => client.show_facts(&name).await?,
        Some(file) => {
            let text = std::fs::read(&file).map_err(|error| {
                let fault = Fault::new("not-found", format!("The file {} cannot be read", file.display()));
                Box::new(fault.why(error).next("Check its name").into())
            })?;
            client.save_facts(&name, text).await?
        }
    };
    if output.is_json() {
        output.json(&facts);
    } else {
        output.text(format!("{:#}\n", facts.facts));
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what was asked of a kind.
///
/// # Errors
/// The server's problem.
pub async fn run(kind: ObjectKind, args: ObjectArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    let noun = kind.plural();
    match args.command {
        ObjectCommand::List { text, at } => {
            let all = client.list_objects(noun, text.as_deref(), at.as_deref()).await?;
            output.table(&all, &table(kind, &all));
        }
        ObjectCommand::Show { name, at } => {
            let object = client.show_object(noun, &name, at.as_deref()).await?;
            if output.is_json() {
                output.json(&object);
            } else {
                output.text(format!("{:#}\n", object.body));
                output.note(format!("version {}, {}", object.version, object.updated_at));
            }
        }
        ObjectCommand::History { name } => {
            let versions = client.object_versions(noun, &name).await?;
            print_versions(&versions, output);
        }
        ObjectCommand::Diff { name, from, to } => {
            let diff = client.object_diff(noun, &name, from, to).await?;
            print_diff(&diff, output);
        }
        ObjectCommand::Restore { name, version } => {
            let present = match client.show_object(noun, &name, None).await {
                Ok(object) => Some(object.version),
                Err(problem) if problem.code == "not-found" => None,
                Err(problem) => return Err(problem),
            };
            let object = client.restore_object(noun, &name, version, present).await?;
            output.result(&object, || {
                format!(
                    "{kind} {name} is as in version {version} again; this is version {}",
                    object.version
                )
            });
        }
        ObjectCommand::Remove { name } => {
            client.remove_object(noun, &name).await?;
            output.result(&serde_json::json!({ "removed": name }), || format!("Removed {kind} {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(kind: ObjectKind, all: &[ObjectView]) -> Table {
    let empty = "There are none: describe them in files and `greenroom apply -f FOLDER`";
    let names = |value: &Value, key: &str| -> String {
        let all: Vec<&str> = match value {
            Value::Array(items) => items
                .iter()
                .filter_map(|item| if key.is_empty() { item.as_str() } else { item[key].as_str() })
                .collect(),
            Value::Object(map) => map.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        all.join(", ")
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut table = match kind {
        ObjectKind::Node => Table::new(&["NODE", "DATACENTER", "ENVIRONMENT", "ROLES", "APPS", "VERSION"], empty),
        ObjectKind::Datacenter => Table::new(&["DATACENTER", "STANDS BY FOR", "VERSION"], empty),
        ObjectKind::Environment => Table::new(&["ENVIRONMENT", "RESTORABLE", "DATACENTERS", "APPS", "VERSION"], empty),
        ObjectKind::Role => Table::new(&["ROLE", "INCLUDES", "RECIPES", "VERSION"], empty),
    };
    for object in all {
        let spec = &object.body["spec"];
        let cells = match kind {
            ObjectKind::Node => vec![
                text(&spec["datacenter"]),
                text(&spec["environment"]),
                names(&spec["roles"], ""),
                names(&spec["apps"], "app"),
            ],
            ObjectKind::Datacenter => vec![text(&spec["standbyFor"])],
            ObjectKind::Environment => vec![
                if spec["restorable"] == true { "yes" } else { "no" }.to_owned(),
                names(&spec["datacenters"], ""),
                names(&spec["apps"], ""),
            ],
            ObjectKind::Role => vec![names(&spec["roles"], ""), names(&spec["recipes"], "name")],
        };
        let name = std::iter::once(object.name.clone());
        table.row(name.chain(cells).chain(std::iter::once(object.version.to_string())));
    }
    table
}
