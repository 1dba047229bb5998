//! The files of this machine as far as a plan knows them: as they are, with what earlier states would have made of them on top.

use super::entry::{Below, Content, Entry, File, Folder, Owner};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

// How many links lead on to each other, as the kernel has it.
const LINKS: u32 = 40;
const SET_GROUP: u32 = 0o2000;

/// See the module.
#[derive(Debug, Clone)]
pub(in crate::agent) struct Disk {
    entries: BTreeMap<PathBuf, Entry>,
    // Whose what we make is, and the bits that new folders do not get.
    own: (Owner, Owner),
    umask: u32,
}

impl Disk {
    pub(super) fn new() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        Self {
            entries: BTreeMap::new(),
            own: (
                Owner::Number(rustix::process::geteuid().as_raw()),
                Owner::Number(rustix::process::getegid().as_raw()),
            ),
            umask: umask
                .and_then(|bits| u32::from_str_radix(bits.trim(), 8).ok())
                .unwrap_or(0o022),
        }
    }

    /// What is at a path whose folders are no links.
    pub(in crate::agent) fn entry(&self, path: &Path) -> io::Result<Entry> {
        if let Some(entry) = self.entries.get(path) {
            return Ok(entry.clone());
        }
        let above = path.ancestors().skip(1).find_map(|above| self.entries.get(above));
        match above {
            Some(Entry::Nothing) => Ok(Entry::Nothing),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            Some(Entry::Folder(folder)) => match &folder.below {
                Below::Disk => Entry::read(path),
                Below::Nothing => Ok(Entry::Nothing),
                Below::Unknown(why) => Ok(Entry::unknown(why)),
            },
            Some(Entry::Unknown { why, .. }) => Ok(Entry::unknown(why)),
            Some(Entry::Link(_)) | None => Entry::read(path),
        }
    }

    /// The path with all links followed. What is not there yet is made by us, so it is no link.
    pub(in crate::agent) fn follow(&self, path: &Path) -> io::Result<PathBuf> {
        self.follow_on(path, LINKS)
    }

    fn follow_on(&self, path: &Path, links: u32) -> io::Result<PathBuf> {
        let mut done = PathBuf::from("/");
        for part in path.components() {
            let next = match part {
                Component::Normal(name) => done.join(name),
                Component::ParentDir => {
                    done.pop();
                    continue;
                }
                _ => continue,
            };
            done = match self.entry(&next)? {
                Entry::Link(_) if links == 0 => return Err(io::Error::other("too many links lead on to each other")),
                Entry::Link(to) => {
                    let there = self.follow_on(&done.join(to), links - 1)?;
                    if self.entry(&there)? == Entry::Nothing {
                        return Err(io::Error::other("it is a link that leads nowhere"));
                    }
                    there
                }
                _ => next,
            };
        }
        Ok(done)
    }

    /// Whether something is at a path, links followed; nothing where that cannot be known.
    pub(in crate::agent) fn is_there(&self, path: &Path) -> Option<bool> {
        match self.follow(path).and_then(|real| self.entry(&real)) {
            Ok(Entry::Unknown { there: false, .. }) => None,
            Ok(entry) => Some(entry != Entry::Nothing),
            Err(_) => Some(false),
        }
    }

    /// Whether nothing is in a folder; nothing where that cannot be known.
    pub(in crate::agent) fn is_empty(&self, folder: &Path) -> io::Result<Option<bool>> {
        let inside = |path: &&PathBuf| path.parent() == Some(folder);
        let mut names: Vec<PathBuf> = self.entries.keys().filter(inside).cloned().collect();
        match self.entry(folder)? {
            Entry::Folder(Folder { below: Below::Disk, .. }) => {
                for entry in fs::read_dir(folder)? {
                    names.push(entry?.path());
                }
            }
            Entry::Folder(Folder {
                below: Below::Unknown(_),
                ..
            })
            | Entry::Unknown { .. } => return Ok(None),
            _ => {}
        }
        let mut empty = Some(true);
        for name in names {
            match self.entry(&name)? {
                Entry::Nothing => {}
                Entry::Unknown { there: false, .. } => empty = None,
                _ => return Ok(Some(false)),
            }
        }
        Ok(empty)
    }

    /// Puts a file there, with the folders above it.
    pub(in crate::agent) fn put_file(&mut self, path: &Path, content: Content, bits: u32) -> io::Result<()> {
        if matches!(self.entry(path)?, Entry::Folder(_)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let owner = self.make_above(path)?;
        self.put(path, Entry::File(File { content, bits, owner }));
        Ok(())
    }

    /// Puts a link there, with the folders above it.
    pub(in crate::agent) fn put_link(&mut self, path: &Path, to: &Path) -> io::Result<()> {
        self.make_above(path)?;
        self.put(path, Entry::Link(to.to_owned()));
        Ok(())
    }

    /// Makes a folder where there is none, and the folders above it.
    pub(in crate::agent) fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        match self.entry(path)? {
            Entry::Folder(_) | Entry::Unknown { .. } => return Ok(()),
            Entry::Nothing => {}
            Entry::File(_) | Entry::Link(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        }
        let owner = self.make_above(path)?;
        // Folders below one that hands its group on do so too.
        let above = path.parent().map(|above| self.entry(above)).transpose()?;
        let handed_on = match above {
            Some(Entry::Folder(above)) => above.bits & SET_GROUP,
            _ => 0,
        };
        let bits = 0o777 & !self.umask | handed_on;
        let below = Below::Nothing;
        self.put(path, Entry::Folder(Folder { bits, owner, below }));
        Ok(())
    }

    // Makes the folders above a path, and says whose something new there is.
    fn make_above(&mut self, path: &Path) -> io::Result<(Owner, Owner)> {
        let Some(above) = path.parent() else {
            return Ok(self.own.clone());
        };
        self.make_folder(above)?;
        Ok(match self.entry(above)? {
            Entry::Folder(folder) if folder.bits & SET_GROUP != 0 => (self.own.0.clone(), folder.owner.1),
            _ => self.own.clone(),
        })
    }

    /// Puts an entry in the place of whatever is there, and of all below it unless it is still the same folder.
    pub(in crate::agent) fn put(&mut self, path: &Path, entry: Entry) {
        let stays = matches!(&entry, Entry::Folder(folder) if folder.below == Below::Disk);
        if !stays {
            self.entries.retain(|other, _| !other.starts_with(path));
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// From now on it is not known what is there, nor what is above it where that is not there yet.
    pub(in crate::agent) fn doubt(&mut self, path: &Path, there: bool, why: &str) {
        let missing = |above: &&Path| matches!(self.entry(above), Ok(Entry::Nothing));
        let above = path.ancestors().skip(1).take_while(missing).last().map(Path::to_owned);
        for path in above.iter().map(PathBuf::as_path).chain([path]) {
            let why = why.to_owned();
            self.put(path, Entry::Unknown { there, why });
        }
    }

    /// Changes permission bits and owners of what is there.
    pub(in crate::agent) fn amend(
        &mut self,
        path: &Path,
        bits: Option<u32>,
        owners: (Option<Owner>, Option<Owner>),
    ) -> io::Result<()> {
        let mut entry = self.entry(path)?;
        let (now, owner) = match &mut entry {
            Entry::File(file) => (&mut file.bits, &mut file.owner),
            Entry::Folder(folder) => (&mut folder.bits, &mut folder.owner),
            _ => return Ok(()),
        };
        *now = bits.unwrap_or(*now);
        owner.0 = owners.0.unwrap_or_else(|| owner.0.clone());
        owner.1 = owners.1.unwrap_or_else(|| owner.1.clone());
        // Not put: what is below a new folder stays as it would be.
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Whether a state would make a program of this name.
    pub(in crate::agent) fn makes(&self, program: &str) -> bool {
        let name = Path::new(program).file_name();
        let is_it = |(path, entry): (&PathBuf, &Entry)| path.file_name() == name && *entry != Entry::Nothing;
        self.entries.iter().any(is_it)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_would_be_removed_hides_what_is_there_and_what_would_be_made_shows() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("old/deep")).unwrap();
        fs::write(root.join("old/deep/file"), "x").unwrap();
        let mut disk = Disk::new();
        assert_eq!(disk.is_there(&root.join("old/deep/file")), Some(true));
        disk.put(&root.join("old"), Entry::Nothing);
        assert_eq!(disk.is_there(&root.join("old/deep/file")), Some(false));
        // Made again, it is a new folder with nothing in it.
        disk.put_file(&root.join("old/new"), Content::Bytes(b"y".to_vec()), 0o644)
            .unwrap();
        assert_eq!(disk.is_there(&root.join("old/deep")), Some(false));
        assert_eq!(disk.is_empty(&root.join("old")).unwrap(), Some(false));
        assert!(
            disk.put_file(&root.join("old/new/below"), Content::Bytes(Vec::new()), 0o644)
                .is_err()
        );
        assert!(root.join("old/deep/file").exists() && !root.join("old/new").exists());
    }

    #[test]
    fn links_that_would_be_made_lead_on_and_those_that_would_be_gone_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("one")).unwrap();
        fs::create_dir(root.join("two")).unwrap();
        symlink(root.join("one"), root.join("now")).unwrap();
        let mut disk = Disk::new();
        let shown = |disk: &Disk| disk.follow(&root.join("now/file")).unwrap();
        assert_eq!(shown(&disk), root.join("one/file"));
        disk.put_link(&root.join("now"), Path::new("two")).unwrap();
        assert_eq!(shown(&disk), root.join("two/file"));
        disk.put(&root.join("two"), Entry::Nothing);
        assert!(disk.follow(&root.join("now/file")).is_err());
        disk.put_link(&root.join("two"), Path::new("now")).unwrap();
        assert!(disk.follow(&root.join("now/file")).is_err(), "a circle");
    }
}
