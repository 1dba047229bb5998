//! `greenroom demo`: the whole server in this process, a bookshop of five apps on it, and nothing left afterwards.
//!
//! With `--json` a program is told where everything is, in one line, once it serves. With `--check` nobody is needed: it launches, updates and destroys, proves that nothing is left, and says so in one line of
//! JSON. It is the self-test of an installation.

mod check;
mod leftovers;
mod organisation;
mod stage;

use super::output::Output;
use super::stack::public_links;
use super::{INTERRUPTED, Result, interrupted};
use clap::Args;
use serde_json::json;
use stage::{Stage, StageOptions};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Launch, update, destroy, prove that nothing is left, and print one line of JSON; exit 0 where all went well
    #[arg(long)]
    check: bool,

    /// Keep the server's data in this folder, for `greenroom serve --data` afterwards [default: a temporary folder]
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,

    /// Where the stack runs: a sandbox, or a container with nginx, PostgreSQL and Redis, which installs them first
    #[arg(long, value_name = "PROVIDER", default_value = "sandbox", value_parser = ["sandbox", "docker"])]
    provider: String,

    /// Address and port of the server; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: String,
}

/// Runs the demo until Ctrl-C, or the check.
///
/// # Errors
/// What failed; whatever had been made by then is destroyed.
pub async fn run(args: DemoArgs, output: Output) -> Result {
    let log = std::env::var("GREENROOM_SERVER_LOG").unwrap_or_else(|_| "error".into());
    crate::telemetry::start(&log, false);
    let options = StageOptions {
        keep: args.keep,
        provider: args.provider,
        listen: args.listen,
    };
    if args.check {
        return Ok(check::run(options, output).await);
    }
    let mut told = tokio::spawn(interrupted());
    output.note("Lantern & Quill, a bookshop of five apps in two languages\n");
    let began = Instant::now();
    let stage = tokio::select! {
        stage = Stage::open(options) => stage?,
        _ = &mut told => return Ok(ExitCode::from(INTERRUPTED)),
    };
    output.note(format!(
        "The server listens on {}; five repositories made and their apps registered in {:.1} s\n",
        stage.url(),
        began.elapsed().as_secs_f64()
    ));
    let shown = tokio::select! {
        shown = show(&stage, output) => shown.map(|()| ExitCode::SUCCESS),
        _ = &mut told => Ok(ExitCode::from(INTERRUPTED)),
    };
    if matches!(&shown, Ok(code) if *code == ExitCode::SUCCESS) {
        let _ = told.await;
    }
    output.note("\nDestroying everything …");
    let left = stage.close().await?;
    if left.is_empty() {
        output.note("Nothing is left: no process, no port, no file");
    } else {
        return Err(Box::new(left.fault().into()));
    }
    shown
}

async fn show(stage: &Stage, output: Output) -> Result<()> {
    let mut progress = output.progress();
    let stack = stage.launch(&mut progress).await?;
    let link = stage.sign_in_link().await?;
    if output.is_json() {
        output.json_line(&json!({
            "server": stage.url(), "sign_in": link, "token": stage.token(), "stack": stack.name, "links": stack.links
        }));
        return Ok(());
    }
    let took = stack.ready_at.map(|ready| ready.since(stack.created_at)).unwrap_or_default();
    output.line("");
    output.done(format!(
        "{} is ready, in {}",
        stack.name,
        crate::model::time::show_length(took)
    ));
    for link in public_links(&stack) {
        output.link(&link.label, &link.url);
    }
    output.link("Portal", &link);
    output.line("\nThe portal's link signs you in once. There, or in another terminal:");
    output.line(format!("  greenroom login {} --token {}", stage.url(), stage.token()));
    output.line(format!("  greenroom stack update {} storefront@v1.1 --wait", stack.name));
    output.line("\nCtrl-C destroys everything.");
    Ok(())
}
