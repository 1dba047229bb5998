//! What is at a path: as it is, or as a plan pretends.

use super::super::fetched::hash_of;
use crate::model::secret::hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) enum Entry {
    /// Nothing.
    Nothing,
    /// A file.
    File(File),
    /// A folder.
    Folder(Folder),
    /// A symbolic link, and where it leads.
    Link(PathBuf),
    /// Only in a plan: what earlier states would make of it is not known.
    Unknown {
        /// Whether there is something in any case.
        there: bool,
        /// Why it is not known.
        why: String,
    },
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct File {
    pub(in crate::agent) content: Content,
    pub(in crate::agent) bits: u32,
    pub(in crate::agent) owner: (Owner, Owner),
}

/// A folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct Folder {
    pub(in crate::agent) bits: u32,
    pub(in crate::agent) owner: (Owner, Owner),
    pub(in crate::agent) below: Below,
}

/// What is in a folder besides what a plan pretends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) enum Below {
    /// What is there now.
    Disk,
    /// Nothing.
    Nothing,
    /// It cannot be known; why.
    Unknown(String),
}

/// Content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) enum Content {
    /// As it is on the disk now.
    Disk(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Bytes with this hash, in hexadecimal digits.
    Hash(String),
}

/// An account or a group: by number, or by name where a plan only pretends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) enum Owner {
    /// Known to the machine.
    Number(u32),
    /// Only pretended.
    Name(String),
}

impl Entry {
    /// What is there now.
    pub(in crate::agent) fn read(path: &Path) -> io::Result<Self> {
        let there = match fs::symlink_metadata(path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nothing),
            Err(error) => return Err(error),
        };
        let bits = there.permissions().mode() & 0o7777;
        let owner = (Owner::Number(there.uid()), Owner::Number(there.gid()));
        if there.is_symlink() {
            return fs::read_link(path).map(Self::Link);
        }
        if there.is_dir() {
            let below = Below::Disk;
            return Ok(Self::Folder(Folder { bits, owner, below }));
        }
        let content = Content::Disk(path.to_owned());
        Ok(Self::File(File { content, bits, owner }))
    }

    /// Something or nothing, for this reason.
    pub(in crate::agent) fn unknown(why: &str) -> Self {
        let why = why.to_owned();
        Self::Unknown { there: false, why }
    }
}

impl Content {
    /// Whether it is these bytes.
    pub(in crate::agent) fn is(&self, bytes: &[u8]) -> io::Result<bool> {
        Ok(match self {
            Self::Disk(path) => fs::read(path)? == bytes,
            Self::Bytes(now) => now == bytes,
            Self::Hash(hash) => *hash == hex("", &Sha256::digest(bytes)),
        })
    }

    /// The bytes; nothing where only their hash is known.
    pub(in crate::agent) fn bytes(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(match self {
            Self::Disk(path) => Some(fs::read(path)?),
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Hash(_) => None,
        })
    }

    /// The hash, in hexadecimal digits.
    pub(in crate::agent) fn hash(&self) -> io::Result<String> {
        Ok(match self {
            Self::Disk(path) => hash_of(path)?,
            Self::Bytes(bytes) => hex("", &Sha256::digest(bytes)),
            Self::Hash(hash) => hash.clone(),
        })
    }
}
