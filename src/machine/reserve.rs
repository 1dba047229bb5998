//! Room that is given back when the disk is full: with it the server can still note what failed and remove it, which is what
//! makes room again. Without it a full disk could not even be told.

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_secs(1);
const SIZE: u64 = 8 * 1024 * 1024;
const LOW: u64 = 2 * 1024 * 1024;
const FILE: &str = "reserve";

/// What a look at the disk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// There is room.
    Enough,
    /// The disk was full; the reserve was given back.
    Released,
    /// The disk is full, and there is no reserve left.
    Full,
}

/// A file that is only there to be removed.
#[derive(Debug, Clone)]
pub struct Reserve {
    folder: PathBuf,
}

impl Reserve {
    /// The reserve of this folder's file system.
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Looks after the disk until told to stop.
    pub async fn keep(self, cancel: CancellationToken) {
        loop {
            let reserve = self.clone();
            match tokio::task::spawn_blocking(move || reserve.look()).await {
                Ok(Ok(Looked::Enough)) | Err(_) => {}
                Ok(Ok(Looked::Released)) => tracing::error!("the disk of the data folder is full; the reserve was given back"),
                Ok(Ok(Looked::Full)) => tracing::error!("the disk of the data folder is full"),
                Ok(Err(error)) => tracing::warn!(%error, "the disk of the data folder could not be looked after"),
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Gives the reserve back where the disk is full, and makes it again where there is room.
    ///
    /// # Errors
    /// Where the file system cannot be asked, or the reserve cannot be made or removed.
    pub fn look(&self) -> io::Result<Looked> {
        let file = self.folder.join(FILE);
        let disk = statvfs(&self.folder)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let there = file.exists();
        if free < LOW {
            if !there {
                return Ok(Looked::Full);
            }
            std::fs::remove_file(&file)?;
            return Ok(Looked::Released);
        }
        // Only from well above the low mark, so that it does not come and go.
        if !there && free > SIZE.saturating_mul(2) {
            let made = make(&file);
            if made.is_err() {
                let _ = std::fs::remove_file(&file);
            }
            made?;
        }
        Ok(Looked::Enough)
    }
}

fn make(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    // Where a file system cannot set room aside, zeros take it.
    if fallocate(&file, FallocateFlags::empty(), 0, SIZE).is_ok() {
        return Ok(());
    }
    let zeros = [0; 8 * 1024];
    for _ in 0..SIZE / 8192 {
        file.write_all(&zeros)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_gets_a_reserve_of_its_full_size_once() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(folder.path());
        for _ in 0..2 {
            assert_eq!(reserve.look().unwrap(), Looked::Enough);
            assert_eq!(std::fs::metadata(folder.path().join(FILE)).unwrap().len(), SIZE);
        }
    }
}
