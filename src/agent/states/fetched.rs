//! What comes from elsewhere: downloads, archives and the repositories of packages. Nothing is kept that has not the hash that
//! the recipe names.

use super::accounts::Whose;
use super::overlay::{Below, Content, Entry, Folder};
use super::{Done, Hands, io_fault, mode_bits};
use crate::machine::files;
use crate::model::configuration::{AptRepository, Archive, Download};
use crate::model::fault::Fault;
use crate::model::secret::{hash_all, hex};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MARK: &str = ".greenroom-archive";
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_mins(1);

impl Hands {
    pub(super) async fn download(&self, download: &Download) -> Result<Done, Fault> {
        let place = self.place(&download.path)?;
        let bits = mode_bits(&download.mode)?;
        let whose = Whose::new(download.owner.as_ref(), download.group.as_ref());
        let failed = |error| io_fault(&format!("The file {} cannot be written", download.path), &error);
        let before = self.entry(&place).map_err(failed)?;
        if let Entry::File(now) = &before
            && now.content.hash().map_err(failed)? == download.sha256
        {
            let owner = whose.give(self, &place)?;
            if now.bits == bits {
                return Ok(owner.map_or(Done::Unchanged, Done::Changed));
            }
            self.set_bits(&place, bits).map_err(failed)?;
            return Ok(Done::Changed(format!("mode {:04o} became {bits:04o}", now.bits)));
        }
        let content = Content::Hash(download.sha256.clone());
        if let Some(pretended) = self.pretend(|overlay| overlay.disk.put_file(&place, content, bits)) {
            pretended.map_err(failed)?;
            whose.give(self, &place)?;
            return Ok(match before {
                Entry::Unknown { why, .. } => Done::Unknown(why),
                _ => Done::Changed(format!("would be downloaded from {}", download.url)),
            });
        }
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let beside = files::beside(&place);
        let got = fetch(&download.url, &download.sha256, &beside).await;
        let kept = got.and_then(|size| {
            fs::set_permissions(&beside, fs::Permissions::from_mode(bits)).map_err(failed)?;
            whose.give(self, &beside)?;
            fs::rename(&beside, &place).map_err(failed)?;
            Ok(size)
        });
        if kept.is_err() {
            let _ = fs::remove_file(&beside);
        }
        kept.map(|size| Done::Changed(format!("downloaded, {size} bytes")))
    }

    pub(super) async fn archive(&self, archive: &Archive, stream: &str) -> Result<Done, Fault> {
        let place = self.place(&archive.path)?;
        let mark = place.join(MARK);
        let failed = |error| io_fault(&format!("The archive cannot be unpacked in {}", archive.path), &error);
        let marked = format!("{}\n", archive.sha256);
        let before = self.entry(&mark).map_err(failed)?;
        if matches!(&before, Entry::File(now) if now.content.is(marked.as_bytes()).map_err(failed)?) {
            return Ok(Done::Unchanged);
        }
        if self.is_plan() {
            return self.would_unpack(archive, &place, &mark, &before);
        }
        fs::create_dir_all(&place).map_err(failed)?;
        let fetched = self.fetched(archive).await?;
        let strip = format!("--strip-components={}", archive.strip);
        let (source, folder) = (fetched.path.display().to_string(), place.display().to_string());
        // Names in it that lead elsewhere are refused by tar itself.
        self.tool(
            &[
                "tar",
                "--extract",
                "--no-same-owner",
                &strip,
                "--directory",
                &folder,
                "--file",
                &source,
            ],
            "",
            stream,
        )
        .await?;
        files::replace(&mark, marked.as_bytes(), 0o644).map_err(failed)?;
        Ok(Done::Changed("unpacked".to_owned()))
    }

