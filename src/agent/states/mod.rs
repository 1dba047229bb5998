//! Making a state true: one file a type. Each looks first and changes only what differs; each says what it did.

pub(in crate::agent) mod accounts;
mod database;
mod directory;
mod entries;
mod execute;
mod fetched;
mod file;
mod git;
mod overlay;
mod package;
mod packages;
mod schedules;
mod server;
mod wait;

use super::confine::Confines;
use super::folder::{Folder, io_fault};
use super::logs::Logs;
use super::program::{self, Ended, Surroundings};
use super::secrets::{Secrets, Veil};
use super::services::{Services, Wanted};
use super::sources::Sources;
use crate::machine::processes;
use crate::model::configuration::{Guards, State, StateBody};
use crate::model::fault::Fault;
use accounts::Whose;
use overlay::Overlay;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(super) use packages::Packages;

const GUARD: Duration = Duration::from_mins(1);
const TOOL: Duration = Duration::from_mins(10);

/// What states are made true with.
#[derive(Debug)]
pub(super) struct Hands {
    /// The agent's folder.
    pub(super) folder: Folder,
    /// Where lines for people go.
    pub(super) logs: Logs,
    /// Secrets.
    pub(super) secrets: Secrets,
    /// Code that the server gives.
    pub(super) sources: Sources,
    /// Covers up secret values.
    pub(super) veil: Veil,
    /// The plain environment.
    pub(super) surroundings: Surroundings,
    /// Where states may write.
    pub(super) confines: Confines,
    /// The services.
    pub(super) services: Services,
    /// What the package manager has.
    pub(super) packages: Packages,
    /// What a plan pretends; nothing while states are made true.
    pub(super) overlay: Mutex<Option<Overlay>>,
    /// The difference that the state under way makes, for people.
    pub(super) diff: Mutex<String>,
}

/// What became of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// It was true already.
    Unchanged,
    /// It was made true; how, for people.
    Changed(String),
    /// A guard says that it need not be; which.
    Skipped(String),
    /// Only in a plan: it cannot be known without doing it; why.
    Unknown(String),
}

impl Hands {
    /// Makes the state true, unless a guard says that it need not be. `stream` is the log to write to.
    ///
    /// # Errors
    /// Why it cannot be made true.
    pub(super) async fn apply(&self, state: &State, changed: impl Fn(&str) -> bool, stream: &str) -> Result<Done, Fault> {
        let done = match self.kept_from(state, changed, stream).await? {
            Some(done) => done,
            None => self.make(state, stream).await?,
        };
        if matches!(done, Done::Unknown(_)) {
            self.pretend_maybe(state);
        }
        Ok(done)
    }

    /// Looks at a state without changing anything, and says what would be done.
    ///
    /// # Errors
    /// Why it could not be made true.
    pub(super) async fn look(&self, state: &State, changed: impl Fn(&str) -> bool, stream: &str) -> Result<Done, Fault> {
        if self.is_plan() {
            return self.apply(state, changed, stream).await;
        }
        self.begin_plan();
        let done = self.apply(state, changed, stream).await;
        self.end_plan();
        done
    }

