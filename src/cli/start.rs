//! `greenroom serve`: reads the settings, starts the server, and stops it cleanly when told to.

use super::output::Output;
use super::{Result, interrupted, serve};
use crate::config::{DEFAULTS, Settings};
use crate::model::fault::Fault;
use crate::wire::problem::Problem;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Settings file (TOML); it needs only what differs from the defaults
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Address and port to listen on; port 0 picks a free one [default: 127.0.0.1:7400]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,

    /// Folder of the database, git mirrors and sandboxes [default: greenroom-data]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// Print a new one-time link that signs this account in, for when nobody can sign in any more [default: admin]
    #[arg(long, value_name = "ACCOUNT", num_args = 0..=1, default_missing_value = "admin")]
    sign_in_link: Option<String>,

    /// Print the default settings, with what each means, and end
    #[arg(long)]
    print_settings: bool,
}

/// Runs the server until Ctrl-C or a signal to end.
///
/// # Errors
/// Settings that cannot be used, or a server that cannot start.
pub async fn run(args: ServeArgs, output: Output) -> Result {
    if args.print_settings {
        output.text(DEFAULTS);
        return Ok(ExitCode::SUCCESS);
    }
    let mut settings = Settings::load(args.settings.as_deref(), std::env::vars()).map_err(|error| {
        let fault = Fault::new("cannot-start", "The settings cannot be used").why(error);
        Box::new(Problem::from(
            fault.next("`greenroom serve --print-settings` shows every setting"),
        ))
    })?;
    if let Some(listen) = args.listen {
        settings.server.listen = listen;
    }
    if let Some(data) = args.data {
        settings.data.folder = data;
    }
    crate::telemetry::start(&settings.server.log, settings.server.log_json);
    // Heard from the start: told to end while starting, it ends right after.
    let told = tokio::spawn(interrupted());
    let running = serve::start_with(settings, serve::Replacements::from_environment())
        .await
        .map_err(|error| cannot_start(&error))?;
    let link = running.control.first_link().await.map_err(|error| Box::new(error.into()))?;
    let asked = match args.sign_in_link.as_deref() {
        // The first start's link is that already.
        Some(name) if link.is_none() || name != "admin" => match running.control.system_login_link(name).await {
            Ok(link) => Some((name, link)),
            Err(error) => {
                running.shutdown().await;
                return Err(Box::new(error.into()));
            }
        },
        _ => None,
    };
    if output.is_json() {
        let asked = asked.map(|(_, link)| link);
        output.json_line(&serde_json::json!({ "url": running.url, "first_link": link, "sign_in_link": asked }));
    } else {
        output.line(format!(
            "Greenroom {} listens on {} ({})",
            env!("CARGO_PKG_VERSION"),
            running.url,
            running.control.store.backend_name(),
        ));
        if let Some(link) = &link {
            output.line(format!(
                "\nWelcome. This link signs you in as admin, once, until {}:",
                link.expires_at
            ));
            output.link("Sign in", &link.url);
        }
        if let Some((name, link)) = &asked {
            output.line(format!("\nThis link signs {name} in, once, until {}:", link.expires_at));
            output.link("Sign in", &link.url);
        }
    }
    let _ = told.await;
    output.note("Stopping; staging servers run on");
    running.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// What to say where a server cannot start.
pub fn cannot_start(error: &anyhow::Error) -> Box<Problem> {
    let why: Vec<String> = error.chain().map(ToString::to_string).collect();
    Box::new(
        Fault::new("cannot-start", "The server cannot start")
            .why(why.join(": "))
            .into(),
    )
}
