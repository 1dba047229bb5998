//! `greenroom bundle`: recipes as immutable bundles, which environment is built from which, and what a change would touch.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table, plain};
use crate::client::Client;
use crate::model::fault::Fault;
use crate::recipes::bundle::Bundle;
use crate::recipes::loader::read_folder;
use crate::wire::bundles::PushRequest;
use crate::wire::configurations::{FleetPlanRequest, FleetPlanView};
use crate::wire::problem::Problem;
use clap::{Args, Subcommand};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `bundle`.
#[derive(Debug, Args)]
pub struct BundleArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: BundleCommand,
}

#[derive(Debug, Subcommand)]
enum BundleCommand {
    /// Keep a folder of recipes as a bundle
    Push {
        /// The folder
        folder: PathBuf,
        /// Take only the folder's files, without the server's own recipes
        #[arg(long)]
        only: bool,
        /// Where it comes from, such as a commit
        #[arg(long, default_value = "")]
        note: String,
    },
    /// List bundles, with the environments that point at them
    #[command(visible_alias = "ls")]
    List,
    /// Show a bundle's files, or print one
    Show {
        /// Its hash, or enough of its beginning
        bundle: String,
        /// Print this file
        file: Option<String>,
    },
    /// Show what differs between two bundles
    Diff {
        /// The one
        from: String,
        /// The other
        to: String,
    },
    /// Point an environment at a bundle
    Promote {
        /// The bundle, or the environment whose bundle it is
        bundle: String,
        /// The environment
        #[arg(long, value_name = "ENVIRONMENT")]
        to: String,
        /// The environment's version that you looked at [default: the present one]
        #[arg(long, value_name = "VERSION")]
        edited: Option<i64>,
    },
    /// Show what a bundle or a folder of recipes would change on which nodes
    Plan {
        /// A folder of recipes, or the hash of a bundle
        what: String,
        /// Only for the nodes of this environment
        #[arg(long, value_name = "ENVIRONMENT")]
        environment: Option<String>,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem, or a folder that cannot be read.
pub async fn run(args: BundleArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        BundleCommand::Push { folder, only, note } => {
            let request = PushRequest {
                files: files(&folder)?,
                with_own: !only,
                note: if note.is_empty() { folder.display().to_string() } else { note },
            };
            let pushed = client.push_bundle(&request).await?;
            for warning in &pushed.warnings {
                output.note(warning.to_string());
            }
            output.result(&pushed, || {
                let what = if pushed.new { "New bundle" } else { "Known bundle" };
                format!("{what} {}, {} files", pushed.bundle.hash, pushed.bundle.file_count)
            });
        }
        BundleCommand::List => {
            let bundles = client.list_bundles().await?;
            let mut table = Table::new(&["BUNDLE", "FILES", "ENVIRONMENTS", "PUSHED", "BY", "NOTE"], "No bundles yet");
            for bundle in &bundles {
                let mut environments = bundle.environments.join(", ");
                if bundle.own {
                    environments = format!("{environments} (the server's own)").trim().to_owned();
                }
                table.row([
                    short(&bundle.hash),
                    bundle.file_count.to_string(),
                    environments,
                    bundle.created_at.to_string(),
                    bundle.actor.clone(),
                    bundle.note.clone(),
                ]);
            }
            output.table(&bundles, &table);
        }
        BundleCommand::Show { bundle, file } => show(&client, &bundle, file.as_deref(), output).await?,
        BundleCommand::Diff { from, to } => {
            let diff = client.diff_bundles(&from, &to).await?;
            output.result(&diff, || {
                if diff.files.is_empty() {
                    return "They are the same".to_owned();
                }
                let files = diff.files.iter().map(|file| plain(&file.diff));
                files.collect::<String>().trim_end().to_owned()
            });
        }
        BundleCommand::Promote { bundle, to, edited } => {
            let version = match edited {
                Some(version) => version,
                None => client.show_pointer(&to).await?.version,
            };
            let bundle = if is_hash(&bundle) {
                bundle
            } else {
                client.show_pointer(&bundle).await?.bundle
            };
            let pointer = client.promote_bundle(&to, &bundle, version).await?;
            output.result(&pointer, || format!("{to} is built from {}", pointer.bundle));
        }
        BundleCommand::Plan { what, environment } => {
            let mut request = FleetPlanRequest {
                environment,
                ..FleetPlanRequest::default()
            };
            if Path::new(&what).is_dir() {
                request.files = files(Path::new(&what))?;
            } else {
                request.bundle = Some(what);
            }
            let plan = client.plan_fleet(&request).await?;
            output.result(&plan, || shown(&plan));
            if !plan.broken.iter().all(|node| node.already) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &Client, bundle: &str, file: Option<&str>, output: Output) -> Result<()> {
    let found = client.show_bundle(bundle).await?;
    if let Some(file) = file {
        let text = found.files.get(file).ok_or_else(|| {
            let fault = Fault::new("not-found", format!("The bundle has no file `{file}`"));
            Box::new(Problem::from(fault.next("`greenroom bundle show` lists its files")))
        })?;
        output.text(text);
        return Ok(());
    }
    let mut table = Table::new(&["FILE", "BYTES"], "It has no files");
    for (name, text) in &found.files {
        table.row([name.clone(), text.len().to_string()]);
    }
    output.table(&found, &table);
    Ok(())
}

/// A plan over the fleet as text.
pub fn shown(plan: &FleetPlanView) -> String {
    let mut text = String::new();
    for group in &plan.groups {
        let some = group.nodes.iter().take(12).cloned().collect::<Vec<_>>().join(", ");
        let more = group.nodes.len().saturating_sub(12);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "{} nodes: {some}{more}\n  {} states new, {} gone, {} changed\n{}",
            group.nodes.len(),
            group.added,
            group.removed,
            group.changed,
            plain(&group.diff)
        );
    }
    for node in &plan.broken {
        let why = if node.already {
            "does not compile, with or without this change"
        } else {
            "would not compile any more"
        };
        let _ = writeln!(text, "{}: {why}", node.node);
        for finding in &node.diagnostics {
            let _ = writeln!(text, "{finding}");
        }
    }
    text.push_str(&plan.summary);
    if plan.touched > 0 {
        let _ = write!(
            text,
            "\n{} of {} compared with what was last reported, the others with what they are asked to be now",
            plan.reported, plan.touched
        );
    }
    text
}

// The recipes and templates of a folder, by the names they have in a bundle.
fn files(folder: &Path) -> Result<BTreeMap<String, String>> {
    let refused = |finding: Box<crate::model::diagnostic::Diagnostic>| {
        let mut problem: Problem = Fault::new("recipe-invalid", "The folder cannot be read").into();
        problem.diagnostics = vec![*finding];
        Box::new(problem)
    };
    let mut bundle = Bundle::default();
    let mut files = BTreeMap::new();
    for (path, bytes) in read_folder(folder).map_err(refused)? {
        bundle.add(&path, &bytes);
        let name = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned());
        if let (Some(name), Ok(text)) = (name, String::from_utf8(bytes)) {
            files.insert(name, text);
        }
    }
    // What is no text would be left out in silence.
    let unreadable = |code: &str| code == "not-utf8" || code == "too-large";
    if let Some(finding) = bundle.check().into_iter().find(|finding| unreadable(&finding.code)) {
        return Err(refused(Box::new(finding)));
    }
    Ok(files)
}

fn is_hash(text: &str) -> bool {
    let digits = text.trim_start_matches("sha256:");
    digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn short(hash: &str) -> String {
    hash.chars().take(19).collect()
}