    /// Makes the state true, whatever its guards say: for what a notification asks for.
    ///
    /// # Errors
    /// Why it cannot be made true.
    pub(super) async fn make(&self, state: &State, stream: &str) -> Result<Done, Fault> {
        match &state.body {
            StateBody::Package {
                name,
                program,
                min_version,
                version_args,
                install,
            } => match install {
                Some(install) => self.install(name, install, stream).await,
                None => self.package(name, program, min_version.as_deref(), version_args).await,
            },
            StateBody::File {
                path,
                content,
                mode,
                secret,
                owner,
                group,
                validate,
            } => {
                let file = file::FileState {
                    path,
                    content,
                    mode,
                    secret: *secret,
                    whose: Whose::new(owner.as_ref(), group.as_ref()),
                    validate,
                };
                self.file(file, stream).await
            }
            StateBody::Directory {
                path,
                mode,
                owner,
                group,
            } => self.directory(path, mode, Whose::new(owner.as_ref(), group.as_ref())),
            StateBody::Git {
                path,
                repository,
                commit,
                user,
            } => Box::pin(self.git_as(path, repository, commit, user.as_deref(), stream)).await,
            StateBody::Execute { .. } => self.execute(state, stream).await,
            StateBody::Service { .. } => self.service(&state.body).await,
            StateBody::Database { .. } => self.database(&state.body).await,
            StateBody::Link(link) => self.link(link),
            StateBody::Absent(absent) => self.absent(absent),
            StateBody::SystemService(service) => self.system_service(service, stream).await,
            StateBody::User(user) => self.user(user, stream).await,
            StateBody::Group(group) => self.group(group, stream).await,
            StateBody::Cron(cron) => self.cron(cron),
            StateBody::Timer(timer) => self.timer(timer, stream).await,
            StateBody::Download(download) => self.download(download).await,
            StateBody::Archive(archive) => self.archive(archive, stream).await,
            StateBody::AptRepository(repository) => self.apt_repository(repository, stream).await,
            StateBody::HostsEntry(entry) => self.hosts_entry(entry),
            StateBody::ServerDatabase(_) | StateBody::DatabaseUser(_) | StateBody::DatabaseRestore(_) if self.is_plan() => {
                Ok(Done::Unknown("a plan asks no databases".to_owned()))
            }
            StateBody::ServerDatabase(database) => self.server_database(database, stream).await,
            StateBody::DatabaseUser(user) => self.database_user(user, stream).await,
            StateBody::DatabaseRestore(restore) => self.database_restore(restore, stream).await,
            StateBody::WaitFor(wait) => self.wait_for(wait).await,
        }
    }

    // Runs one of the system's own tools, unless this is a plan; what it did is said in these words.
    async fn tool(&self, command: &[&str], said: &str, stream: &str) -> Result<Done, Fault> {
        if self.is_plan() {
            return Ok(Done::Changed(said.to_owned()));
        }
        let whole: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let env = BTreeMap::new();
        let ended = self.run(command[0], &whole, Path::new("/"), &env, TOOL, stream, "  ").await?;
        if ended.is_good() {
            return Ok(Done::Changed(said.to_owned()));
        }
        Err(ended.fault("state-failed", format!("`{}` failed", command.join(" ")), TOOL))
    }

    async fn service(&self, body: &StateBody) -> Result<Done, Fault> {
        let Some(wanted) = Wanted::of(body) else {
            return Ok(Done::Unchanged);
        };
        if self.is_plan() {
            let would = self.services.would(&wanted);
            if would.is_some() {
                self.pretend_service();
            }
            return Ok(would.map_or(Done::Unchanged, Done::Changed));
        }
        let done = self.services.put(&wanted).await?;
        if let Some(ready) = &wanted.ready {
            self.services
                .wait_ready(&wanted.name, Duration::from_secs(ready.timeout_s))
                .await?;
        }
        Ok(done.map_or(Done::Unchanged, Done::Changed))
    }

    /// The difference that the last state made, and forgets it.
    pub(super) fn take_diff(&self) -> String {
        std::mem::take(&mut *self.diff.lock().unwrap_or_else(PoisonError::into_inner))
    }

