//! A folder is there, with these permission bits.

use super::{Done, Hands, mode_bits};
use crate::agent::folder::io_fault;
use crate::model::fault::Fault;
use std::fs;
use std::os::unix::fs::PermissionsExt;

impl Hands {
    pub(super) fn directory(&self, path: &str, mode: &str) -> Result<Done, Fault> {
        let real = self.confines.check(path)?;
        let bits = mode_bits(mode)?;
        let failed = |error| io_fault(&format!("The folder {path} cannot be made"), &error);
        let was_there = real.is_dir();
        if !was_there {
            fs::create_dir_all(&real).map_err(failed)?;
        }
        let now = fs::metadata(&real).map_err(failed)?.permissions().mode() & 0o7777;
        if now != bits {
            fs::set_permissions(&real, fs::Permissions::from_mode(bits)).map_err(failed)?;
        }
        Ok(match (was_there, now == bits) {
            (true, true) => Done::Unchanged,
            (true, false) => Done::Changed(format!("mode {now:04o} became {bits:04o}")),
            (false, _) => Done::Changed(format!("made {path}")),
        })
    }
}
