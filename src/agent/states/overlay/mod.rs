//! What a plan pretends: what earlier states would have made of the machine, so that later states see it.
//!
//! A plan goes through the same code as a convergence. Whatever would write asks first whether this is a plan, and then only
//! notes here what would be there. What nobody can know without doing it is noted as unknown, and so is what depends on it.
//! A command is taken to make the file that it says it makes, and to leave alone what other states describe.

mod disk;
mod entry;

use super::accounts::Accounts;
use super::packages::Known;
use super::{Hands, State, StateBody};
use crate::machine::files;
use crate::model::configuration::{Absent, Archive, DatabaseEngine, Download, Link};
use crate::model::fault::Fault;
use disk::Disk;
pub(super) use entry::{Below, Content, Entry, Folder, Owner};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::agent) struct Overlay {
    pub(super) disk: Disk,
    // All accounts and groups, where any would change.
    pub(super) accounts: Option<Accounts>,
    // What the package manager would have of these packages.
    pub(super) packages: BTreeMap<String, Known>,
    // Whether these services of the system would run, and would start with the machine.
    pub(super) services: BTreeMap<String, (bool, bool)>,
    // The commits that these folders would be at.
    pub(super) checkouts: BTreeMap<PathBuf, String>,
    // States of which it is not known whether they would change something.
    maybe: BTreeSet<String>,
    // Whether a command would have run, after which nothing is certain.
    unsure: bool,
    // Whether packages would have come or gone, with files and services of their own.
    installs: bool,
    // Whether services would have been started or stopped.
    starts: bool,
}

impl Overlay {
    fn new() -> Self {
        Self {
            disk: Disk::new(),
            accounts: None,
            packages: BTreeMap::new(),
            services: BTreeMap::new(),
            checkouts: BTreeMap::new(),
            maybe: BTreeSet::new(),
            unsure: false,
            installs: false,
            starts: false,
        }
    }
}

impl Hands {
    fn overlay(&self) -> MutexGuard<'_, Option<Overlay>> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pretends from now on.
    pub(in crate::agent) fn begin_plan(&self) {
        *self.overlay() = Some(Overlay::new());
    }

    /// Acts again from now on.
    pub(in crate::agent) fn end_plan(&self) {
        *self.overlay() = None;
    }

    /// Whether nothing must be changed.
    pub(in crate::agent) fn is_plan(&self) -> bool {
        self.overlay().is_some()
    }

    /// What is pretended by now, to be brought back.
    pub(in crate::agent) fn pretended(&self) -> Option<Overlay> {
        self.overlay().clone()
    }

    /// Pretends this and nothing else.
    pub(in crate::agent) fn pretend_only(&self, overlay: Option<Overlay>) {
        *self.overlay() = overlay;
    }

    /// Pretends something, and gives what that came to; nothing where this is no plan.
    pub(super) fn pretend<T>(&self, change: impl FnOnce(&mut Overlay) -> T) -> Option<T> {
        self.overlay().as_mut().map(change)
    }

    /// Whether a command that a plan does not run could have made a difference to what comes after it.
    pub(in crate::agent) fn is_unsure(&self) -> bool {
        self.overlay().as_ref().is_some_and(|overlay| overlay.unsure)
    }

    /// Whether packages that a plan does not install could have brought what is not there.
    pub(super) fn awaits_packages(&self) -> bool {
        self.overlay().as_ref().is_some_and(|overlay| overlay.installs)
    }

    /// Whether services would have been started or stopped before.
    pub(super) fn awaits_services(&self) -> bool {
        self.overlay()
            .as_ref()
            .is_some_and(|overlay| overlay.starts || overlay.unsure)
    }

    /// Whether it is not known if this state would change something.
    pub(super) fn is_maybe(&self, id: &str) -> bool {
        self.overlay().as_ref().is_some_and(|overlay| overlay.maybe.contains(id))
    }

    /// A command would run, and make this file if it says so.
    pub(super) fn pretend_command(&self, creates: Option<&str>) {
        self.pretend(|overlay| {
            overlay.unsure = true;
            if let Some(path) = creates
                && let Ok(real) = overlay.disk.follow(Path::new(path))
            {
                overlay.disk.doubt(&real, true, "an earlier command would make it");
            }
        });
    }

    /// Packages would come or go, with whatever belongs to them.
    pub(super) fn pretend_packages(&self) {
        self.pretend(|overlay| {
            overlay.unsure = true;
            overlay.installs = true;
        });
    }

