//! The verbs of the product: authorise, validate, one transaction, start a run. The portal, the API and (through the API)
//! the CLI all come through here, so one validator and one set of rules serves them all.
//!
//! Every verb takes who asks first and answers with the bodies of [`crate::wire`].

pub mod agents;
pub mod apps;
pub mod bundles;
pub mod configurations;
pub mod doors;
pub mod error;
mod history;
pub mod images;
pub mod interop;
pub mod inventory;
pub mod keeper;
pub mod pools;
pub mod presets;
pub mod previews;
pub mod providers;
pub mod reaper;
pub mod runs;
pub mod search;
pub mod secrets;
pub mod stacks;
pub mod users;

use crate::config::Settings;
use crate::git::Mirrors;
use crate::model::actor::Actor;
use crate::model::address::Addresses;
use crate::model::id::NodeId;
use crate::model::time::Timestamp;
use crate::plans::Bundles;
use crate::providers::Providers;
use crate::providers::postgres::DatabaseServer;
use crate::store::Store;
pub use crate::store::{AuditRow, Change};
#[cfg(feature = "ec2")]
pub use agents::FirstStarts;
pub use error::{ControlError, Result};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// What the verbs are built from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The settings. `server.public_url` is filled in by whoever listens, because a port of 0 is only known then.
    pub settings: Arc<Settings>,
    /// Where nodes come from.
    pub providers: Providers,
    /// The mirrors of repositories.
    pub mirrors: Mirrors,
    /// The recipes.
    pub bundles: Bundles,
    /// The server that `postgres` resources get databases in.
    pub postgres: Option<DatabaseServer>,
}

/// Everything the verbs need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    parts: Arc<Parts>,
    pub(crate) accounts: Arc<users::Accounts>,
    pub(crate) built: Arc<configurations::Built>,
    pub(crate) fleet: Arc<agents::fleet::Fleet>,
    pub(crate) program: Arc<agents::program::Program>,
    pub(crate) seen: Arc<agents::proof::Seen>,
    pub(crate) doors: Arc<doors::Doors>,
    pub(crate) addresses: Arc<Addresses>,
    // When each node was last written down as heard of.
    pub(crate) heard: Arc<Mutex<HashMap<NodeId, i64>>>,
    pub(crate) pools: Arc<pools::Wanted>,
    pub(crate) started: Timestamp,
}

impl std::ops::Deref for Control {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Control {
    /// The verbs over these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            accounts: Arc::default(),
            built: Arc::default(),
            fleet: Arc::new(agents::fleet::Fleet::new(parts.store.clone())),
            program: Arc::new(agents::program::Program::own()),
            seen: Arc::default(),
            doors: Arc::default(),
            addresses: Arc::new(addresses(&parts.settings)),
            heard: Arc::default(),
            pools: Arc::default(),
            started: parts.store.now(),
            parts: Arc::new(parts),
        }
    }

    /// Where the apps of stacks are reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    // The address that people use.
    pub(crate) fn public_url(&self) -> String {
        let server = &self.settings.server;
        if server.public_url.is_empty() {
            format!("http://{}", server.listen)
        } else {
            server.public_url.trim_end_matches('/').to_owned()
        }
    }

    /// What time it is for everything that is asked here.
    pub fn now(&self) -> Timestamp {
        self.store.now()
    }

    /// Whether the database answers: what `/readyz` says.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn check_ready(&self) -> Result<()> {
        self.store.audit(None, None, 1).await?;
        Ok(())
    }

    /// Wake-ups for pages that are looked at: topics such as `stack:stk_…`, `run:run_…`, `log:run_…/fetch`, `stacks`, `apps`.
    pub fn changes(&self) -> tokio::sync::broadcast::Receiver<Change> {
        self.store.changes()
    }

    /// Who did what to a thing, newest first.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn audit(&self, _actor: &Actor, subject: Option<&str>, before: Option<i64>, limit: i64) -> Result<Vec<AuditRow>> {
        Ok(self.store.audit(subject, before, limit.clamp(1, 200)).await?)
    }
}

// Whoever listens has read the setting before and refused one that cannot be read.
fn addresses(settings: &Settings) -> Addresses {
    let port = settings.server.listen.rsplit(':').next().and_then(|port| port.parse().ok());
    Addresses::parse(&settings.proxy.url).unwrap_or_else(|_| Addresses::local(port.unwrap_or(80)))
}
