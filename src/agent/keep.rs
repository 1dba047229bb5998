//! The keeper: starts the agent again whenever it ends. Inside walls of a process namespace no one outside can start an agent
//! among the services of the one that died, so someone inside must.

use super::AgentOptions;
use super::folder::{Folder, Taken};
use crate::model::fault::Fault;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const LIVED: Duration = Duration::from_secs(10);

/// Runs this program with the same arguments, except `--keep`, again and again until cancelled or the agent's folder is gone.
pub(super) async fn keep(options: &AgentOptions, cancel: CancellationToken) -> Result<(), Fault> {
    let Taken::Ours(folder) = Folder::take(&options.folder, "keeper")? else {
        return Ok(());
    };
    let failed = |error| Fault::new("internal", "The agent cannot be kept running").why(error);
    let program = std::env::current_exe().map_err(failed)?;
    let arguments: Vec<_> = std::env::args_os().skip(1).filter(|a| a != "--keep").collect();
    let mut pause = FIRST_PAUSE;
    while folder.is_there() {
        let began = Instant::now();
        match Command::new(&program).args(&arguments).stdin(Stdio::null()).spawn() {
            Ok(mut agent) => tokio::select! {
                _ = agent.wait() => {}
                () = cancel.cancelled() => return Ok(()),
            },
            Err(error) => tracing::warn!(%error, "the agent cannot be started"),
        }
        if began.elapsed() > LIVED {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cancel.cancelled() => return Ok(()),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}
