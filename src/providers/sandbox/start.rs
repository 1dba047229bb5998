//! Starting the agent of a sandbox, detached from the server and with nothing of the server's environment.

use super::surroundings::Level;
use super::{Inner, ProviderError, failed, ports, remove};
use crate::machine::{files, processes};
use crate::model::id::NodeId;
use rustix::fs::FlockOperation;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const FOLDERS: [&str; 8] = ["agent", "apps", "data", "config", "logs", "home", "tmp", "run"];
const FIRST_WORD: Duration = Duration::from_secs(10);

/// Makes the folders of a sandbox; those that are there stay as they are.
pub(super) fn make_folders(folder: &Path) -> Result<(), ProviderError> {
    for name in FOLDERS {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder.join(name))
            .map_err(|e| failed(&format!("the folder {} cannot be made", folder.join(name).display()), &e))?;
    }
    Ok(())
}

/// Puts the one-time token where the agent reads it. A repeated call may bring another token, and the newest counts.
pub(super) fn write_token(folder: &Path, token: &str) -> Result<(), ProviderError> {
    if folder.join("agent/registered").exists() {
        return Ok(());
    }
    files::replace(&token_file(folder), token.as_bytes(), 0o600).map_err(|e| failed("the node's token cannot be written", &e))
}

fn token_file(folder: &Path) -> PathBuf {
    folder.join("agent/token")
}

/// Whether the sandbox got as far as having an agent.
pub(super) fn was_started(folder: &Path) -> bool {
    ports::read(folder).is_some() && (token_file(folder).exists() || folder.join("agent/registered").exists())
}

/// Whether an agent runs in this folder: it holds a lock there for as long as it lives.
pub(super) fn agent_runs(folder: &Path) -> bool {
    is_locked(&folder.join("agent/lock"))
}

fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Makes sure that the agent runs. To be called within the asynchronous runtime, which reaps the child.
pub(super) fn start(inner: &Inner, node: &NodeId) -> Result<(), ProviderError> {
    let folder = inner.folder(node);
    let began = Instant::now();
    // While its keeper lives, that starts it again inside the same walls. One that is just dying still holds its lock.
    loop {
        if agent_runs(&folder) {
            return Ok(());
        }
        if !is_locked(&folder.join("agent/keeper")) || began.elapsed() > FIRST_WORD {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let surroundings = inner.surroundings();
    surroundings.check_demanded()?;
    if matches!(surroundings.level, Level::Bubblewrap { .. }) {
        // New walls cannot hold what lives within the old ones; the new agent starts the services again.
        for process in remove::left_running(&folder) {
            process.signal(rustix::process::Signal::KILL);
        }
    }
    let record = ports::read(&folder).ok_or_else(|| ProviderError::Retry {
        why: format!("{} has no node.json", folder.display()),
    })?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(folder.join("agent/agent.log"))
        .map_err(|e| failed("the agent's log cannot be opened", &e))?;
    let errors = log.try_clone().map_err(|e| failed("the agent's log cannot be opened", &e))?;
    let mut agent = vec![inner.options.agent_program.clone().into_os_string(), "agent".into()];
    let mut flag = |name: &str, value: &std::ffi::OsStr| agent.extend([name.into(), value.to_owned()]);
    flag("--folder", folder.join("agent").as_os_str());
    flag("--server", record.server_url.as_ref());
    flag("--node", node.as_str().as_ref());
    flag("--token-file", token_file(&folder).as_os_str());
    flag("--confined-to", folder.as_os_str());
    flag("--isolation", surroundings.isolation().as_ref());
    flag("--memory-mb", record.size.memory_mb().to_string().as_ref());
    flag("--file-mb", record.size.disk_mb().to_string().as_ref());
    flag("--open-files", "4096".as_ref());
    flag("--processes", "4096".as_ref());
    let mut words = surroundings.walls(&inner.options, &inner.root, &folder, &record.readable, node);
    words.append(&mut agent);
    if matches!(surroundings.level, Level::Bubblewrap { .. }) {
        words.push("--keep".into());
    }
    let mut words = words.into_iter();
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        .env_clear()
        .env("PATH", &surroundings.path)
        .env("HOME", folder.join("home"))
        .env("TMPDIR", folder.join("tmp"))
        .env("LANG", "C.UTF-8")
        .envs(given(&inner.options.environment))
        .env(processes::NODE, node.as_str())
        .env(processes::FOLDER, folder.join("agent"))
        .current_dir(&folder)
        // Its own group, so that Ctrl-C in the server's terminal does not reach it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(false)
        .spawn()
        .map_err(|e| failed("the agent cannot be started", &e))?;
    inner.point("spawned")?;
    wait(&folder, &mut child)
}

// Under names that mean nothing to the agent itself: it is to pass them on, not to go through a proxy of theirs.
fn given(environment: &BTreeMap<String, String>) -> impl Iterator<Item = (String, &String)> {
    environment
        .iter()
        .map(|(name, value)| (format!("{}{name}", processes::GIVEN), value))
}

fn wait(folder: &Path, child: &mut tokio::process::Child) -> Result<(), ProviderError> {
    let began = Instant::now();
    loop {
        if agent_runs(folder) {
            return Ok(());
        }
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || began.elapsed() > FIRST_WORD {
            let said = last_words(&folder.join("agent/agent.log"));
            let how = ended.map_or_else(
                || "did not come up in time".to_owned(),
                |status| format!("ended with {status}"),
            );
            let why = format!("the sandbox's agent {how}: {said}");
            return Err(if said.contains("No space left on device") {
                ProviderError::DiskFull { why }
            } else {
                ProviderError::Retry { why }
            });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn last_words(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(2000)));
        let _ = file.read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    if lines.is_empty() {
        "it said nothing".to_owned()
    } else {
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}
