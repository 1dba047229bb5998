//! The agent's folder: who holds it, the node's key, and the files that hold what must survive.

use crate::clock::{Clock, SystemClock};
use crate::machine::files;
use crate::model::fault::Fault;
use crate::model::signature::SigningKey;
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

// The key that a node is going over to.
const NEXT_KEY: &str = "key.next";
// A look at the lock by the provider holds it for an instant.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// The folder, held by this agent for as long as a clone of the value lives.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: Option<Arc<File>>,
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
#[derive(Debug)]
pub(super) struct Identity {
    /// The node's own key; its seed is 64 hexadecimal digits in the file `key`.
    pub(super) key: SigningKey,
    /// Names this installation of the agent.
    pub(super) writer: String,
}

impl Folder {
    /// Takes the folder, making it where it is not there.
    pub(super) fn take(path: &Path, lock: &str) -> Result<Taken, Fault> {
        Self::make(path)?;
        let failed = |error: io::Error| unusable(path, &error);
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
            _lock: Some(Arc::new(file)),
        }))
    }

    /// The folder for someone who only looks at it or leaves a word in it, whoever holds it.
    pub(super) fn look(path: &Path) -> Result<Self, Fault> {
        Self::make(path)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: None,
        })
    }

    /// Who holds the folder; nobody where it is free.
    pub(super) fn holder(path: &Path, lock: &str) -> Option<Holder> {
        let file = File::open(path.join(lock)).ok()?;
        let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        (!free).then(|| Holder::read(path.join(lock)))
    }

    fn make(path: &Path) -> Result<(), Fault> {
        for folder in [path.to_owned(), path.join("services"), path.join("spool")] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| unusable(path, &error))?;
        }
        Ok(())
    }

    /// A file of the folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Another key for a node whose key is older than this, or one that was made and not put in its place yet.
    ///
    /// # Errors
    /// Where it cannot be stored.
    pub(super) fn next_key(&self, life: Duration) -> Result<Option<SigningKey>, Fault> {
        let made = std::fs::metadata(self.file("key")).and_then(|m| m.modified());
        let is_old = made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > life));
        if !is_old && !self.file(NEXT_KEY).exists() {
            return Ok(None);
        }
        Ok(SigningKey::from_seed(&self.secret(NEXT_KEY)?))
    }

    /// Puts the other key in the place of the node's.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub(super) fn take_next_key(&self) -> Result<(), Fault> {
        std::fs::rename(self.file(NEXT_KEY), self.file("key")).map_err(|e| io_fault("The node's key cannot be replaced", &e))
    }

    fn secret(&self, name: &str) -> Result<String, Fault> {
        let path = self.file(name);
        match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_fault("The node's key cannot be read", &error));
            }
            _ => {}
        }
        let made = crate::model::secret::make("");
        files::replace(&path, made.as_bytes(), 0o600).map_err(|e| io_fault("The node's key cannot be stored", &e))?;
        Ok(made)
    }

    /// The node's key, made and stored before anyone is told of it.
    pub(super) fn identity(&self) -> Result<Identity, Fault> {
        let mut writer = self.secret("writer")?;
        writer.truncate(16);
        let key = SigningKey::from_seed(&self.secret("key")?);
        let key = key.ok_or_else(|| {
            let fault = Fault::new("state-failed", "The node's key is damaged").why(self.file("key").display());
            fault.next("Remove the file and register the node again")
        })?;
        Ok(Identity { key, writer })
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
        self.put(name, value, files::replace_unflushed)
    }

    /// As [`Self::save`]; not even a power cut takes it back.
    pub(super) fn save_flushed<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Fault> {
        self.put(name, value, files::replace)
    }

    fn put<T: Serialize>(&self, name: &str, value: &T, write: impl Fn(&Path, &[u8], u32) -> io::Result<()>) -> Result<(), Fault> {
        let text = serde_json::to_vec(value).map_err(|e| Fault::new("internal", "The agent's state is not JSON").why(e))?;
        write(&self.file(name), &text, 0o600).map_err(|e| io_fault(&format!("The agent's {name} cannot be saved"), &e))
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

fn unusable(path: &Path, error: &io::Error) -> Fault {
    io_fault(&format!("The agent's folder {} cannot be used", path.display()), error)
}

/// The fault of a failed file operation: `disk-full` where that is the cause, else `state-failed`.
pub(super) fn io_fault(what: &str, error: &io::Error) -> Fault {
    let code = if files::is_full(error) { "disk-full" } else { "state-failed" };
    Fault::new(code, what).why(error)
}
