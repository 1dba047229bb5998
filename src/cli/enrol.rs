//! `greenroom node token`, `boot`, `agents`, `assign` and `forget`: the agents of the inventory's nodes, and what machines register with.

use super::Result;
use super::connect::Connection;
use super::output::{Output, Table, plain};
use crate::client::Client;
use crate::model::configuration::NodeConfiguration;
use crate::model::fault::Fault;
use crate::wire::agents::{AgentReportView, NewBoot, NewNodeToken};
use crate::wire::problem::Problem;
use clap::Subcommand;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What `node` does with agents.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Tokens that machines register with
    #[command(subcommand)]
    Token(TokenCommand),
    /// List the agents: what each should make true, and what it came to
    Agents,
    /// Show what a node's agent reported
    Reports {
        /// The node
        name: String,
        /// What was changed in each run too, with the differences of files
        #[arg(long)]
        changes: bool,
    },
    /// Show what a node's agent did, in its own words
    Log {
        /// The node
        name: String,
        /// Stay, and show what it does next
        #[arg(long, short)]
        follow: bool,
    },
    /// Have a node's agent make this configuration true
    Assign {
        /// The node
        name: String,
        /// The JSON that `greenroom recipe render` prints
        #[arg(long, value_name = "FILE")]
        configuration: PathBuf,
    },
    /// Make the address at which a machine that starts for the first time finds what to do to become this node
    Boot {
        /// The node
        name: String,
        /// The server's address as the machine reaches it [default: the server's setting `agents.url` or `server.public_url`]
        #[arg(long, value_name = "URL")]
        address: Option<String>,
        /// How long it may take until the machine starts
        #[arg(long, value_name = "LENGTH", default_value = "1h")]
        ttl: String,
        /// Have cloud-init do everything, without an agent, unless that is too long for user-data
        #[arg(long)]
        without_agent: bool,
        /// Print only this: the address, the words for the kernel's command line, or the user-data for a cloud's own field
        #[arg(long, value_enum)]
        print: Option<BootPart>,
    },
    /// Forget a node's agent, so that another machine may take its name
    Forget {
        /// The node
        name: String,
    },
}

/// What is printed of how a machine becomes a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BootPart {
    /// The address, with a slash at its end.
    Seed,
    /// `ds=nocloud;dsmode=net;s=` and the address.
    Kernel,
    /// The user-data.
    UserData,
}

