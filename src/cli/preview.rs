//! `greenroom preview`: branches that forges told of, and the staging servers that show them.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table};
use crate::wire::previews::PreviewView;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `preview`.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: PreviewCommand,
}

#[derive(Debug, Subcommand)]
enum PreviewCommand {
    /// List previews, the last changed first
    #[command(visible_alias = "ls")]
    List,
    /// Take a preview down, until the forge tells of its branch again
    End {
        /// Its id
        id: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: PreviewArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        PreviewCommand::List => {
            let previews = client.list_previews().await?;
            let mut table = Table::new(
                &["PREVIEW", "PROJECT", "BRANCH", "COMMIT", "STACK", "STATE", "WHERE"],
                "No previews: point a forge's webhook at /hooks/github, /hooks/gitlab or /hooks/gitea",
            );
            for preview in &previews {
                table.row(row(preview));
            }
            output.table(&previews, &table);
        }
        PreviewCommand::End { id } => {
            client.end_preview(&id).await?;
            output.done(format!("{id} goes"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(preview: &PreviewView) -> [String; 7] {
    let state = preview
        .fault
        .clone()
        .or_else(|| preview.stack_state.map(|state| state.to_string()));
    let link = preview.links.iter().find(|link| link.public);
    [
        preview.id.clone(),
        preview.project.clone(),
        preview.branch.clone(),
        preview.commit.chars().take(10).collect(),
        preview.stack.clone().unwrap_or_default(),
        state.unwrap_or_else(|| preview.state.clone()),
        link.map(|link| link.url.clone()).unwrap_or_default(),
    ]
}
