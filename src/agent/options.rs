//! What an agent is told: by its provider, its unit file, or a person at its command line.

use super::{InstallArgs, Limits, UninstallArgs};
use crate::clock::{Clock, SystemClock};
use crate::model::id::NodeId;
use crate::model::time::{Timestamp, parse_length};
use std::fmt;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What an agent is told.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// Where it keeps its state: the node's key, its journal, what it has not sent yet, what it knows of its services.
    pub folder: PathBuf,
    /// The server's address; empty without one.
    pub server_url: String,
    /// The node it is on, where its provider has given it an id.
    pub node: Option<NodeId>,
    /// The node's name in the inventory, where it is one of those.
    pub name: Option<String>,
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
    /// Change nothing, and say what would be changed; ends after it.
    pub plan: bool,
    /// Change nothing, and report what would be changed, for as long as it runs.
    pub audit: bool,
    /// How often to look whether everything is still as it should be; never where absent.
    pub every: Option<Duration>,
    /// Over how long a fleet's runs are spread; each node has its own place in it.
    pub splay: Duration,
    /// Be a container's first process.
    pub init: bool,
    /// Ask no server: apply `configuration`, or where that is absent the last good one.
    pub offline: bool,
    /// The configuration to apply.
    pub configuration: Option<Given>,
    /// A JSON file with the values of secrets, by name.
    pub secrets: Option<PathBuf>,
    /// Be the keeper, which starts this program again as the agent whenever that ends.
    pub keep: bool,
    /// Who hears what is done, where that is a person.
    pub echo: Option<Echo>,
}

/// A configuration that a person gives.
#[derive(Debug, Clone)]
pub enum Given {
    /// A file; `-` is standard input.
    File(PathBuf),
    /// Its bytes.
    Bytes(Vec<u8>),
}

impl AgentOptions {
    /// Whether a hangup has it begin anew. An agent that ends by itself does not, nor one at a terminal: whoever closes that wants
    /// it to end.
    pub fn hears_hangups(&self) -> bool {
        !self.once && !self.plan && !self.keep && !std::io::stdin().is_terminal()
    }

    /// One convergence of this machine by a configuration in hand, without a server.
    pub fn at_hand(folder: PathBuf, configuration: Vec<u8>) -> Self {
        Self {
            folder,
            server_url: String::new(),
            node: None,
            name: None,
            token_file: None,
            confined_to: None,
            limits: Limits::default(),
            isolation: String::new(),
            longest_pause: Duration::ZERO,
            once: true,
            plan: false,
            audit: false,
            every: None,
            splay: Duration::ZERO,
            init: false,
            offline: true,
            configuration: Some(Given::Bytes(configuration)),
            secrets: None,
            keep: false,
            echo: None,
        }
    }
}

/// Hears lines for people.
#[derive(Clone)]
pub struct Echo(Arc<dyn Fn(&str) + Send + Sync>);

impl Echo {
    /// Calls this function for each line.
    pub fn new(hear: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    /// Says a line.
    pub(super) fn say(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Echo")
    }
}

/// A length of time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Often(pub Option<Duration>);

fn often(text: &str) -> Result<Often, String> {
    if text == "never" {
        return Ok(Often(None));
    }
    let millis = u64::try_from(parse_length(text)?).unwrap_or_default();
    Ok(Often(Some(Duration::from_millis(millis))))
}

/// What else one can ask of the agent of a node.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum AgentTask {
    /// Have the agent change nothing, for a reason
    Disable {
        /// Why, for whoever wonders
        #[arg(long)]
        reason: String,
        /// When that ends by itself: a length of time such as `2h`, or a time such as `2030-01-31T08:00:00Z`
        #[arg(long, value_name = "TIME", value_parser = until)]
        until: Option<Timestamp>,
    },
    /// Let the agent act again
    Enable,
    /// Say how the agent is
    Status,
    /// Print a unit file for systemd
    Unit,
    /// Install the agent on this machine as a unit of systemd, or bring it up to date
    Install(InstallArgs),
    /// Take the agent off this machine; what it made of it stays
    Uninstall(UninstallArgs),
}

fn until(text: &str) -> Result<Timestamp, String> {
    if let Ok(length) = parse_length(text) {
        return Ok(SystemClock.now().plus(length));
    }
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| format!("{text:?} is neither a length of time nor a time"))?;
    Ok(Timestamp(time.as_millisecond()))
}

