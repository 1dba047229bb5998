//! The agent: on a node, it asks what the node should be, makes it so, keeps its services running, and says how it went.
//!
//! It knows the server only through its link, and the configuration only as states in written order. What it starts outlives
//! it: killed at any moment and started again, it finds its services by what it wrote down and by the marks in their
//! environment, finishes what it was doing, and sends what it had not sent. The invariant: everything that must survive is in
//! its folder before it is acted on, and one agent at a time holds that folder.

mod limits;

use crate::model::id::NodeId;
pub use limits::Limits;
use std::path::PathBuf;
use std::time::Duration;

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Where it keeps its state: the node's key, its journal, what it has not sent yet, what it knows of its services.
    pub folder: PathBuf,
    /// The server's address.
    pub server_url: String,
    /// The node it is on.
    pub node: NodeId,
    /// The file with the one-time registration token; read at each attempt, because a newer token may come, and removed once
    /// the node is registered.
    pub token_file: Option<PathBuf>,
    /// Where set, states may only write below this folder.
    pub confined_to: Option<PathBuf>,
    /// What it and all it starts may use.
    pub limits: Limits,
    /// How well the node is kept apart, as its provider says.
    pub isolation: String,
    /// The longest pause between attempts to reach the server.
    pub longest_pause: Duration,
    /// Converge once and end, rather than stay.
    pub once: bool,
}

/// The command line of `greenroom agent`.
#[derive(Debug, Clone, clap::Args)]
pub struct AgentArgs {
    /// Where the agent keeps its state.
    #[arg(long, value_name = "FOLDER")]
    pub folder: PathBuf,
    /// The server's address.
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// The node's id.
    #[arg(long, value_name = "NODE")]
    pub node: NodeId,
    /// The file with the one-time registration token.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// States may only write below this folder.
    #[arg(long, value_name = "FOLDER")]
    pub confined_to: Option<PathBuf>,
    /// How well the node is kept apart, for people.
    #[arg(long, value_name = "TEXT", default_value = "none: the whole machine")]
    pub isolation: String,
    /// The most memory that one process may have for its data, in MiB.
    #[arg(long, value_name = "MIB")]
    pub memory_mb: Option<u64>,
    /// The size that one file may grow to, in MiB.
    #[arg(long, value_name = "MIB")]
    pub file_mb: Option<u64>,
    /// How many files one process may have open.
    #[arg(long, value_name = "COUNT")]
    pub open_files: Option<u64>,
    /// How many processes the user may have; not felt by root.
    #[arg(long, value_name = "COUNT")]
    pub processes: Option<u64>,
    /// The longest pause between attempts to reach the server, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pub longest_pause_ms: u64,
    /// Converge once and end.
    #[arg(long)]
    pub once: bool,
    /// Start the agent again whenever it ends, as the first process of a sandbox must.
    #[arg(long, hide = true)]
    pub keep: bool,
}

impl From<AgentArgs> for AgentOptions {
    fn from(args: AgentArgs) -> Self {
        Self {
            folder: args.folder,
            server_url: args.server,
            node: args.node,
            token_file: args.token_file,
            confined_to: args.confined_to,
            limits: Limits {
                memory_mb: args.memory_mb,
                file_mb: args.file_mb,
                open_files: args.open_files,
                processes: args.processes,
            },
            isolation: args.isolation,
            longest_pause: Duration::from_millis(args.longest_pause_ms),
            once: args.once,
        }
    }
}
