//! `greenroom user`: accounts, for admins.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table};
use crate::model::actor::Role;
use crate::wire::auth::NewUser;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `user`.
#[derive(Debug, Args)]
pub struct UserArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account, with a link that signs its person in once
    Create {
        /// Its name
        name: String,
        /// What it may do: viewer, member, operator or admin
        #[arg(long, default_value = "member")]
        role: Role,
    },
    /// List accounts
    #[command(visible_alias = "ls")]
    List,
    /// Make a link that signs an account in once
    Link {
        /// The account
        name: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: UserArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        UserCommand::Create { name, role } => {
            let user = client.create_user(&NewUser { name, role }).await?;
            let link = client.create_login_link(&user.name).await?;
            if output.is_json() {
                output.json(&serde_json::json!({ "user": user, "link": link }));
            } else {
                output.done(format!("Made the account {} ({})", user.name, user.role));
                output.note(format!(
                    "Give its person this link; it works once, until {}:",
                    link.expires_at
                ));
                output.line(link.url);
            }
        }
        UserCommand::List => {
            let users = client.list_users().await?;
            let mut table = Table::new(&["NAME", "ROLE", "STATE", "SINCE"], "There are no accounts");
            for user in &users {
                let state = match (user.disabled, user.has_password) {
                    (true, _) => "disabled",
                    (false, true) => "active",
                    (false, false) => "without password",
                };
                let since = user.created_at.to_string();
                table.row([user.name.clone(), user.role.to_string(), state.to_owned(), since]);
            }
            output.table(&users, &table);
        }
        UserCommand::Link { name } => {
            let link = client.create_login_link(&name).await?;
            if !output.is_json() {
                output.note(format!("Signs {name} in once, until {}:", link.expires_at));
            }
            output.result(&link, || link.url.clone());
        }
    }
    Ok(ExitCode::SUCCESS)
}
