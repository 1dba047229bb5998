//! The process of a service: started by this agent or found running after an earlier one was killed.

use crate::agent::program::{Surroundings, describe};
use crate::machine::processes::{self, Process};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const LOOK: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Running {
    /// Its number, which is also its group's.
    pub(super) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(super) ticks: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Started(Child),
    // Whether this process started it, as another program.
    Found { own: bool },
}

/// How it ended, for people, and whether well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    /// Whether it ended with 0.
    pub(super) good: bool,
    /// As a sentence: "it ended with status 1".
    pub(super) text: String,
}

impl Running {
    /// Starts it.
    pub(super) fn start(mut command: Command) -> std::io::Result<Self> {
        let child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        // Ended already: its end is waited for like any other's.
        let ticks = Process::look(pid).map_or(0, |p| p.ticks);
        Ok(Self {
            pid,
            ticks,
            kind: Kind::Started(child),
        })
    }

    /// Takes over one that was started by an earlier agent, if it still runs.
    pub(super) fn find(pid: u32, ticks: u64) -> Option<Self> {
        let Some(process) = Process::look(pid).filter(|process| process.ticks == ticks) else {
            // Where this process started it, nobody else buries it.
            let _ = end_of(pid);
            return None;
        };
        Some(Self {
            pid,
            ticks,
            kind: Kind::Found {
                own: process.parent == std::process::id(),
            },
        })
    }

    /// Waits for its end.
    pub(super) async fn ended(&mut self) -> End {
        match &mut self.kind {
            Kind::Started(child) => match child.wait().await {
                Ok(status) => End {
                    good: status.success(),
                    text: describe(status),
                },
                Err(error) => End {
                    good: false,
                    text: format!("its end cannot be told: {error}"),
                },
            },
            Kind::Found { own: true } => loop {
                if let Some(status) = end_of(self.pid) {
                    return End {
                        good: status.success(),
                        text: describe(status),
                    };
                }
                sleep(LOOK).await;
            },
            Kind::Found { own: false } => {
                // Its parent was the agent before, so the system tells nobody of its end.
                while processes::is_alive(self.pid, self.ticks) {
                    sleep(LOOK).await;
                }
                End {
                    good: false,
                    text: "it ended, and its status went to the agent before".to_owned(),
                }
            }
        }
    }

    /// Asks it and its group to end, and ends it after this time.
    pub(super) async fn stop(mut self, patience: Duration) {
        self.signal(Signal::TERM);
        if timeout(patience, self.ended()).await.is_err() {
            self.signal(Signal::KILL);
            let _ = timeout(Duration::from_secs(10), self.ended()).await;
        }
    }

    fn signal(&self, signal: Signal) {
        // While it lives, or has not been waited for, the number is its own.
        let own = match &self.kind {
            Kind::Started(child) => child.id().is_some(),
            Kind::Found { .. } => processes::is_alive(self.pid, self.ticks),
        };
        if own && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, signal);
        }
    }
}

// How a child of this process ended, if it did; the system then forgets it.
fn end_of(pid: u32) -> Option<ExitStatus> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
    let (_, status) = waitpid(Some(pid), WaitOptions::NOHANG).ok().flatten()?;
    Some(ExitStatus::from_raw(status.as_raw()))
}

/// Ends everything that is left of a service, such as workers whose leader has died.
pub(super) async fn sweep(surroundings: &Surroundings, name: &str) {
    sweep_where(surroundings.mark(), |process| {
        process.variable(processes::SERVICE) == Some(name)
    })
    .await;
}

/// Ends the programs of states that an earlier agent left behind.
pub(in crate::agent) async fn sweep_tasks(surroundings: &Surroundings) {
    sweep_where(surroundings.mark(), |process| process.variable(processes::TASK).is_some()).await;
}

async fn sweep_where(mark: &Path, chosen: impl Fn(&Process) -> bool) {
    let mark = mark.to_str();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = processes::family(&processes::all(), |p| p.variable(processes::FOLDER) == mark && chosen(p));
        if left.is_empty() || Instant::now() > deadline {
            return;
        }
        for process in &left {
            process.signal(Signal::KILL);
        }
        sleep(Duration::from_millis(2)).await;
    }
}
