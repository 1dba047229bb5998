//! A program is run, without a shell, within its time.

use super::{Done, Hands};
use crate::agent::program::Surroundings;
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
            user,
            exit_codes,
            refresh_only: _,
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
        let whole = Surroundings::as_user(command, user.as_deref(), &mut env)?;
        let ended = self.run(&state.id, &whole, &folder, &env, limit, stream, "  ").await?;
        let code = ended.status.and_then(|status| status.code());
        if ended.is_good() && exit_codes.is_empty() || code.is_some_and(|code| exit_codes.contains(&code)) {
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