/// The command line of `greenroom agent`.
#[derive(Debug, Clone, clap::Args)]
#[command(subcommand_negates_reqs = true, group = clap::ArgGroup::new("ends").args(["once", "plan"]).multiple(true))]
pub struct AgentArgs {
    /// Where the agent keeps its state
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/var/lib/greenroom-agent",
        global = true,
        env = "GREENROOM_AGENT_FOLDER",
        hide_env = true
    )]
    pub folder: PathBuf,
    /// The server's address
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "offline",
        env = "GREENROOM_AGENT_SERVER",
        hide_env = true
    )]
    pub server: Option<String>,
    /// The node's id, where its provider has given it one
    #[arg(
        long,
        value_name = "NODE",
        required_unless_present_any = ["offline", "name"],
        env = "GREENROOM_AGENT_NODE",
        hide = true
    )]
    pub node: Option<NodeId>,
    /// The node's name in the inventory
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "node",
        env = "GREENROOM_AGENT_NAME",
        hide_env = true
    )]
    pub name: Option<String>,
    /// The file with the one-time registration token
    #[arg(long, value_name = "FILE", env = "GREENROOM_AGENT_TOKEN_FILE", hide_env = true)]
    pub token_file: Option<PathBuf>,
    /// Something else than running it.
    #[command(subcommand)]
    pub task: Option<AgentTask>,
    /// Converge once and end; the exit code is 0 where nothing changed, 2 where something did, 4 where it failed, 6 for both
    #[arg(long)]
    pub once: bool,
    /// Say what would be changed, change nothing, and end as `--once` does
    #[arg(long)]
    pub plan: bool,
    /// Change nothing and report what would be changed
    #[arg(long)]
    pub audit: bool,
    /// Ask no server: apply the file of `--configuration`, or the last good configuration
    #[arg(long, requires = "ends")]
    pub offline: bool,
    /// How often to look whether everything is still as it should be, such as `30m`; `never` leaves it at what changes
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = often)]
    pub every: Often,
    /// Over how long the runs of a fleet are spread; each node keeps its own place in it
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = often)]
    pub splay: Often,
    /// Be a container's first process; the first process is so by itself
    #[arg(long)]
    pub init: bool,
    /// The configuration to apply: the JSON that `greenroom recipe render` writes; `-` reads standard input
    #[arg(long, value_name = "FILE", requires = "offline")]
    pub configuration: Option<PathBuf>,
    /// Values of secrets: a JSON file of names and values
    #[arg(long, value_name = "FILE", requires = "offline")]
    pub secrets: Option<PathBuf>,
    /// States may only write below this folder
    #[arg(long, value_name = "FOLDER")]
    pub confined_to: Option<PathBuf>,
    /// How well the node is kept apart, for people
    #[arg(long, value_name = "TEXT", default_value = "none: the whole machine", hide = true)]
    pub isolation: String,
    /// The most memory that one process may have for its data, in MiB
    #[arg(long, value_name = "MIB")]
    pub memory_mb: Option<u64>,
    /// The size that one file may grow to, in MiB
    #[arg(long, value_name = "MIB")]
    pub file_mb: Option<u64>,
    /// How many files one process may have open
    #[arg(long, value_name = "COUNT")]
    pub open_files: Option<u64>,
    /// How many processes the user may have; not felt by root
    #[arg(long, value_name = "COUNT")]
    pub processes: Option<u64>,
    /// The longest pause between attempts to reach the server, in milliseconds
    #[arg(long, value_name = "MS")]
    pub longest_pause_ms: Option<u64>,
    /// Start the agent again whenever it ends, as the first process of a sandbox must
    #[arg(long, hide = true)]
    pub keep: bool,
}

impl From<AgentArgs> for AgentOptions {
    fn from(args: AgentArgs) -> Self {
        let of_a_stack = args.node.is_some();
        Self {
            folder: args.folder,
            server_url: args.server.unwrap_or_default(),
            node: args.node,
            name: args.name,
            token_file: args.token_file,
            confined_to: args.confined_to,
            limits: Limits {
                memory_mb: args.memory_mb,
                file_mb: args.file_mb,
                open_files: args.open_files,
                processes: args.processes,
            },
            isolation: args.isolation,
            longest_pause: Duration::from_millis(args.longest_pause_ms.unwrap_or(if of_a_stack { 5000 } else { 300_000 })),
            once: args.once,
            plan: args.plan,
            audit: args.audit,
            // A stack's node is given what it needs and looked after by its provider.
            every: args.every.0.filter(|_| !of_a_stack),
            splay: args.splay.0.unwrap_or_default(),
            init: args.init,
            offline: args.offline,
            configuration: args.configuration.map(Given::File),
            secrets: args.secrets,
            keep: args.keep,
            echo: None,
        }
    }
}
