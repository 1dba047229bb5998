//! The agent's folder: who holds it, the node's key, and the files that hold what must survive.

use crate::clock::{Clock, SystemClock};
use crate::machine::files;
use crate::model::fault::Fault;
use crate::model::time::{Timestamp, show_length};
use rustix::fs::FlockOperation;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

// A look at the lock by the provider holds it for an instant.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The folder, held by this agent for as long as a clone of the value lives.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: Arc<File>,
}

/// Whether the folder could be taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// It could.
    Ours(Folder),
    /// Another agent holds it.
    By(Holder),
}

/// Who holds a folder, as far as its lock says.
#[derive(Debug)]
pub(super) struct Holder {
    lock: PathBuf,
    pid: Option<u32>,
    since: Option<Timestamp>,
}

impl Holder {
    fn read(lock: PathBuf) -> Self {
        let text = std::fs::read_to_string(&lock).unwrap_or_default();
        let mut words = text.split_whitespace();
        Self {
            lock,
            pid: words.next().and_then(|word| word.parse().ok()),
            since: words.next().and_then(|word| word.parse().ok()).map(Timestamp),
        }
    }

    /// The fault of someone who cannot wait for it.
    pub(super) fn fault(&self) -> Fault {
        Fault::new("agent-busy", "Another run of the agent is under way on this node").why(self)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid} holds {}", self.lock.display())?,
            None => write!(f, "another process holds {}", self.lock.display())?,
        }
        match self.since {
            Some(since) => write!(f, " for {}", show_length(SystemClock.now().since(since).max(0))),
            None => Ok(()),
        }
    }
}

/// Who the node is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The node's own key: 64 hexadecimal digits.
    pub(super) key: String,
    /// Names this installation of the agent.
    pub(super) writer: String,
}

impl Folder {
    /// Takes the folder, making it where it is not there.
    pub(super) fn take(path: &Path, lock: &str) -> Result<Taken, Fault> {
        let failed = |error: io::Error| io_fault(&format!("The agent's folder {} cannot be used", path.display()), &error);
        for folder in [path.to_owned(), path.join("services"), path.join("spool")] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path.join(lock));
        let file = file.map_err(failed)?;
        let began = Instant::now();
        while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if began.elapsed() > LOCK_PATIENCE {
                return Ok(Taken::By(Holder::read(path.join(lock))));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // Only told to people; the lock itself is what counts.
        let told = format!("{} {}\n", std::process::id(), SystemClock.now().0);
        let _ = file.set_len(0).and_then(|()| file.write_all_at(told.as_bytes(), 0));
        Ok(Taken::Ours(Self {
            path: path.to_owned(),
            _lock: Arc::new(file),
        }))
    }

    /// A file of the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The node's key, made and stored before anyone is told of it.
    pub(super) fn identity(&self) -> Result<Identity, Fault> {
        let secret = |name: &str, prefix: &str| -> Result<String, Fault> {
            let path = self.file(name);
            match std::fs::read_to_string(&path) {
                Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_fault("The node's key cannot be read", &error));
                }
                _ => {}
            }
            let made = crate::model::secret::make(prefix);
            files::replace(&path, made.as_bytes(), 0o600).map_err(|e| io_fault("The node's key cannot be stored", &e))?;
            Ok(made)
        };
        let mut writer = secret("writer", "")?;
        writer.truncate(16);
        Ok(Identity {
            key: secret("key", "")?,
            writer,
        })
    }

    /// Reads what was saved under this name; nothing where there is none, or none that this version understands.
    pub(super) fn load<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let text = std::fs::read(self.file(name)).ok()?;
        serde_json::from_slice(&text)
            .map_err(|error| tracing::warn!(name, %error, "what the agent saved cannot be read"))
            .ok()
    }

    /// Saves a value under this name, in one step.
    pub(super) fn save<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Fault> {
        let text = serde_json::to_vec(value).map_err(|e| Fault::new("internal", "The agent's state is not JSON").why(e))?;
        files::replace_unflushed(&self.file(name), &text, 0o600)
            .map_err(|e| io_fault(&format!("The agent's {name} cannot be saved"), &e))
    }

    /// Forgets what was saved under this name.
    pub(super) fn forget(&self, name: &str) {
        let _ = std::fs::remove_file(self.file(name));
    }

    /// Whether the folder is still the one that was taken: a sandbox that was removed takes its agent's folder along.
    pub(super) fn is_there(&self) -> bool {
        self.path.is_dir()
    }
}

/// The fault of a failed file operation: `disk-full` where that is the cause, else `state-failed`.
pub(super) fn io_fault(what: &str, error: &io::Error) -> Fault {
    let code = if files::is_full(error) { "disk-full" } else { "state-failed" };
    Fault::new(code, what).why(error)
}
