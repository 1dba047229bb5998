//! Registering, and asking for the configuration: for ever, however long the server is away.

use super::AgentOptions;
use super::blobs::Blobs;
use super::converge::Assigned;
use super::facts;
use super::folder::Folder;
use super::link::{Delivery, Link, LinkError, POLL, Polled};
use crate::model::fault::Fault;
use crate::wire::agent::{NewKey, Register, Registered};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

// An answer that came sooner than this did not wait, and must not be asked for again at once.
const WAITED: Duration = Duration::from_secs(1);
// How long a node keeps its key.
const KEY_LIFE: Duration = Duration::from_hours(24 * 90);

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
    pub(super) fn new(options: &AgentOptions, public_key: String, link: Link, folder: Folder) -> Self {
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
            token_file: options.token_file.clone(),
            body: Register {
                node: options.node.as_ref().map(|node| node.as_str().to_owned()).unwrap_or_default(),
                name: options.name.clone(),
                key: public_key,
                facts,
            },
            link,
            folder,
        }
    }

    /// Registers, then asks; what comes goes to `assign`, and that the node is registered to `register`. Never ends.
    pub(super) async fn run(
        &self,
        mut etag: Option<String>,
        assign: &watch::Sender<Option<Assigned>>,
        register: &watch::Sender<bool>,
    ) {
        let known = self.folder.load::<Registered>(Registered::NAME);
        let mut server = match known {
            Some(registered) => registered,
            None => self.register().await,
        };
        self.link.speak_for(&server.node);
        register.send_replace(true);
        let mut attempt = 0;
        let mut newest = Assigned::load(&self.folder).map_or(0, |a| a.issued_ms);
        loop {
            self.rotate().await;
            self.tell_facts().await;
            let asked = Instant::now();
            match self.link.configuration(etag.as_deref(), POLL).await {
                Ok(Polled::New(delivery)) => match self.whole(&server, &delivery, newest).await {
                    Ok(wanted) => {
                        attempt = 0;
                        newest = newest.max(wanted.issued_ms);
                        if let Err(fault) = Assigned::keep(&self.folder, &delivery) {
                            tracing::warn!(%fault, "a configuration could not be kept; it is asked for again after a restart");
                        }
                        assign.send_replace(Some(wanted));
                        etag = Some(delivery.etag);
                    }
                    Err(fault) => {
                        tracing::error!(%fault, "keeping to the last good configuration");
                        self.link.pause(attempt).await;
                        attempt += 1;
                    }
                },
                Ok(Polled::Same | Polled::None) if asked.elapsed() > WAITED => attempt = 0,
                Ok(Polled::Same | Polled::None) => {
                    self.link.pause(attempt.min(4)).await;
                    attempt += 1;
                }
                Err(error) => {
                    tracing::debug!(%error, attempt, "the server could not be asked");
                    // A node whose registration was lost gets a new token from its provider.
                    if matches!(error, LinkError::Unknown(_)) && self.token().is_some() {
                        server = self.register().await;
                        self.link.speak_for(&server.node);
                    }
                    self.link.pause(attempt).await;
                    attempt += 1;
                }
            }
        }
    }

    // What came, with the contents that it names. Nothing is fetched for what the server did not sign.
    async fn whole(&self, server: &Registered, delivery: &Delivery, newest_ms: i64) -> Result<Assigned, Fault> {
        Assigned::believe(server, delivery, newest_ms)?;
        let blobs = Blobs::of(&self.folder);
        blobs.fetch(&self.link, &delivery.body).await?;
        Assigned::check(server, delivery, newest_ms, &blobs)
    }

    // Says what the node is, where it is another one than was said last.
    async fn tell_facts(&self) {
        if self.body.name.is_none() {
            return;
        }
        let facts = facts::collect();
        let hash = crate::model::secret::hash(&facts.to_string());
        if self.folder.load::<String>("facts").as_ref() == Some(&hash) {
            return;
        }
        match self.link.facts(&facts).await {
            Ok(()) => {
                if let Err(fault) = self.folder.save("facts", &hash) {
                    tracing::warn!(%fault, "what was said of the node is said again next time");
                }
            }
            Err(error) => tracing::debug!(%error, "the server does not know yet what this node is"),
        }
    }

    // Takes a new key where the present one is old. The new one is on disk before the server hears of it, so whichever of the
    // two it knows after a crash, this node has it.
    async fn rotate(&self) {
        let next = match self.folder.next_key(KEY_LIFE) {
            Ok(Some(next)) => next,
            Ok(None) => return,
            Err(fault) => return tracing::warn!(%fault, "the node keeps its old key"),
        };
        let key = next.public().to_string();
        let proof = next.sign(NewKey::words(&self.link.node(), &key).as_bytes());
        match self.link.rotate(&NewKey { key, proof }).await {
            // Unknown: taken before a crash.
            Ok(()) | Err(LinkError::Unknown(_)) => match self.folder.take_next_key() {
                Ok(()) => self.link.sign_with(next),
                Err(fault) => tracing::warn!(%fault, "the node's new key cannot be put in its place"),
            },
            Err(error) => tracing::debug!(%error, "the node's key is as old as before"),
        }
    }

    fn token(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.token_file.as_ref()?).ok()?;
        Some(text.trim().to_owned()).filter(|token| !token.is_empty())
    }

    async fn register(&self) -> Registered {
        let mut attempt = 0;
        let registered = loop {
            // Read each time: the provider may have put a newer one there.
            if let Some(token) = self.token() {
                match self.link.register(&token, &self.body).await {
                    Ok(registered) => break registered,
                    // Said once: what follows is the same again.
                    Err(error @ LinkError::Away(_)) if attempt > 0 => tracing::debug!(%error, "not registered yet"),
                    Err(error) => tracing::warn!(%error, "not registered yet"),
                }
            } else if attempt == 0 {
                tracing::warn!("there is no registration token yet");
            }
            self.link.pause(attempt).await;
            attempt += 1;
        };
        // The key is the node's identity from now on; a token that was used is worth nothing.
        let marked = self.folder.save_flushed(Registered::NAME, &registered);
        if marked.is_ok()
            && let Some(file) = &self.token_file
        {
            let _ = std::fs::remove_file(file);
        }
        registered
    }
}