    // The guard that says that the state need not be made true, for people.
    async fn kept_from(&self, state: &State, changed: impl Fn(&str) -> bool, stream: &str) -> Result<Option<Done>, Fault> {
        let skipped = |why: String| Ok(Some(Done::Skipped(why)));
        let Guards {
            only_if,
            not_if,
            creates,
            changed: after,
            removes,
            file_exists,
            port_open,
            safe_in_plan,
        } = &state.guards;
        if matches!(state.body, StateBody::Execute { refresh_only: true, .. }) {
            return skipped("nothing has asked for it".to_owned());
        }
        // Only in a plan. What is known to keep the state from being done comes first, whatever is not known besides.
        let mut unknown = None;
        if let Some(id) = after
            && !changed(id)
        {
            if !self.is_maybe(id) {
                return skipped(format!("{id} did not change"));
            }
            unknown = Some(format!("whether {id} would change is not known"));
        }
        if let Some(path) = creates {
            match self.is_there(Path::new(path)) {
                Some(true) => return skipped(format!("{path} is there")),
                Some(false) => {}
                None => unknown = Some(format!("whether {path} would be there is not known")),
            }
        }
        for path in [removes, file_exists].into_iter().flatten() {
            match self.is_there(Path::new(path)) {
                Some(true) => {}
                Some(false) if !self.is_unsure() => return skipped(format!("{path} is not there")),
                _ => unknown = Some(format!("whether {path} would be there is not known")),
            }
        }
        if let Some(port) = port_open {
            if self.awaits_services() {
                unknown = Some(format!(
                    "whether something would take connections at port {port} is not known"
                ));
            } else if !wait::is_open("127.0.0.1", *port).await {
                return skipped(format!("nothing takes connections at port {port}"));
            }
        }
        if self.is_plan() && !safe_in_plan && (only_if.is_some() || not_if.is_some()) {
            unknown = Some("its guard is a program, and a plan runs none".to_owned());
        }
        if let Some(why) = unknown {
            return Ok(Some(Done::Unknown(why)));
        }
        if let Some(command) = only_if
            && !self.guard(state, command, stream).await?
        {
            return skipped(format!("{} does not end with 0", command.join(" ")));
        }
        if let Some(command) = not_if
            && self.guard(state, command, stream).await?
        {
            return skipped(format!("{} ends with 0", command.join(" ")));
        }
        Ok(None)
    }

    async fn guard(&self, state: &State, command: &[String], stream: &str) -> Result<bool, Fault> {
        // Where the state itself would run; anywhere that exists for the others.
        let (cwd, env) = match &state.body {
            StateBody::Execute { cwd, env, path, .. } | StateBody::Service { cwd, env, path, .. } if Path::new(cwd).is_dir() => {
                let mut env = self.secrets.resolve(env).await?;
                self.surroundings.add_path(&mut env, path);
                (Path::new(cwd), env)
            }
            _ => (Path::new("/"), BTreeMap::new()),
        };
        let ended = self.run(&state.id, command, cwd, &env, GUARD, stream, "").await?;
        if ended.status.is_none() {
            self.logs
                .line(stream, "  a guard took longer than a minute, which counts as no");
        }
        Ok(ended.is_good())
    }

    // Runs a program with its lines in the log, each behind `indent`; an empty indent keeps them out.
    #[expect(clippy::too_many_arguments, reason = "a program is exactly these things")]
    async fn run(
        &self,
        mark: &str,
        command: &[String],
        cwd: &Path,
        env: &BTreeMap<String, String>,
        limit: Duration,
        stream: &str,
        indent: &str,
    ) -> Result<Ended, Fault> {
        let ready = self.surroundings.command(command, cwd, env, (processes::TASK, mark))?;
        let ended = program::run(ready, limit, &self.veil, |line| {
            if !indent.is_empty() {
                self.logs.line(stream, &format!("{indent}{line}"));
            }
        });
        ended.await.map_err(|error| {
            let shown = command.first().map(String::as_str).unwrap_or_default();
            super::folder::io_fault(&format!("The program {shown} cannot be started in {}", cwd.display()), &error)
        })
    }
}

// Permission bits as recipes write them.
fn mode_bits(mode: &str) -> Result<u32, Fault> {
    u32::from_str_radix(mode.trim_start_matches("0o"), 8)
        .ok()
        .filter(|bits| *bits <= 0o7777)
        .ok_or_else(|| {
            Fault::new("configuration-refused", "The permission bits of a state are not octal digits")
                .why(mode.chars().take(20).collect::<String>())
        })
}
