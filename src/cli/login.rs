//! `greenroom login`: tries a token, and keeps it with the server's address for the commands that follow.

use super::Result;
use super::connect::{Login, keep};
use super::output::Output;
use crate::client::Client;
use crate::model::fault::Fault;
use clap::Args;
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Address of the server, such as http://127.0.0.1:7400
    url: String,

    /// API token, made in the portal or by `greenroom token create` [default: read from standard input]
    #[arg(long, env = "GREENROOM_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Tries the token and keeps it.
///
/// # Errors
/// What the server says to it, or where it cannot be kept.
pub async fn run(args: LoginArgs, output: Output) -> Result {
    let token = match args.token {
        Some(token) => token,
        None => read_token(output)?,
    };
    let client = Client::new(&args.url, Some(token.trim().to_owned()))?;
    let me = client.me().await?;
    let login = Login {
        server: client.server().to_owned(),
        token: token.trim().to_owned(),
    };
    let file = keep(&login)?;
    if output.is_json() {
        output.json(&serde_json::json!({ "server": login.server, "user": me.name, "role": me.role, "file": file }));
    } else {
        output.done(format!("Signed in to {} as {} ({})", login.server, me.name, me.role));
        output.note(format!("Kept in {}, readable by you only", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn read_token(output: Output) -> Result<String> {
    let mut text = String::new();
    let read = if std::io::stdin().is_terminal() {
        output.note("Paste the token and press Enter:");
        std::io::stdin().read_line(&mut text)
    } else {
        std::io::stdin().take(4096).read_to_string(&mut text)
    };
    if read.is_err() || text.trim().is_empty() {
        let fault = Fault::new("invalid-request", "There is no token");
        return Err(Box::new(
            fault
                .next("Give it with --token, in GREENROOM_TOKEN or on standard input")
                .into(),
        ));
    }
    Ok(text)
}
