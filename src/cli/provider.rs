//! `greenroom provider`: whether a provider has what launches need.

use super::Result;
use super::connect::Connection;
use super::output::Output;
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// Arguments of `provider`.
#[derive(Debug, Args)]
pub struct ProviderArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ProviderCommand,
}

#[derive(Debug, Subcommand)]
enum ProviderCommand {
    /// Look at everything that launches need, before anyone launches; exit 1 where something is missing
    Check {
        /// The provider: sandbox, docker or ec2
        name: String,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem.
pub async fn run(args: ProviderArgs, output: Output) -> Result {
    let client = args.connection.client()?;
    let ProviderCommand::Check { name } = args.command;
    let check = client.check_provider(&name).await?;
    if output.is_json() {
        output.json(&check);
    } else {
        for finding in &check.findings {
            let mark = match finding.ok {
                Some(true) => "good    ",
                Some(false) => "MISSING ",
                None => "unknown ",
            };
            output.line(format!("{mark}  {}: {}", finding.what, finding.why));
            if !finding.next.is_empty() {
                output.line(format!("            {}", finding.next));
            }
        }
        let missing = check.findings.iter().filter(|finding| finding.ok == Some(false)).count();
        output.line(match missing {
            0 => format!("\nNothing is missing that can be looked at: {name} can launch."),
            1 => "\n1 thing is missing.".to_owned(),
            many => format!("\n{many} things are missing."),
        });
    }
    Ok(if check.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