    /// A service would be started or stopped.
    pub(super) fn pretend_service(&self) {
        self.pretend(|overlay| overlay.starts = true);
    }

    /// It is not known whether this state would be made true.
    pub(super) fn pretend_maybe(&self, state: &State) {
        let why = format!("{} may or may not be done", state.id);
        let entry = match &state.body {
            StateBody::Link(Link { path, .. }) | StateBody::Absent(Absent { path, .. }) => self.place_entry(path),
            StateBody::File { path, .. }
            | StateBody::Directory { path, .. }
            | StateBody::Git { path, .. }
            | StateBody::Download(Download { path, .. })
            | StateBody::Archive(Archive { path, .. })
            | StateBody::Database {
                engine: DatabaseEngine::Sqlite { path },
                ..
            } => self.place(path),
            _ => state.guards.creates.as_ref().map_or_else(
                || Err(Fault::new("not-found", "It has no place of its own")),
                |path| self.place(path),
            ),
        };
        let is_package = matches!(state.body, StateBody::Package { .. });
        let is_service = matches!(state.body, StateBody::Service { .. } | StateBody::SystemService(_));
        self.pretend(|overlay| {
            overlay.maybe.insert(state.id.clone());
            // One that was looked at to its end is as it would be.
            let settled = entry.as_ref().is_ok_and(|real| {
                let now = overlay.disk.entry(real);
                state.guards.is_empty() && !matches!(now, Ok(Entry::Nothing | Entry::Unknown { .. }))
            });
            match entry {
                Ok(real) if !settled => overlay.disk.doubt(&real, false, &why),
                Ok(_) => {}
                Err(_) => overlay.unsure = true,
            }
            overlay.installs |= is_package;
            overlay.starts |= is_service;
            overlay.unsure |= matches!(state.body, StateBody::Execute { .. });
        });
    }

    /// The path with links followed, if a state may write there.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn place(&self, path: &str) -> Result<PathBuf, Fault> {
        match self.overlay().as_ref() {
            Some(overlay) => self.confines.judge(path, |path| overlay.disk.follow(path)),
            None => self.confines.check(path),
        }
    }

    /// The path of an entry itself, with links followed up to its folder.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn place_entry(&self, path: &str) -> Result<PathBuf, Fault> {
        match self.overlay().as_ref() {
            Some(overlay) => self.confines.judge_entry(path, |path| overlay.disk.follow(path)),
            None => self.confines.check_entry(path),
        }
    }

    /// What is at a path whose folders are no links.
    pub(super) fn entry(&self, real: &Path) -> io::Result<Entry> {
        match self.overlay().as_ref() {
            Some(overlay) => overlay.disk.entry(real),
            None => Entry::read(real),
        }
    }

    /// Replaces a file in one step, making the folders above it.
    pub(super) fn put_file(&self, real: &Path, bytes: &[u8], bits: u32) -> io::Result<()> {
        let put = |overlay: &mut Overlay| overlay.disk.put_file(real, Content::Bytes(bytes.to_owned()), bits);
        if let Some(pretended) = self.pretend(put) {
            return pretended;
        }
        if let Some(folder) = real.parent() {
            fs::create_dir_all(folder)?;
        }
        files::replace(real, bytes, bits)
    }

    /// Changes permission bits.
    pub(super) fn set_bits(&self, real: &Path, bits: u32) -> io::Result<()> {
        match self.pretend(|overlay| overlay.disk.amend(real, Some(bits), (None, None))) {
            Some(pretended) => pretended,
            None => fs::set_permissions(real, fs::Permissions::from_mode(bits)),
        }
    }

    /// Whether something is at a path, links followed; nothing where a plan cannot know.
    pub(super) fn is_there(&self, path: &Path) -> Option<bool> {
        match self.overlay().as_ref() {
            Some(overlay) => overlay.disk.is_there(path),
            None => Some(path.exists()),
        }
    }

    /// Whether nothing is in a folder; nothing where a plan cannot know.
    pub(super) fn is_empty(&self, folder: &Path) -> io::Result<Option<bool>> {
        match self.overlay().as_ref() {
            Some(overlay) => overlay.disk.is_empty(folder),
            None => Ok(Some(fs::read_dir(folder)?.next().is_none())),
        }
    }
}
