//! Putting the agent onto a machine, and taking it off: its program, its settings, and a unit for systemd.
//!
//! Doing it again changes only what differs, so an installation is also how the agent is brought up to date.

use super::folder::io_fault;
use super::unit::{INSTANCE, SERVICE, installed_unit};
use crate::machine::files;
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::secret;
use crate::wire::agent::Registered;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where the program is put.
pub(super) const PROGRAM: &str = "/usr/local/bin/greenroom";
/// The settings that the unit reads.
pub(super) const SETTINGS: &str = "/etc/greenroom/agent.env";
const TOKEN: &str = "/etc/greenroom/token";
const WANTS: &str = "/etc/systemd/system/multi-user.target.wants";
// How long is waited for the node to register, so that whoever installs it sees that it did.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);

/// What `agent install` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct InstallArgs {
    /// The server's address
    #[arg(long, value_name = "URL", env = "GREENROOM_AGENT_SERVER", hide_env = true)]
    server: String,
    /// The token that the machine registers with; better in the environment or a file, for everyone sees command lines
    #[arg(long, value_name = "TOKEN", env = "GREENROOM_NODE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The file with that token; it is removed once the node is registered
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
    /// The node's name in the inventory [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The node's id, where its provider has given it one
    #[arg(long, value_name = "NODE", conflicts_with = "name", hide = true)]
    node: Option<NodeId>,
    /// Install into this tree, such as the one of an image, and start nothing
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
}

/// What `agent uninstall` is told.
#[derive(Debug, Clone, clap::Args)]
pub struct UninstallArgs {
    /// Remove the node's key and all that the agent knows too; the machine must then register anew
    #[arg(long)]
    purge: bool,
    /// Remove it from this tree
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
}

/// What came of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// The files that were written; those that were right already are not named.
    pub written: Vec<String>,
    /// Whether the agent was started, or started again.
    pub started: bool,
    /// The node's id, where it is registered.
    pub node: Option<String>,
    /// What is left for a person to do.
    pub next: Option<String>,
}

/// What came of taking it off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Uninstalled {
    /// What was removed.
    pub removed: Vec<String>,
    /// Services that the agent had started, which go on.
    pub running: Vec<String>,
}

struct Tree {
    root: PathBuf,
    boots_with_systemd: bool,
}

