//! Links, things that are not to be there, and lines of `/etc/hosts`.

use super::overlay::Entry;
use super::{Done, Hands, io_fault};
use crate::machine::files;
use crate::model::configuration::{Absent, HostsEntry, Link};
use crate::model::fault::Fault;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

const HOSTS: &str = "/etc/hosts";
const OURS: &str = "# greenroom";

impl Hands {
    pub(super) fn link(&self, link: &Link) -> Result<Done, Fault> {
        let place = self.place_entry(&link.path)?;
        let failed = |error| io_fault(&format!("The link {} cannot be made", link.path), &error);
        let done = match self.entry(&place).map_err(failed)? {
            Entry::Link(now) if now == Path::new(&link.to) => return Ok(Done::Unchanged),
            Entry::Link(now) => Done::Changed(format!("led to {}", now.display())),
            Entry::Folder(_) => {
                let what = format!("There is a folder in the place of the link {}", link.path);
                return Err(Fault::new("state-failed", what).next("Remove it with a `directory` state that is `absent`"));
            }
            Entry::File(_) => Done::Changed("took the place of a file".to_owned()),
            Entry::Nothing => Done::Changed("made".to_owned()),
            Entry::Unknown { why, .. } => Done::Unknown(why),
        };
        if let Some(pretended) = self.pretend(|overlay| overlay.disk.put_link(&place, Path::new(&link.to))) {
            pretended.map_err(failed)?;
        } else {
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
        Ok(done)
    }

    pub(super) fn absent(&self, absent: &Absent) -> Result<Done, Fault> {
        let place = self.place_entry(&absent.path)?;
        let failed = |error| io_fault(&format!("{} cannot be removed", absent.path), &error);
        let there = match self.entry(&place).map_err(failed)? {
            Entry::Nothing if self.is_unsure() => {
                return Ok(Done::Unknown("an earlier command or package may make it".to_owned()));
            }
            Entry::Nothing => return Ok(Done::Unchanged),
            there => there,
        };
        let is_folder = matches!(there, Entry::Folder(_));
        if self.is_plan() {
            let empty = !is_folder || absent.recursive;
            let empty = if empty {
                Some(true)
            } else {
                self.is_empty(&place).map_err(failed)?
            };
            if empty == Some(false) {
                return Err(not_empty(failed(io::ErrorKind::DirectoryNotEmpty.into())));
            }
            self.pretend(|overlay| overlay.disk.put(&place, Entry::Nothing));
            if empty.is_none() {
                return Ok(Done::Unknown("what would be in it is not known".to_owned()));
            }
        } else if !is_folder {
            fs::remove_file(&place).map_err(failed)?;
        } else if absent.recursive {
            files::remove_all(&place).map_err(failed)?;
        } else {
            fs::remove_dir(&place).map_err(|error| not_empty(failed(error)))?;
        }
        Ok(match there {
            Entry::Unknown { why, .. } => Done::Unknown(why),
            _ => Done::Changed("removed".to_owned()),
        })
    }

    pub(super) fn hosts_entry(&self, entry: &HostsEntry) -> Result<Done, Fault> {
        let place = self.place(HOSTS)?;
        let failed = |error| io_fault("/etc/hosts cannot be changed", &error);
        let (before, bits) = match self.entry(&place).map_err(failed)? {
            Entry::File(now) => (now.content.bytes().map_err(failed)?, now.bits),
            Entry::Unknown { why, .. } => return Ok(Done::Unknown(why)),
            _ => (None, 0o644),
        };
        let before = before.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let before = String::from_utf8(before).map_err(|_| failed(io::ErrorKind::InvalidData.into()))?;
        let after = hosts_with(&before, entry);
        if after == before {
            return Ok(Done::Unchanged);
        }
        // In a container it is mounted as a file, which can be written and not replaced.
        self.put_file(&place, after.as_bytes(), bits)
            .or_else(|error| {
                if self.is_plan() {
                    Err(error)
                } else {
                    fs::write(&place, &after)
                }
            })
            .map_err(failed)?;
        Ok(Done::Changed(if entry.present { "named" } else { "forgotten" }.to_owned()))
    }
}

fn not_empty(fault: Fault) -> Fault {
    fault.next("Say `recursive: true` where all that is in it may go too")
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
