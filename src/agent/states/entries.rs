//! Links, things that are not to be there, and lines of `/etc/hosts`.

use super::{Done, Hands, io_fault};
use crate::machine::files;
use crate::model::configuration::{Absent, HostsEntry, Link};
use crate::model::fault::Fault;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const HOSTS: &str = "/etc/hosts";
const OURS: &str = "# greenroom";

impl Hands {
    pub(super) fn link(&self, link: &Link) -> Result<Done, Fault> {
        let place = self.confines.check_entry(&link.path)?;
        let failed = |error| io_fault(&format!("The link {} cannot be made", link.path), &error);
        let said = match fs::symlink_metadata(&place) {
            Ok(there) if there.is_symlink() => {
                let now = fs::read_link(&place).map_err(failed)?;
                if now == Path::new(&link.to) {
                    return Ok(Done::Unchanged);
                }
                format!("led to {}", now.display())
            }
            Ok(there) if there.is_dir() => {
                let what = format!("There is a folder in the place of the link {}", link.path);
                return Err(Fault::new("state-failed", what).next("Remove it with a `directory` state that is `absent`"));
            }
            Ok(_) => "took the place of a file".to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => "made".to_owned(),
            Err(error) => return Err(failed(error)),
        };
        if !self.is_plan() {
            if let Some(folder) = place.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            let beside = files::beside(&place);
            symlink(&link.to, &beside).map_err(failed)?;
            fs::rename(&beside, &place).map_err(|error| {
                let _ = fs::remove_file(&beside);
                failed(error)
            })?;
        }
        Ok(Done::Changed(said))
    }

    pub(super) fn absent(&self, absent: &Absent) -> Result<Done, Fault> {
        let place = self.confines.check_entry(&absent.path)?;
        let failed = |error| io_fault(&format!("{} cannot be removed", absent.path), &error);
        let there = match fs::symlink_metadata(&place) {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Done::Unchanged),
            Err(error) => return Err(failed(error)),
        };
        if !self.is_plan() {
            if !there.is_dir() {
                fs::remove_file(&place).map_err(failed)?;
            } else if absent.recursive {
                files::remove_all(&place).map_err(failed)?;
            } else {
                fs::remove_dir(&place).map_err(|error| {
                    let fault = failed(error);
                    fault.next("Say `recursive: true` where all that is in it may go too")
                })?;
            }
        }
        Ok(Done::Changed("removed".to_owned()))
    }

    pub(super) fn hosts_entry(&self, entry: &HostsEntry) -> Result<Done, Fault> {
        let place = self.confines.check(HOSTS)?;
        let failed = |error| io_fault("/etc/hosts cannot be changed", &error);
        let before = fs::read_to_string(&place).map_err(failed)?;
        let after = hosts_with(&before, entry);
        if after == before {
            return Ok(Done::Unchanged);
        }
        if !self.is_plan() {
            let mode = fs::metadata(&place).map_err(failed)?.permissions().mode() & 0o7777;
            // In a container it is mounted as a file, which can be written and not replaced.
            files::replace(&place, after.as_bytes(), mode)
                .or_else(|_| fs::write(&place, &after))
                .map_err(failed)?;
        }
        Ok(Done::Changed(if entry.present { "named" } else { "forgotten" }.to_owned()))
    }
}

// The text with this entry as the only one of its main name. Lines of other names stay as they are.
fn hosts_with(text: &str, entry: &HostsEntry) -> String {
    let main = entry.names.first().map(String::as_str).unwrap_or_default();
    let wanted = format!("{} {} {OURS}", entry.address, entry.names.join(" "));
    let mut lines = Vec::new();
    let mut placed = false;
    for line in text.lines() {
        let words = line.split('#').next().unwrap_or_default();
        if words.split_whitespace().skip(1).any(|name| name == main) {
            if entry.present && !placed {
                lines.push(wanted.as_str());
                placed = true;
            }
        } else {
            lines.push(line);
        }
    }
    if entry.present && !placed {
        lines.push(&wanted);
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_hosts_is_put_in_once_changed_in_place_and_taken_out() {
        let entry = |address: &str, present| HostsEntry {
            address: address.to_owned(),
            names: vec!["db.internal".to_owned(), "db".to_owned()],
            present,
        };
        let first = hosts_with("127.0.0.1 localhost\n", &entry("10.0.0.7", true));
        assert_eq!(first, "127.0.0.1 localhost\n10.0.0.7 db.internal db # greenroom\n");
        assert_eq!(hosts_with(&first, &entry("10.0.0.7", true)), first);
        let moved = hosts_with(&first, &entry("10.0.0.8", true));
        assert_eq!(moved, "127.0.0.1 localhost\n10.0.0.8 db.internal db # greenroom\n");
        assert_eq!(hosts_with(&moved, &entry("10.0.0.8", false)), "127.0.0.1 localhost\n");
        let by_hand = "10.9.9.9 db.internal # by hand\n::1 db.internal.example\n";
        let taken = hosts_with(by_hand, &entry("10.0.0.7", true));
        assert_eq!(taken, "10.0.0.7 db.internal db # greenroom\n::1 db.internal.example\n");
    }
}
