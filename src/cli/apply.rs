//! `greenroom apply`: a folder of files becomes the inventory, with the difference first.

use super::Result;
use super::bundle::shown;
use super::connect::Connection;
use super::output::{Output, plain};
use crate::model::fault::Fault;
use crate::wire::configurations::FleetPlanView;
use crate::wire::inventory::{ApplyFile, ApplyRequest, ApplyView};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

// Something would change, as agents say it too.
const CHANGES: u8 = 2;

/// Arguments of `apply`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, or with --plan nothing would change; 2 with --plan something would; 1 it failed and nothing was changed, \
                  or with --fleet a node would not compile any more."
)]
pub struct ApplyArgs {
    #[command(flatten)]
    connection: Connection,
    /// A folder, with all `.json`, `.yaml` and `.yml` files in it, or a file; may be given several times
    #[arg(short, long, required = true, value_name = "PATH")]
    file: Vec<PathBuf>,
    /// Only show what would change
    #[arg(long)]
    plan: bool,
    /// Also show what it would change on the fleet's nodes
    #[arg(long, requires = "plan")]
    fleet: bool,
    /// Also remove the nodes, datacenters, environments and roles that no file describes
    #[arg(long)]
    prune: bool,
}

/// Plans or applies files.
///
/// # Errors
/// The server's problem with everything that is wrong in the files, or a file that cannot be read.
pub async fn run(args: ApplyArgs, output: Output) -> Result {
    let mut files = Vec::new();
    for path in &args.file {
        read(path, true, &mut files).map_err(|(path, error)| {
            let fault = Fault::new("not-found", format!("{} cannot be read", path.display())).why(error);
            Box::new(fault.next("Check its name").into())
        })?;
    }
    let client = args.connection.client()?;
    let request = ApplyRequest {
        files,
        plan: args.plan,
        prune: args.prune,
        fleet: args.fleet,
    };
    let done = client.apply_files(&request).await?;
    if output.is_json() {
        output.json(&done);
    } else {
        show(&done, args.plan, output);
    }
    let breaks = |plan: &FleetPlanView| plan.broken.iter().any(|node| !node.already);
    if done.fleet.as_ref().is_some_and(breaks) {
        return Ok(ExitCode::FAILURE);
    }
    let changes = args.plan && !done.changes.is_empty();
    Ok(if changes { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS })
}

fn show(done: &ApplyView, plan: bool, output: Output) {
    for warning in &done.warnings {
        output.note(warning.to_string());
    }
    for change in &done.changes {
        output.line(format!("{} {} {}", change.action, change.kind, change.name));
        for line in change.diff.lines() {
            output.line(format!("  {}", plain(line)));
        }
        output.line("");
    }
    let count = |action: &str| done.changes.iter().filter(|change| change.action == action).count();
    let what = format!(
        "{} created, {} changed, {} removed, {} as they were",
        count("create"),
        count("change"),
        count("remove"),
        done.unchanged
    );
    if plan {
        output.line(format!("Planned: {what}"));
        if let Some(fleet) = &done.fleet {
            output.line(shown(fleet));
        }
    } else {
        output.done(format!("Applied: {what}"));
    }
}

// Files in a folder in order of their names; hidden ones are somebody else's.
fn read(path: &Path, given: bool, files: &mut Vec<ApplyFile>) -> std::result::Result<(), (PathBuf, std::io::Error)> {
    let failed = |error| (path.to_owned(), error);
    if path.is_dir() {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        for entry in entries {
            let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if !hidden {
                read(&entry, false, files)?;
            }
        }
        return Ok(());
    }
    let known = path
        .extension()
        .is_some_and(|extension| ["json", "yaml", "yml"].iter().any(|known| extension == *known));
    if known || given {
        files.push(ApplyFile {
            name: path.display().to_string(),
            content: std::fs::read_to_string(path).map_err(failed)?,
        });
    }
    Ok(())
}
