//! The first process of a container: starts the agent again whenever it ends, buries every process that nobody else waits for,
//! passes on the signals it gets, and at the end asks all that is left to end too.

use super::AgentOptions;
use super::folder::{Folder, Taken};
use super::renew::{AGENT, Renewal, Renewer};
use crate::machine::processes;
use crate::model::fault::Fault;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const LIVED: Duration = Duration::from_secs(10);
// How long everything may take to end before it is killed; a container's own patience is ten seconds.
const GRACE: Duration = Duration::from_secs(8);
// A signal that a child has ended may be lost among others of its kind.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps the agent running until it is told to end, or there is a program to become.
///
/// # Errors
/// Where the agent cannot be started or signals cannot be heard.
pub(super) async fn run(options: &AgentOptions, cancel: CancellationToken) -> Result<Option<Renewal>, Fault> {
    let Taken::Ours(_folder) = Folder::take(&options.folder, "keeper")? else {
        return Ok(None);
    };
    let failed = |error| Fault::new("internal", "The agent cannot be kept running").why(error);
    let mut ended = signal(SignalKind::child()).map_err(failed)?;
    let mut users = [
        (signal(SignalKind::user_defined1()).map_err(failed)?, Signal::USR1),
        (signal(SignalKind::user_defined2()).map_err(failed)?, Signal::USR2),
    ];
    let [one, two] = &mut users;
    if std::process::id() != 1 {
        // What loses its parent comes to us here too.
        let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    }
    let program = std::env::current_exe().map_err(failed)?;
    let arguments: Vec<_> = std::env::args_os().skip(1).filter(|a| a != "--init").collect();
    let mut pause = FIRST_PAUSE;
    // The one that runs below, where this process was another program before.
    let before = std::env::var(AGENT).ok().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    let mut agent: Option<(Pid, Instant)> = before.map(|pid| (pid, Instant::now()));
    let mut start_at = agent.is_none().then(Instant::now);
    let mut renewer = Renewer::new(options);
    loop {
        if agent.is_none() && start_at.is_some_and(|at| at <= Instant::now()) {
            start_at = None;
            let mut command = Command::new(&program);
            command
                .args(&arguments)
                .env(CHILD, "1")
                .env_remove(AGENT)
                .stdin(Stdio::null());
            // Waited for below, with all the others.
            match command.spawn() {
                Ok(child) => {
                    agent = i32::try_from(child.id())
                        .ok()
                        .and_then(Pid::from_raw)
                        .map(|pid| (pid, Instant::now()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the agent cannot be started");
                    start_at = Some(Instant::now() + pause);
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            _ = ended.recv() => {}
            _ = one.0.recv() => forward(agent, one.1),
            _ = two.0.recv() => forward(agent, two.1),
            mut renewal = renewer.wanted() => {
                if renewal.asked {
                    forward(agent, Signal::HUP);
                }
                renewal.agent = agent.and_then(|(pid, _)| u32::try_from(pid.as_raw_nonzero().get()).ok());
                return Ok(Some(renewal));
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        while let Some(pid) = bury() {
            if let Some((_, began)) = agent.filter(|(ours, _)| *ours == pid) {
                agent = None;
                pause = if began.elapsed() > LIVED {
                    FIRST_PAUSE
                } else {
                    (pause * 2).min(LONGEST_PAUSE)
                };
                start_at = Some(Instant::now() + pause);
                tokio::time::sleep(pause).await;
            }
        }
    }
    end_all().await;
    Ok(None)
}

/// Tells the agent below the first process that it is not that itself.
pub(super) const CHILD: &str = "GREENROOM_INIT_CHILD";

/// Whether this process is to be the first of a container.
pub(super) fn is_wanted(options: &AgentOptions) -> bool {
    let first = std::process::id() == 1 || options.init;
    first && !options.once && std::env::var_os(CHILD).is_none()
}

fn forward(agent: Option<(Pid, Instant)>, signal: Signal) {
    if let Some((pid, _)) = agent {
        let _ = kill_process(pid, signal);
    }
}

// One process that has ended.
fn bury() -> Option<Pid> {
    wait(WaitOptions::NOHANG).ok().flatten().map(|(pid, _)| pid)
}

async fn end_all() {
    let own = std::process::id();
    // Of a container all processes are below its first one; elsewhere only our own descendants are ours to end.
    let left = || processes::family(&processes::all(), |p| p.parent == own);
    for process in left() {
        process.signal(Signal::TERM);
    }
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline {
        while bury().is_some() {}
        if left().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for process in left() {
        process.signal(Signal::KILL);
    }
    while bury().is_some() {}
}
