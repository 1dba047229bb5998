//! `greenroom secret`: secrets for nodes of the inventory. A value comes from a file or from standard input, never from an
//! argument, which every process could read.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table};
use crate::model::fault::Fault;
use crate::wire::secrets::SecretRequest;
use clap::{Args, Subcommand};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

const MOST: u64 = 128 * 1024;

/// Arguments of `secret`.
#[derive(Debug, Args)]
pub struct SecretArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Give a secret its value, read from standard input
    Set {
        /// Its name, such as `shop/env/SESSION_KEY`
        name: String,
        /// The environment it is for [default: every one that has none of its own]
        #[arg(long, short, value_name = "NAME")]
        environment: Option<String>,
        /// Read the value from this file, as it is
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List secrets, without their values
    #[command(visible_alias = "ls")]
    List,
    /// Forget a secret
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        name: String,
        /// The environment it is for [default: the one for every environment]
        #[arg(long, short, value_name = "NAME")]
        environment: Option<String>,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem; a file that cannot be read.
pub async fn run(args: SecretArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    match args.command {
        SecretCommand::Set { name, environment, file } => {
            let value = value(file).map_err(|fault| Box::new(fault.into()))?;
            let request = SecretRequest {
                name,
                environment,
                value,
            };
            client.save_secret(&request).await?;
            let told = serde_json::json!({ "set": request.name, "environment": request.environment });
            output.result(&told, || {
                let place = request.environment.as_deref().unwrap_or("every environment");
                format!("Set {} for {place}", request.name)
            });
        }
        SecretCommand::List => {
            let secrets = client.list_secrets().await?;
            let mut table = Table::new(&["NAME", "ENVIRONMENT", "SET", "BY"], "There are no secrets");
            for secret in &secrets {
                table.row([
                    secret.name.clone(),
                    secret.environment.clone().unwrap_or_else(|| "(every)".to_owned()),
                    secret.updated_at.to_string(),
                    secret.updated_by.clone(),
                ]);
            }
            output.table(&secrets, &table);
        }
        SecretCommand::Remove { name, environment } => {
            client.remove_secret(&name, environment.as_deref()).await?;
            output.result(&serde_json::json!({ "removed": name }), || format!("Removed {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

// A newline at the end of what is typed or piped is the terminal's; in a file it may be the secret's.
fn value(file: Option<PathBuf>) -> std::result::Result<String, Fault> {
    let mut text = String::new();
    if let Some(file) = file {
        let read = std::fs::File::open(&file).and_then(|opened| opened.take(MOST).read_to_string(&mut text));
        read.map_err(|error| {
            let what = format!("The secret in {} cannot be read", file.display());
            Fault::new("not-found", what).why(error)
        })?;
        return Ok(text);
    }
    let read = std::io::stdin().take(MOST).read_to_string(&mut text);
    read.map_err(|error| Fault::new("invalid-request", "The secret cannot be read from standard input").why(error))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}
