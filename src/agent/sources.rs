//! Code that the agent has from its server: for a node that can reach neither the server's mirrors nor, without anyone's
//! credentials, the repository itself.

use super::folder::{Folder, io_fault};
use super::link::Link;
use crate::model::fault::Fault;
use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    link: Option<Link>,
    folder: PathBuf,
}

/// A file of commits that `git fetch` reads; gone with the value.
#[derive(Debug)]
pub(super) struct Source(PathBuf);

impl Source {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Sources {
    /// Those of this server; none without one.
    pub(super) fn of(link: Option<Link>, folder: &Folder) -> Self {
        Self {
            link,
            folder: folder.file("sources"),
        }
    }

    /// Fetches the commit of an app with all that led to it.
    ///
    /// # Errors
    /// `server-unreachable`, `disk-full`.
    pub(super) async fn fetch(&self, app: &str, commit: &str) -> Result<Source, Fault> {
        let unreachable = |why: String| {
            let what = format!("The code of {app} was not fetched from the server");
            Err(Fault::new("server-unreachable", what).why(why))
        };
        let Some(link) = &self.link else {
            return unreachable("this agent works without a server".to_owned());
        };
        let failed = |error| io_fault("The code cannot be kept", &error);
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let source = Source(self.folder.join(format!("{commit}.bundle")));
        let mut answer = match link.source(app, commit).await {
            Ok(answer) => answer,
            Err(error) => return unreachable(error.to_string()),
        };
        let mut file = std::fs::File::create(source.path()).map_err(failed)?;
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => std::io::Write::write_all(&mut file, &piece).map_err(failed)?,
                Ok(None) => return Ok(source),
                Err(error) => return unreachable(error.without_url().to_string()),
            }
        }
    }
}
