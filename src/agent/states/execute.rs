//! A program is run, without a shell, within its time.

use super::{Done, Hands, io_fault};
use crate::agent::program::Surroundings;
use crate::model::configuration::{State, StateBody};
use crate::model::fault::Fault;
use std::collections::BTreeMap;
use std::path::Path;
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
        let folder = self.place(cwd)?;
        if self.is_plan() {
            let missing = self.would_start(state, &folder);
            self.pretend_command(state.guards.creates.as_deref());
            missing?;
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

    // Whether the command could be started as far as a plan knows. An earlier command may make what is missing.
    fn would_start(&self, state: &State, folder: &Path) -> Result<(), Fault> {
        let StateBody::Execute { command, path, user, .. } = &state.body else {
            return Ok(());
        };
        if self.is_unsure() {
            return Ok(());
        }
        let program = command.first().map(String::as_str).unwrap_or_default();
        if self.is_there(folder) == Some(false) {
            let what = format!("The program {program} cannot be started in {}", folder.display());
            return Err(io_fault(&what, &std::io::ErrorKind::NotFound.into()));
        }
        if let Some(user) = user {
            self.accounts()?.user(user)?;
        }
        let is_made = self.pretend(|overlay| overlay.disk.makes(program)) == Some(true);
        let is_made = is_made || self.is_there(&folder.join(program)) != Some(false);
        let mut env = BTreeMap::new();
        self.surroundings.add_path(&mut env, path);
        let found = self.surroundings.find(program, folder, env.get("PATH").map(String::as_str));
        if is_made { Ok(()) } else { found.map(drop) }
    }
}
