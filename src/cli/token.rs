//! `greenroom token`: one's own API tokens.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table};
use crate::model::actor::Role;
use crate::wire::auth::NewToken;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token; it is shown once
    Create {
        /// What it is for
        name: String,
        /// What it may do: viewer, member, operator or admin [default: what you may]
        #[arg(long)]
        role: Option<Role>,
        /// How long it works, such as 30d [default: for ever]
        #[arg(long, value_name = "LENGTH")]
        expires_in: Option<String>,
    },
    /// List your tokens
    #[command(visible_alias = "ls")]
    List,
    /// Make a token useless
    Revoke {
        /// Its id
        id: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: TokenArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        TokenCommand::Create { name, role, expires_in } => {
            let token = client.create_token(&NewToken { name, role, expires_in }).await?;
            if output.is_json() {
                output.json(&token);
            } else {
                output.note(format!("Token {} ({}), shown only now:", token.name, token.role));
                output.line(token.secret.unwrap_or_default());
            }
        }
        TokenCommand::List => {
            let tokens = client.list_tokens().await?;
            let mut table = Table::new(&["ID", "NAME", "ROLE", "EXPIRES", "LAST USED"], "You have no tokens");
            for token in &tokens {
                let time = |at: Option<crate::model::time::Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
                table.row([
                    token.id.to_string(),
                    token.name.clone(),
                    token.role.to_string(),
                    time(token.expires_at),
                    time(token.used_at),
                ]);
            }
            output.table(&tokens, &table);
        }
        TokenCommand::Revoke { id } => {
            client.revoke_token(&id).await?;
            output.result(&serde_json::json!({ "revoked": id }), || format!("Revoked {id}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
