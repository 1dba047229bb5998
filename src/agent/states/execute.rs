//! A program is run, without a shell, within its time.

use super::{Done, Hands};
use crate::model::configuration::{State, StateBody};
use crate::model::fault::Fault;
use std::time::Duration;

impl Hands {
    pub(super) async fn execute(&self, state: &State, stream: &str) -> Result<Done, Fault> {
        let StateBody::Execute {
            command,
            cwd,
            env,
            path,
            timeout_s,
            failure,
        } = &state.body
        else {
            return Ok(Done::Unchanged);
        };
        let folder = self.confines.check(cwd)?;
        if self.is_plan() {
            self.pretend_command(state.guards.creates.as_deref());
            return Ok(Done::Changed(format!("ran {}", command.join(" "))));
        }
        let mut env = self.secrets.resolve(env).await?;
        self.surroundings.add_path(&mut env, path);
        let limit = Duration::from_secs(*timeout_s);
        self.logs.line(stream, &format!("  $ {}", command.join(" ")));
        let ended = self.run(&state.id, command, &folder, &env, limit, stream, "  ").await?;
        if ended.is_good() {
            return Ok(Done::Changed(format!("ran {}", command.join(" "))));
        }
        let code = if failure == "build-failed" {
            "build-failed"
        } else {
            "state-failed"
        };
        let what = match &state.app {
            Some(app) => format!("`{}` of {app} failed", command.join(" ")),
            None => format!("`{}` failed", command.join(" ")),
        };
        Err(ended.fault(code, what, limit))
    }
}
