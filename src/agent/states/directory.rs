//! A folder is there, with these permission bits.

use super::accounts::Whose;
use super::{Done, Hands, mode_bits};
use crate::agent::folder::io_fault;
use crate::model::fault::Fault;
use std::fs;
use std::os::unix::fs::PermissionsExt;

impl Hands {
    pub(super) fn directory(&self, path: &str, mode: &str, whose: Whose<'_>) -> Result<Done, Fault> {
        let real = self.confines.check(path)?;
        let bits = mode_bits(mode)?;
        let failed = |error| io_fault(&format!("The folder {path} cannot be made"), &error);
        let before = self.folder_bits(&real).map_err(failed)?;
        if self.is_plan() {
            self.pretend_folder(&real, bits);
        } else {
            if before.is_none() {
                fs::create_dir_all(&real).map_err(failed)?;
            }
            // The mode given at creation is cut by the umask.
            let now = fs::metadata(&real).map_err(failed)?.permissions().mode() & 0o7777;
            if now != bits {
                fs::set_permissions(&real, fs::Permissions::from_mode(bits)).map_err(failed)?;
            }
        }
        let owner = whose.give(self, &real)?;
        Ok(match before {
            Some(now) if now == bits => owner.map_or(Done::Unchanged, Done::Changed),
            Some(now) => Done::Changed(format!("mode {now:04o} became {bits:04o}")),
            None => Done::Changed(format!("made {path}")),
        })
    }
}
