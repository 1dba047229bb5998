//! Long contents of files, kept by their hash beside the configuration that names them: fetched once, there when the server is
//! away, and never taken for what they are not.

use super::folder::{Folder, io_fault};
use super::link::Link;
use crate::machine::files;
use crate::model::configuration::blobs::{hash, is_hash, named};
use crate::model::fault::Fault;
use std::path::PathBuf;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    /// Those of an agent's folder.
    pub(super) fn of(folder: &Folder) -> Self {
        Self {
            folder: folder.file("blobs"),
        }
    }

    /// The content of this hash, where it is here and what it should be.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path(name)?).ok()?;
        (hash(&text) == name).then_some(text)
    }

    /// Fetches what a document names and is not here.
    ///
    /// # Errors
    /// `server-unreachable`; `configuration-refused` for a content that is not the one that was signed; where it cannot be kept.
    pub(super) async fn fetch(&self, link: &Link, document: &str) -> Result<(), Fault> {
        for name in named(document) {
            if self.get(&name).is_some() {
                continue;
            }
            let refuse =
                |why: &str| Err(Fault::new("configuration-refused", "The agent does not take this configuration").why(why));
            let Some(path) = self.path(&name) else {
                return refuse("it names a content by something that is no hash");
            };
            let content = link.blob(&name).await;
            let content =
                content.map_err(|e| Fault::new("server-unreachable", format!("The content {name} was not fetched")).why(e))?;
            if hash(&content) != name {
                return refuse("a content is not the one that the server signed");
            }
            let failed = |e| io_fault("A content cannot be kept", &e);
            std::fs::create_dir_all(&self.folder).map_err(failed)?;
            files::replace_unflushed(&path, content.as_bytes(), 0o600).map_err(failed)?;
        }
        Ok(())
    }

    /// Forgets what a document does not name.
    pub(super) fn prune(&self, document: &str) {
        let named = named(document);
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = format!("sha256:{}", entry.file_name().to_string_lossy());
            if !named.contains(&name) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        is_hash(name).then(|| self.folder.join(&name["sha256:".len()..]))
    }
}