/// What `node token` does.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown once
    Create {
        /// Names that fit; `*` stands for anything
        #[arg(long, value_name = "PATTERN")]
        name: String,
        /// The environment that new nodes belong to
        #[arg(long)]
        environment: String,
        /// The datacenter that they stand in
        #[arg(long)]
        datacenter: String,
        /// For how many machines
        #[arg(long, default_value_t = 1)]
        uses: i64,
        /// How long it is good
        #[arg(long, value_name = "LENGTH", default_value = "1h")]
        ttl: String,
    },
    /// List the tokens
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
pub async fn run(connection: Connection, command: AgentCommand, output: Output) -> Result {
    let client = connection.client()?;
    match command {
        AgentCommand::Token(command) => return token(&client, command, output).await,
        AgentCommand::Agents => {
            let agents = client.list_agents().await?;
            let mut table = Table::new(
                &["NODE", "OUTCOME", "UP TO DATE", "DRIFT", "LAST SEEN"],
                "No node has an agent",
            );
            for agent in &agents {
                table.row([
                    agent.name.clone(),
                    match &agent.outcome {
                        Some(outcome) if agent.nothing_asked && outcome == "applied" => "nothing asked".to_owned(),
                        Some(outcome) => outcome.clone(),
                        None => "nothing yet".to_owned(),
                    },
                    if agent.up_to_date { "yes" } else { "no" }.to_owned(),
                    agent.corrective.to_string(),
                    agent.seen_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
                ]);
            }
            output.table(&agents, &table);
        }
        AgentCommand::Log { name, follow } => log(&client, &name, follow, output).await?,
        AgentCommand::Reports { name, changes } => {
            let reports = client.agent_reports(&name).await?;
            if changes && !output.is_json() {
                for report in reports.iter().rev() {
                    output.text(changes_of(report));
                }
                return Ok(ExitCode::SUCCESS);
            }
            let mut table = Table::new(&["AT", "OUTCOME", "CHANGED", "FAULT"], "It has reported nothing");
            for report in &reports {
                let changed = report.report["states"].as_array().map_or(0, Vec::len);
                table.row([
                    report.at.to_string(),
                    report.report["outcome"].as_str().unwrap_or_default().to_owned(),
                    changed.to_string(),
                    report.report["fault"]["what"].as_str().unwrap_or_default().to_owned(),
                ]);
            }
            output.table(&reports, &table);
        }
        AgentCommand::Assign { name, configuration } => {
            let assigned = client.assign_configuration(&name, &read(&configuration)?).await?;
            output.result(&assigned, || format!("{name} is to be {}", assigned.hash));
        }
        AgentCommand::Boot {
            name,
            address,
            ttl,
            without_agent,
            print,
        } => {
            let user_data = if without_agent { "whole" } else { "agent" }.to_owned();
            let request = NewBoot {
                server: address,
                user_data,
                ttl,
            };
            let boot = client.boot_node(&name, &request).await?;
            match print {
                Some(BootPart::Seed) => output.line(&boot.seed),
                Some(BootPart::Kernel) => output.line(&boot.kernel),
                Some(BootPart::UserData) => output.bytes(&client.seed_file(&boot, "user-data").await?),
                None => output.result(&boot, || {
                    format!(
                        "Start the machine with this on its kernel's command line (in quotes where a shell or GRUB reads it):\n\n    {}\n\n\
                         It is good for one machine until {}, and shown only now; `greenroom node token revoke {}` ends it",
                        boot.kernel, boot.expires_at, boot.token
                    )
                }),
            }
        }
        AgentCommand::Forget { name } => {
            client.forget_agent(&name).await?;
            output.result(&serde_json::json!({ "forgotten": name }), || {
                format!("Forgot the agent of {name}")
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

// What a run changed, state by state.
fn changes_of(report: &AgentReportView) -> String {
    let text = |value: &Value| plain(value.as_str().unwrap_or_default());
    let body = &report.report;
    let mut told = format!("{} {}\n", report.at, text(&body["outcome"]));
    for state in body["states"].as_array().into_iter().flatten() {
        let parts = [&state["outcome"], &state["drift"], &state["note"]].map(text);
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let _ = writeln!(told, "  {}: {}", text(&state["id"]), parts.join(", "));
        for line in text(&state["diff"]).lines() {
            let _ = writeln!(told, "    {line}");
        }
    }
    if let Some(what) = body["fault"]["what"].as_str() {
        let _ = writeln!(told, "  failed: {}", plain(what));
    }
    told
}

async fn log(client: &Client, name: &str, follow: bool, output: Output) -> Result<()> {
    let (mut after, mut first, mut all) = (0, true, Vec::new());
    loop {
        let page = client.agent_log(name, after, follow && !first).await?;
        first = false;
        let came = !page.chunks.is_empty();
        after = page.next.max(after);
        for chunk in page.chunks {
            if output.is_json() {
                all.push(chunk);
                continue;
            }
            for line in chunk.text.lines() {
                output.line(format!("{} {}", chunk.at, plain(line)));
            }
        }
        if came {
            continue;
        }
        if !follow {
            break;
        }
        // A server that does not wait must not be asked without pause.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if output.is_json() {
        output.json(&all);
    }
    Ok(())
}

async fn token(client: &Client, command: TokenCommand, output: Output) -> Result {
    match command {
        TokenCommand::Create {
            name,
            environment,
            datacenter,
            uses,
            ttl,
        } => {
            let request = NewNodeToken {
                name,
                environment,
                datacenter,
                uses,
                ttl,
            };
            let token = client.create_node_token(&request).await?;
            if output.is_json() {
                output.json(&token);
            } else {
                output.note(format!(
                    "For {} named {}, until {}; shown only now:",
                    token.uses, token.name, token.expires_at
                ));
                output.line(token.secret.unwrap_or_default());
            }
        }
        TokenCommand::List => {
            let tokens = client.list_node_tokens().await?;
            let mut table = Table::new(
                &["ID", "NAMES", "PLACE", "LEFT", "UNTIL", "MADE BY"],
                "There are no node tokens",
            );
            for token in &tokens {
                table.row([
                    token.id.clone(),
                    token.name.clone(),
                    format!("{}/{}", token.environment, token.datacenter),
                    if token.revoked_at.is_some() {
                        "revoked".to_owned()
                    } else {
                        token.uses_left.to_string()
                    },
                    token.expires_at.to_string(),
                    token.made_by.clone(),
                ]);
            }
            output.table(&tokens, &table);
        }
        TokenCommand::Revoke { id } => {
            client.revoke_node_token(&id).await?;
            output.result(&serde_json::json!({ "revoked": id }), || format!("Revoked {id}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &std::path::Path) -> Result<NodeConfiguration> {
    let what = || format!("The configuration {} cannot be read", file.display());
    let refuse = |why: &dyn std::fmt::Display| Box::new(Problem::from(Fault::new("invalid-request", what()).why(why)));
    let text = std::fs::read(file).map_err(|e| refuse(&e))?;
    serde_json::from_slice(&text).map_err(|e| refuse(&e))
}
