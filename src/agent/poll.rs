//! Registering, and asking for the configuration: for ever, however long the server is away.

use super::AgentOptions;
use super::converge::Assigned;
use super::folder::{Folder, Identity};
use super::link::{Link, LinkError, Polled};
use crate::machine::files;
use crate::model::id::NodeId;
use crate::wire::agent::Register;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

// An answer that came sooner than this did not wait, and must not be asked for again at once.
const WAITED: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Poller {
    link: Link,
    folder: Folder,
    token_file: Option<PathBuf>,
    body: Register,
}

impl Poller {
    /// For the node of these options.
    pub(super) fn new(options: &AgentOptions, node: &NodeId, identity: Identity, link: Link, folder: Folder) -> Self {
        let name = rustix::system::uname();
        let facts = json!({
            "os": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "kernel": name.release().to_string_lossy(),
            "host": name.nodename().to_string_lossy(),
            "agent": env!("CARGO_PKG_VERSION"),
            "isolation": options.isolation,
        });
        Self {
            link,
            folder,
            token_file: options.token_file.clone(),
            body: Register {
                node: node.as_str().to_owned(),
                key: identity.key,
                facts,
            },
        }
    }

    /// Registers, then asks; what comes goes to `assign`, and that the node is registered to `register`. Never ends.
    pub(super) async fn run(
        &self,
        mut etag: Option<String>,
        assign: &watch::Sender<Option<Assigned>>,
        register: &watch::Sender<bool>,
    ) {
        if !self.folder.file("registered").exists() {
            self.register().await;
        }
        register.send_replace(true);
        let mut attempt = 0;
        loop {
            let asked = Instant::now();
            match self.link.configuration(etag.as_deref()).await {
                Ok(Polled::New { etag: given, body }) => {
                    attempt = 0;
                    let wanted = Assigned::new(&given, &body);
                    if let Err(fault) = wanted.save(&self.folder) {
                        tracing::warn!(%fault, "a configuration could not be kept; it is asked for again after a restart");
                    }
                    assign.send_replace(Some(wanted));
                    etag = Some(given);
                }
                Ok(Polled::Same | Polled::None) if asked.elapsed() > WAITED => attempt = 0,
                Ok(Polled::Same | Polled::None) => {
                    self.link.pause(attempt.min(4)).await;
                    attempt += 1;
                }
                Err(error) => {
                    tracing::debug!(%error, attempt, "the server could not be asked");
                    // A node whose registration was lost gets a new token from its provider.
                    if matches!(error, LinkError::Unknown(_)) && self.token().is_some() {
                        self.register().await;
                    }
                    self.link.pause(attempt).await;
                    attempt += 1;
                }
            }
        }
    }

    fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.token_file.as_ref()?).ok()?;
        Some(text.trim().to_owned()).filter(|token| !token.is_empty())
    }

    async fn register(&self) {
        let mut attempt = 0;
        loop {
            // Read each time: the provider may have put a newer one there.
            if let Some(token) = self.token() {
                match self.link.register(&token, &self.body).await {
                    Ok(()) => break,
                    Err(error @ LinkError::Away(_)) => tracing::debug!(%error, "not registered yet"),
                    Err(error) => tracing::warn!(%error, "not registered yet"),
                }
            } else if attempt == 0 {
                tracing::warn!("there is no registration token yet");
            }
            self.link.pause(attempt).await;
            attempt += 1;
        }
        // The key is the node's identity from now on; a token that was used is worth nothing.
        let marked = files::replace(&self.folder.file("registered"), b"", 0o600);
        if marked.is_ok()
            && let Some(file) = &self.token_file
        {
            let _ = std::fs::remove_file(file);
        }
    }
}
