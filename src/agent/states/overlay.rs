//! What a plan pretends: the files and folders that earlier states would have made, so that later states see them.
//!
//! A plan goes through the same code as a convergence. Whatever would write asks first whether this is a plan, and then only
//! notes here what would be there.

use super::Hands;
use crate::machine::files;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(in crate::agent) struct Overlay {
    // Content and permission bits; no content where a command would make the file.
    files: BTreeMap<PathBuf, (Option<Vec<u8>>, u32)>,
    folders: BTreeMap<PathBuf, u32>,
    // Names of accounts and groups.
    accounts: BTreeSet<String>,
    // Whether a command would have run, after which nothing is certain.
    unsure: bool,
}

impl Hands {
    fn overlay(&self) -> MutexGuard<'_, Option<Overlay>> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pretends from now on.
    pub(in crate::agent) fn begin_plan(&self) {
        *self.overlay() = Some(Overlay::default());
    }

    /// Acts again from now on.
    pub(in crate::agent) fn end_plan(&self) {
        *self.overlay() = None;
    }

    /// Whether nothing must be changed.
    pub(in crate::agent) fn is_plan(&self) -> bool {
        self.overlay().is_some()
    }

    /// Whether a command that a plan does not run could have made a difference to what comes after it.
    pub(in crate::agent) fn is_unsure(&self) -> bool {
        self.overlay().as_ref().is_some_and(|overlay| overlay.unsure)
    }

    /// A command would run, and make this file if it says so.
    pub(super) fn pretend_command(&self, creates: Option<&str>) {
        if let Some(overlay) = self.overlay().as_mut() {
            overlay.unsure = true;
            if let Some(path) = creates {
                overlay.files.insert(PathBuf::from(path), (None, 0o644));
            }
        }
    }

    /// Content and permission bits of a file; nothing where there is none.
    pub(super) fn read_file(&self, real: &Path) -> io::Result<Option<(Vec<u8>, u32)>> {
        if let Some(overlay) = self.overlay().as_ref()
            && let Some((content, bits)) = overlay.files.get(real)
        {
            let content = content
                .clone()
                .ok_or_else(|| io::Error::other("an earlier command would make it"))?;
            return Ok(Some((content, *bits)));
        }
        match fs::read(real) {
            Ok(bytes) => Ok(Some((bytes, fs::metadata(real)?.permissions().mode() & 0o7777))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // A plan's folders are not there.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && self.is_plan() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file in one step, making the folders above it.
    pub(super) fn put_file(&self, real: &Path, bytes: &[u8], bits: u32) -> io::Result<()> {
        if let Some(overlay) = self.overlay().as_mut() {
            overlay.files.insert(real.to_owned(), (Some(bytes.to_owned()), bits));
            return Ok(());
        }
        if let Some(folder) = real.parent() {
            fs::create_dir_all(folder)?;
        }
        files::replace(real, bytes, bits)
    }

    /// The permission bits of a folder; nothing where there is none.
    pub(super) fn folder_bits(&self, real: &Path) -> io::Result<Option<u32>> {
        if let Some(bits) = self.overlay().as_ref().and_then(|overlay| overlay.folders.get(real)) {
            return Ok(Some(*bits));
        }
        if !real.is_dir() {
            return Ok(None);
        }
        Ok(Some(fs::metadata(real)?.permissions().mode() & 0o7777))
    }

    /// Pretends a folder.
    pub(super) fn pretend_folder(&self, real: &Path, bits: u32) {
        if let Some(overlay) = self.overlay().as_mut() {
            overlay.folders.insert(real.to_owned(), bits);
        }
    }

    /// Pretends an account or a group.
    pub(super) fn pretend_account(&self, name: &str) {
        if let Some(overlay) = self.overlay().as_mut() {
            overlay.accounts.insert(name.to_owned());
        }
    }

    /// Whether an account or group is only pretended.
    pub(super) fn is_pretended(&self, name: &str) -> bool {
        self.overlay().as_ref().is_some_and(|overlay| overlay.accounts.contains(name))
    }

    /// Whether something is at this path.
    pub(super) fn is_there(&self, path: &Path) -> bool {
        let pretended = |overlay: &Overlay| overlay.files.contains_key(path) || overlay.folders.contains_key(path);
        self.overlay().as_ref().is_some_and(pretended) || path.exists()
    }
}