impl Tree {
    fn of(root: Option<&Path>) -> Self {
        Self {
            boots_with_systemd: root.is_none() && Path::new("/run/systemd/system").is_dir(),
            root: root.unwrap_or(Path::new("/")).to_owned(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn unit(&self) -> PathBuf {
        self.at(&format!("/etc/systemd/system/{SERVICE}"))
    }

    // Where a unit is linked to that is started with the machine.
    fn wanted(&self) -> PathBuf {
        self.at(WANTS).join(SERVICE)
    }
}

/// Installs the agent, or brings what is installed up to date, and starts it where systemd runs.
///
/// # Errors
/// Where a file cannot be written, systemd refuses, or the machine has nothing to register with.
pub async fn install(args: &InstallArgs, folder: &Path) -> Result<Installed, Fault> {
    let tree = Tree::of(args.root.as_deref());
    let own = tree.at(&folder.to_string_lossy());
    let mut node = registered(&own);
    if let (Some(was), Some(wanted)) = (&node, &args.node)
        && was != wanted.as_str()
    {
        // The disk is a copy of that node's: what it knows and its key are not this machine's.
        if tree.boots_with_systemd && tree.unit().exists() {
            systemctl(&["stop", SERVICE])?;
        }
        files::remove_all(&own).map_err(|e| io_fault("What another node's agent knew cannot be removed", &e))?;
        node = None;
    }
    let mut done = Installed::default();
    let token_file = args.token_file.clone().unwrap_or_else(|| TOKEN.into());
    if args.token.is_none() && node.is_none() && !tree.at(&token_file.to_string_lossy()).is_file() {
        let fault = Fault::new("invalid-request", "The machine has nothing to register with");
        return Err(fault.next("Give a token of `greenroom node token create` with --token-file or GREENROOM_NODE_TOKEN"));
    }
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let who = match &args.node {
        Some(node) => ("NODE", node.as_str().to_owned()),
        None => ("NAME", args.name.clone().unwrap_or_else(host)),
    };
    let settings = settings(&[
        ("SERVER", &args.server),
        (who.0, &who.1),
        ("TOKEN_FILE", &token_file.to_string_lossy()),
        ("FOLDER", &folder.to_string_lossy()),
    ])?;
    if let Some(token) = &args.token {
        put(&tree, TOKEN, format!("{}\n", token.trim()).as_bytes(), 0o600, &mut done)?;
    }
    if copy_program(&tree.at(PROGRAM))? {
        done.written.push(PROGRAM.to_owned());
    }
    put(&tree, SETTINGS, settings.as_bytes(), 0o644, &mut done)?;
    let unit = tree.unit();
    put_at(
        &unit,
        &format!("/etc/systemd/system/{SERVICE}"),
        installed_unit(machine(args, &tree)?.as_deref()).as_bytes(),
        0o644,
        &mut done,
    )?;
    if tree.boots_with_systemd {
        systemctl(&["daemon-reload"])?;
        systemctl(&["enable", "--quiet", SERVICE])?;
        systemctl(&[if done.written.is_empty() { "start" } else { "restart" }, SERVICE])?;
        done.started = true;
        done.node = wait_for_node(&own).await;
        if done.node.is_none() {
            done.next = Some(format!("It has not registered yet: `journalctl -u {SERVICE}` tells why"));
        }
        return Ok(done);
    }
    let wanted = tree.wanted();
    if !wanted.is_symlink() {
        let failed = |e: io::Error| io_fault("The agent's unit cannot be enabled", &e);
        fs::create_dir_all(tree.at(WANTS)).map_err(failed)?;
        symlink(format!("/etc/systemd/system/{SERVICE}"), &wanted).map_err(failed)?;
    }
    done.node = node;
    if args.root.is_none() {
        done.next = Some(format!(
            "There is no systemd here; run the agent with: set -a; . {SETTINGS}; exec {PROGRAM} agent"
        ));
    }
    Ok(done)
}

/// Stops the agent and removes what was installed. What it made of the machine stays, and its services run on.
///
/// # Errors
/// Where systemd refuses or something cannot be removed.
pub fn uninstall(args: &UninstallArgs, folder: &Path) -> Result<Uninstalled, Fault> {
    let tree = Tree::of(args.root.as_deref());
    let unit = tree.unit();
    if tree.boots_with_systemd && unit.exists() {
        systemctl(&["disable", "--quiet", "--now", SERVICE])?;
    }
    let own = tree.at(&folder.to_string_lossy());
    let mut done = Uninstalled {
        running: super::services::recorded(&own),
        ..Uninstalled::default()
    };
    let files = [unit, tree.wanted(), tree.at(SETTINGS), tree.at(TOKEN), tree.at(PROGRAM)];
    for file in files {
        match fs::remove_file(&file) {
            Ok(()) => done.removed.push(file.display().to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_fault(&format!("{} cannot be removed", file.display()), &error)),
        }
    }
    if args.purge && own.is_dir() {
        files::remove_all(&own).map_err(|e| io_fault("The agent's folder cannot be removed", &e))?;
        done.removed.push(own.display().to_string());
    }
    if tree.boots_with_systemd {
        systemctl(&["daemon-reload"])?;
    }
    Ok(done)
}

// Which machine this is, where its provider may start others from a copy of its disk.
fn machine(args: &InstallArgs, tree: &Tree) -> Result<Option<String>, Fault> {
    if args.node.is_none() {
        return Ok(None);
    }
    match fs::read_to_string(tree.at(INSTANCE)) {
        Ok(text) => {
            let plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
            let id: String = text.trim().chars().filter(plain).collect();
            Ok((!id.is_empty()).then_some(id))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_fault(&format!("{INSTANCE} cannot be read"), &error)),
    }
}

fn registered(folder: &Path) -> Option<String> {
    let text = fs::read(folder.join(Registered::NAME)).ok()?;
    serde_json::from_slice::<Registered>(&text).ok().map(|known| known.node)
}

async fn wait_for_node(folder: &Path) -> Option<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let node = registered(folder);
        if node.is_some() || Instant::now() > deadline {
            return node;
        }
        sleep(LOOK).await;
    }
}

// What the unit and shells read alike, so nothing in it may mean anything to either.
fn settings(all: &[(&str, &str)]) -> Result<String, Fault> {
    let mut text = format!("# Written by `greenroom agent install`; after a change: systemctl restart {SERVICE}\n");
    for (name, value) in all {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,~[]".contains(c);
        if value.is_empty() || !value.chars().all(plain) {
            let what = format!("The agent's {} cannot be {value:?}", name.to_lowercase().replace('_', " "));
            return Err(Fault::new("invalid-request", what));
        }
        let _ = writeln!(text, "GREENROOM_AGENT_{name}={value}");
    }
    Ok(text)
}

fn put(tree: &Tree, path: &str, bytes: &[u8], mode: u32, done: &mut Installed) -> Result<(), Fault> {
    put_at(&tree.at(path), path, bytes, mode, done)
}

fn put_at(file: &Path, shown: &str, bytes: &[u8], mode: u32, done: &mut Installed) -> Result<(), Fault> {
    if fs::read(file).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let failed = |e: io::Error| io_fault(&format!("{shown} cannot be written"), &e);
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    files::replace(file, bytes, mode).map_err(failed)?;
    done.written.push(shown.to_owned());
    Ok(())
}

// Puts this very program there; false where it is there already.
fn copy_program(to: &Path) -> Result<bool, Fault> {
    let failed = |e: io::Error| io_fault(&format!("The program cannot be put at {}", to.display()), &e);
    let own = Path::new("/proc/self/exe");
    if to.is_file() && hash(to).map_err(failed)? == hash(own).map_err(failed)? {
        return Ok(false);
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // Renamed over: what runs from the old file goes on with it.
    let beside = files::beside(to);
    let copied = (|| {
        fs::copy(own, &beside)?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755))?;
        File::open(&beside)?.sync_all()?;
        fs::rename(&beside, to)
    })();
    if let Err(error) = copied {
        let _ = fs::remove_file(&beside);
        return Err(failed(error));
    }
    Ok(true)
}

fn hash(file: &Path) -> io::Result<String> {
    Ok(secret::hash_all(File::open(file)?)?.1)
}

fn systemctl(arguments: &[&str]) -> Result<(), Fault> {
    let what = || format!("`systemctl {}` failed", arguments.join(" "));
    let ran = Command::new("systemctl").args(arguments).output();
    let ran = ran.map_err(|error| Fault::new("state-failed", what()).why(error))?;
    if ran.status.success() {
        return Ok(());
    }
    Err(Fault::new("state-failed", what()).why(String::from_utf8_lossy(&ran.stderr).trim()))
}
