//! Going over to another program without ending: the agent becomes the program that was put in its file's place, or itself anew
//! where someone asks for that with a hangup. The process stays the same, so its services stay its children.
//!
//! It happens between convergences only. Invariant: the agent becomes no program that does not run.

use super::AgentOptions;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

const LOOK: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// The program to become, and what its process cannot see for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The program's file.
    pub program: PathBuf,
    /// Whether someone asked for it, rather than another program having been installed.
    pub asked: bool,
    /// The agent below the first process of a container, which goes on.
    pub agent: Option<u32>,
}

/// Tells the next program which process is the agent below it, where it is the first process of a container.
pub const AGENT: &str = "GREENROOM_INIT_AGENT";

/// See the module.
#[derive(Debug)]
pub(super) struct Renewer {
    program: Option<PathBuf>,
    // What stands at the program's file: at first what runs.
    known: Option<Stamp>,
    follows_file: bool,
    hangup: Option<Signal>,
    asked: bool,
}

// What tells one file from another at the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, u64, i64, i64);

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let of = |m: Metadata| Self(m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec());
        file.metadata().ok().filter(Metadata::is_file).map(of)
    }
}

impl Renewer {
    /// For this process. Only a machine of the inventory looks after its own program; elsewhere the provider does.
    pub(super) fn new(options: &AgentOptions) -> Self {
        let hears = options.hears_hangups();
        Self {
            program: std::env::current_exe().ok(),
            known: Stamp::of(Path::new("/proc/self/exe")),
            follows_file: hears && options.name.is_some(),
            hangup: if hears { signal(SignalKind::hangup()).ok() } else { None },
            asked: false,
        }
    }

    /// Waits until there is a program to become.
    pub(super) async fn wanted(&mut self) -> Renewal {
        loop {
            if !self.asked {
                // Kept where whoever waits here turns to something else first.
                self.asked = tokio::select! {
                    heard = heard(&mut self.hangup) => heard,
                    () = sleep(LOOK) => false,
                };
            }
            let Some(program) = self.program.clone() else { continue };
            let now = Stamp::of(&program);
            let is_new = self.follows_file && now.is_some() && now != self.known;
            if !self.asked && !is_new {
                continue;
            }
            if is_new && !has_settled(&program, now).await {
                continue;
            }
            let runs = runs(&program).await;
            let asked = std::mem::take(&mut self.asked);
            // A program that does not run is not tried again until another takes its place.
            self.known = now;
            if runs {
                tracing::info!(program = %program.display(), "the agent goes over to the program that is installed now");
                return Renewal {
                    program,
                    asked,
                    agent: None,
                };
            }
            tracing::warn!(program = %program.display(), "what is installed in the agent's place does not run; the agent stays as it is");
        }
    }
}

// Never where nobody can ask.
async fn heard(hangup: &mut Option<Signal>) -> bool {
    match hangup {
        Some(signal) => signal.recv().await.is_some(),
        None => std::future::pending().await,
    }
}

// Whether nobody is still writing it.
async fn has_settled(program: &Path, now: Option<Stamp>) -> bool {
    sleep(LOOK / 4).await;
    Stamp::of(program) == now
}

async fn runs(program: &Path) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.kill_on_drop(true);
    matches!(timeout(PATIENCE, command.status()).await, Ok(Ok(status)) if status.success())
}
