//! A folder is there, with these permission bits.

use super::accounts::Whose;
use super::overlay::Entry;
use super::{Done, Hands, mode_bits};
use crate::agent::folder::io_fault;
use crate::model::fault::Fault;
use std::fs;
use std::io;
use std::path::Path;

impl Hands {
    pub(super) fn directory(&self, path: &str, mode: &str, whose: Whose<'_>) -> Result<Done, Fault> {
        let real = self.place(path)?;
        let bits = mode_bits(mode)?;
        let failed = |error| io_fault(&format!("The folder {path} cannot be made"), &error);
        let before = self.entry(&real).map_err(failed)?;
        if !matches!(before, Entry::Folder(_)) {
            self.make_folder(&real).map_err(failed)?;
        }
        // The mode given at creation is cut by the umask.
        if let Entry::Folder(now) = self.entry(&real).map_err(failed)?
            && now.bits != bits
        {
            self.set_bits(&real, bits).map_err(failed)?;
        }
        let owner = whose.give(self, &real)?;
        Ok(match before {
            Entry::Folder(now) if now.bits == bits => owner.map_or(Done::Unchanged, Done::Changed),
            Entry::Folder(now) => Done::Changed(format!("mode {:04o} became {bits:04o}", now.bits)),
            Entry::Unknown { why, .. } => Done::Unknown(why),
            _ if self.awaits_packages() => Done::Unknown("an earlier package may bring it".to_owned()),
            _ => Done::Changed(format!("made {path}")),
        })
    }

    // With the folders above it.
    fn make_folder(&self, real: &Path) -> io::Result<()> {
        self.pretend(|overlay| overlay.disk.make_folder(real))
            .unwrap_or_else(|| fs::create_dir_all(real))
    }
}
