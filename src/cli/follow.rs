//! Following a run until it ends: wake-ups where the server gives them, a look every second in any case.

use super::output::Progress;
use crate::client::{Client, Events};
use crate::clock::{Clock, SystemClock};
use crate::model::run::RunState;
use crate::wire::problem::Problem;
use crate::wire::runs::RunView;
use std::time::Duration;
use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_millis(700);
const REDRAW_EVERY: Duration = Duration::from_millis(100);
// A server that restarts is back within this time; its runs go on.
const SILENCE: Duration = Duration::from_secs(30);

/// Shows the run until it ends or waits for a person.
///
/// # Errors
/// The server's problem; `server-unreachable` once it has been silent for half a minute.
pub async fn follow(client: &Client, run: &str, progress: &mut Progress) -> Result<RunView, Box<Problem>> {
    let mut events = client.events(&format!("run:{run}")).await.ok();
    let mut heard = Instant::now();
    loop {
        match client.show_run(run).await {
            Ok(view) => {
                heard = Instant::now();
                progress.update(&view, SystemClock.now());
                if view.state.is_ended() || view.state == RunState::Blocked {
                    progress.finish();
                    return Ok(view);
                }
            }
            Err(problem) if problem.code == "server-unreachable" && heard.elapsed() < SILENCE => {}
            Err(problem) => {
                progress.finish();
                return Err(problem);
            }
        }
        wait(&mut events, progress).await;
    }
}

async fn wait(events: &mut Option<Events>, progress: &mut Progress) {
    let until = Instant::now() + LOOK_EVERY;
    loop {
        let woken = async {
            match events {
                Some(stream) => stream.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            alive = woken => {
                if alive {
                    return;
                }
                *events = None;
            }
            () = tokio::time::sleep(REDRAW_EVERY) => {
                progress.tick(SystemClock.now());
                if Instant::now() >= until {
                    return;
                }
            }
        }
    }
}