    fn would_unpack(&self, archive: &Archive, place: &Path, mark: &Path, before: &Entry) -> Result<Done, Fault> {
        let failed = |error| io_fault(&format!("The archive cannot be unpacked in {}", archive.path), &error);
        let mut done = Done::Changed(format!("would be unpacked from {}", archive.source));
        if archive.source.starts_with('/') {
            let cannot = |error| io_fault(&format!("The archive {} cannot be read", archive.source), &error);
            let source = self.place(&archive.source)?;
            match self.entry(&source).map_err(cannot)? {
                Entry::File(now) => {
                    let hash = now.content.hash().map_err(cannot)?;
                    if hash != archive.sha256 {
                        return Err(wrong_hash(&archive.source, &archive.sha256, &hash));
                    }
                }
                Entry::Unknown { why, .. } => done = Done::Unknown(why),
                _ => return Err(cannot(io::ErrorKind::NotFound.into())),
            }
        }
        if let Entry::Unknown { why, .. } = before {
            done = Done::Unknown(why.clone());
        }
        let marked = Content::Bytes(format!("{}\n", archive.sha256).into_bytes());
        let pretended = self.pretend(|overlay| {
            overlay.disk.make_folder(place)?;
            if let Entry::Folder(folder) = overlay.disk.entry(place)? {
                let below = Below::Unknown("an earlier archive may hold it".to_owned());
                overlay.disk.put(place, Entry::Folder(Folder { below, ..folder }));
            }
            overlay.disk.put_file(mark, marked, 0o644)
        });
        pretended.transpose().map_err(failed)?;
        Ok(done)
    }

    // The archive as a file that has the right hash.
    async fn fetched(&self, archive: &Archive) -> Result<Fetched, Fault> {
        if archive.source.starts_with('/') {
            let path = PathBuf::from(&archive.source);
            let hash = hash_of(&path).map_err(|e| io_fault(&format!("The archive {} cannot be read", archive.source), &e))?;
            if hash != archive.sha256 {
                return Err(wrong_hash(&archive.source, &archive.sha256, &hash));
            }
            return Ok(Fetched { path, ours: false });
        }
        let fetched = Fetched {
            path: files::beside(&self.folder.file("archive")),
            ours: true,
        };
        fetch(&archive.source, &archive.sha256, &fetched.path).await?;
        Ok(fetched)
    }

    pub(super) async fn apt_repository(&self, repository: &AptRepository, stream: &str) -> Result<Done, Fault> {
        let list = format!("/etc/apt/sources.list.d/{}.sources", repository.name);
        let key = repository.key_file();
        let wanted = [
            (list.as_str(), repository.present.then(|| repository.text())),
            (key.as_str(), repository.key.clone().filter(|_| repository.present)),
        ];
        let mut changed = false;
        for (path, text) in &wanted {
            changed |= match text {
                None => self.no_file(path)? != Done::Unchanged,
                Some(text) => self.own_file(path, text)?,
            };
        }
        if !changed {
            return Ok(Done::Unchanged);
        }
        if !self.is_plan() {
            self.apt_update(stream).await?;
        }
        Ok(Done::Changed(
            if repository.present { "known now" } else { "forgotten" }.to_owned(),
        ))
    }
}

// A file that goes away with the value where it was made for it.
struct Fetched {
    path: PathBuf,
    ours: bool,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

pub(super) fn hash_of(path: &Path) -> io::Result<String> {
    hash_all(File::open(path)?).map(|(_, hash)| hash)
}

fn wrong_hash(from: &str, wanted: &str, found: &str) -> Fault {
    Fault::new("state-failed", format!("What is at {from} is not what the recipe means"))
        .why(format!("its hash is {found}, and {wanted} is wanted"))
        .next("Look at what changed there; give the new hash only where that is wanted")
}

// Writes what is at the address to a new file and gives its size; the caller removes the file of one that failed.
async fn fetch(url: &str, sha256: &str, path: &Path) -> Result<u64, Fault> {
    let cannot = |why: &dyn std::fmt::Display| {
        let fault = Fault::new("state-failed", format!("{url} cannot be downloaded")).why(why);
        fault.next("Check the address and whether this node reaches it, then retry")
    };
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .build();
    let request = client.map_err(|e| cannot(&e))?.get(url).send();
    let answer = request.await.and_then(reqwest::Response::error_for_status);
    let mut body = answer.map_err(|e| cannot(&e.without_url()))?.bytes_stream();
    let failed = |error| io_fault(&format!("What is at {url} cannot be kept"), &error);
    let mut file = File::create_new(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut size = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|e| cannot(&e.without_url()))?;
        hash.update(&piece);
        size += piece.len() as u64;
        file.write_all(&piece).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    let found = hex("", &hash.finalize());
    if found == sha256 {
        Ok(size)
    } else {
        Err(wrong_hash(url, sha256, &found))
    }
}
