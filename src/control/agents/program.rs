//! The program that agents are installed from: the one that this server runs, whatever has been put in its file's place since.

use super::super::{Control, ControlError, Result};
use crate::model::fault::Fault;
use crate::model::secret;
use std::io::{Seek, SeekFrom};
use std::path::PathBuf;
use tokio::sync::OnceCell;

/// What is known of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramFacts {
    /// Its size in bytes.
    pub length: u64,
    /// Its hash, 64 hexadecimal digits.
    pub sha256: String,
    /// What it runs on, as `uname -m` says it.
    pub architecture: &'static str,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Program {
    file: PathBuf,
    facts: OnceCell<ProgramFacts>,
}

impl Program {
    /// The program that this process runs.
    pub(crate) fn own() -> Self {
        Self {
            // Unlike the path, this is the program that runs also after another one was installed over it.
            file: PathBuf::from("/proc/self/exe"),
            facts: OnceCell::new(),
        }
    }

    /// Its size and hash, looked at once.
    pub(super) async fn facts(&self) -> Result<ProgramFacts> {
        let facts = self.facts.get_or_try_init(|| async {
            let file = self.file.clone();
            match tokio::task::spawn_blocking(move || examine(&file)).await {
                Ok(examined) => examined.map_err(unreadable),
                Err(error) => Err(unreadable(error)),
            }
        });
        Ok(facts.await?.clone())
    }
}

impl Control {
    /// The size and hash of the agent's program.
    ///
    /// # Errors
    /// `internal` where the server cannot read itself.
    pub async fn agent_program(&self) -> Result<ProgramFacts> {
        self.program.facts().await
    }

    /// The agent's program, read from this byte on.
    ///
    /// # Errors
    /// As [`Self::agent_program`].
    pub async fn open_agent_program(&self, from: u64) -> Result<tokio::fs::File> {
        let path = self.program.file.clone();
        let opened = tokio::task::spawn_blocking(move || -> std::io::Result<std::fs::File> {
            let mut file = std::fs::File::open(path)?;
            file.seek(SeekFrom::Start(from))?;
            Ok(file)
        });
        match opened.await {
            Ok(opened) => Ok(tokio::fs::File::from_std(opened.map_err(unreadable)?)),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Whether this token lets a machine have the program: one that machines register with, used up or not, as long as it is
    /// good, or that a server of a stack was made with, as long as that is there. Without a token, whether the settings let everybody have it.
    ///
    /// # Errors
    /// `not-signed-in`.
    pub async fn may_have_program(&self, token: Option<&str>) -> Result<()> {
        if self.settings.agents.public_program {
            return Ok(());
        }
        let refuse = || ControlError::new("not-signed-in", "The program is given to machines that hold a node token");
        let token = token.ok_or_else(refuse)?;
        let hash = secret::hash(token);
        let found = self.store.agent_token(&hash).await?;
        let good = found.is_some_and(|token| token.revoked_at.is_none() && token.expires_at > self.now())
            || self.store.is_node_token(&hash).await?;
        if good { Ok(()) } else { Err(refuse()) }
    }
}

fn examine(file: &std::path::Path) -> std::io::Result<ProgramFacts> {
    let (length, sha256) = secret::hash_all(std::fs::File::open(file)?)?;
    Ok(ProgramFacts {
        length,
        sha256,
        architecture: std::env::consts::ARCH,
    })
}

fn unreadable(error: impl std::fmt::Display) -> ControlError {
    Fault::new("internal", "The server cannot read its own program")
        .why(error)
        .into()
}
