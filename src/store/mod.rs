//! The store: the only module that knows SQL. One portable text for SQLite and PostgreSQL.
//!
//! Reads are methods of [`Store`]; writes are methods of [`Tx`], which only [`Store::write`] and [`Store::journal`] give.
//! Committing a `write` adds one audit row; committing a `journal` (the engine's own progress, reports, logs) does not,
//! because the engine's journal is that record. After a commit, and only then, whoever waits on one of the transaction's
//! topics is woken, in this process and, through PostgreSQL's NOTIFY, in the other replicas. A wake-up is a hint: waiters
//! read again, and look every few seconds even without one.
//!
//! Invariant: a transaction is one unit. Dropping a [`Tx`] without `commit` rolls back everything.
//!
//! Rules of the portable text: TEXT, BIGINT and INTEGER columns only; `$1` placeholders; flags are 0/1; no time made in
//! SQL; `CAST(SUM(x) AS BIGINT)`; `CAST($1 AS TEXT) IS NULL OR …` for optional filters.

pub mod agents;
pub mod apps;
mod audit;
pub mod boots;
pub mod bundles;
mod database;
pub mod doors;
pub mod images;
pub mod inventory;
pub mod lists;
pub mod logs;
mod migrations;
pub mod nodes;
pub mod objects;
pub mod presets;
pub mod previews;
pub mod runs;
pub mod search;
pub mod secrets;
pub mod stacks;
pub mod users;
pub mod vault;

pub use audit::AuditRow;

use crate::clock::{Clock, Ids};
use crate::model::actor::Actor;
use crate::model::fault::Fault;
use crate::model::inventory::Role;
use crate::model::name::RoleName;
use crate::model::time::Timestamp;
use arc_swap::ArcSwap;
use database::Backend;
use inventory::{Inventory, Touched};
use serde::{Deserialize, Serialize};

use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed or could not be reached.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A uniqueness rule was broken.
    #[error("{0} is taken")]
    Taken(String),
    /// A row holds something this version does not understand.
    #[error("the database holds an unreadable {what}: {why}")]
    Corrupt {
        /// Which thing.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Another server holds this data directory.
    #[error("{0}")]
    Locked(String),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Database(sqlx::Error::Database(e)) if e.message().contains("disk is full") => {
                Self::new("disk-full", "The database cannot be written").why(e.message())
            }
            StoreError::Taken(what) => Self::new("conflict", format!("{what} is taken")),
            StoreError::Corrupt { .. } => Self::new("internal", "The database holds something unreadable").why(&error),
            _ => Self::new("store-unavailable", "The database did not do what it was asked").why(&error),
        }
    }
}

/// What a store call gives.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A wake-up: these topics may have changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Such as `stack:stk_…`, `run:run_…`, `log:run_…/fetch`, `stacks`, `apps`.
    pub topics: Vec<String>,
}

/// The database behind everything. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    url: String,
    pub(crate) pool: AnyPool,
    backend: Backend,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    changes: broadcast::Sender<Change>,
    inventory: ArcSwap<Inventory>,
    // Held while the picture is made anew, so that an older one never replaces a newer.
    refreshing: Mutex<()>,
    keys: search::Keys,
    vault: OnceLock<vault::Vault>,
}

impl std::fmt::Debug for Inner {
    // The URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("backend", &self.backend.name())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database of this URL (`sqlite:path` or `postgres://…`), brings its schema up to date, and reads the
    /// inventory into memory.
    ///
    /// # Errors
    /// Where it cannot be reached, migrated or read, or another process holds the SQLite file.
    pub async fn open(url: &str, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Result<Self> {
        let (pool, backend) = database::connect(url).await?;
        migrations::migrator().run(&pool).await?;
        let (changes, _) = broadcast::channel(4096);
        let inner = Inner {
            url: url.to_owned(),
            pool,
            backend,
            clock,
            ids,
            changes,
            inventory: ArcSwap::default(),
            refreshing: Mutex::default(),
            keys: search::Keys::default(),
            vault: OnceLock::new(),
        };
        let store = Self { inner: Arc::new(inner) };
        store.prepare_index().await?;
        store.refresh_inventory(None).await?;
        database::listen(url, &store).await?;
        Ok(store)
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.inner.pool.close().await;
    }

    /// The URL it was opened with, which may hold a password: for connecting again, never for showing.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// `sqlite` or `postgres`.
    pub fn backend_name(&self) -> &'static str {
        self.inner.backend.name()
    }

    /// Now, by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Unique bits for a new id.
    pub fn next_id(&self) -> u128 {
        self.inner.ids.next()
    }

    /// Wake-ups from now on.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// Wakes waiters in this process.
    pub(crate) fn wake(&self, change: Change) {
        let _ = self.inner.changes.send(change);
    }

    /// The inventory as of the last commit.
    pub fn inventory(&self) -> Arc<Inventory> {
        self.inner.inventory.load_full()
    }

    // Reads again what was touched; everything where that is not known.
    async fn refresh_inventory(&self, touched: Option<&Touched>) -> Result<()> {
        let _alone = self.inner.refreshing.lock().await;
        let fresh = match touched {
            Some(touched) => self.inventory().refreshed(self, touched).await?,
            None => Inventory::read(self).await?,
        };
        self.inner.inventory.store(Arc::new(fresh));
        Ok(())
    }

    /// Begins a write that someone asked for. `verb` is `noun.verb` (`stack.launch`), `subject` the id of the thing.
    ///
    /// # Errors
    /// Where the database cannot begin one.
    pub async fn write(&self, actor: &Actor, verb: &str, subject: &str) -> Result<Tx> {
        self.begin(Some(Audit {
            actor: actor.to_string(),
            verb: verb.into(),
            subject: subject.into(),
            detail: String::new(),
        }))
        .await
    }

    /// Begins a write of the engine's, an agent's or the keeper's own progress, which has its record elsewhere.
    ///
    /// # Errors
    /// Where the database cannot begin one.
    pub async fn journal(&self) -> Result<Tx> {
        self.begin(None).await
    }

    async fn begin(&self, audit: Option<Audit>) -> Result<Tx> {
        let (inner, gate) = self.inner.backend.begin(&self.inner.pool).await?;
        Ok(Tx {
            inner,
            gate,
            at: self.now(),
            audit,
            topics: Vec::new(),
            inventory: Touched::default(),
            versions: false,
            roles: None,
            new_keys: Vec::new(),
            store: self.clone(),
        })
    }

    /// A connection for reads.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.inner.pool
    }
}

#[derive(Debug)]
struct Audit {
    actor: String,
    verb: String,
    subject: String,
    detail: String,
}

/// One transaction. Dropping it rolls back.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Any>,
    // Held until after commit or rollback: SQLite has one writer, and queueing here is fair where its busy handler is not.
    gate: Option<OwnedMutexGuard<()>>,
    at: Timestamp,
    audit: Option<Audit>,
    topics: Vec<String>,
    inventory: Touched,
    // Whether versions wait for the revision that the commit gives.
    versions: bool,
    // The roles as this transaction sees them.
    roles: Option<Arc<BTreeMap<RoleName, Role>>>,
    // Keys of the search index that are not known before the commit.
    new_keys: Vec<((String, String), i64)>,
    store: Store,
}

impl Tx {
    /// The connection, for the noun files of this module.
    pub(crate) fn conn(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// The time of this write: one value for all its rows.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Unique bits for a new id.
    pub fn next_id(&self) -> u128 {
        self.store.next_id()
    }

    /// Adds words for people to the audit row. Never a secret.
    pub fn detail(&mut self, text: impl Into<String>) {
        if let Some(audit) = &mut self.audit {
            audit.detail = text.into();
        }
    }

    /// Wakes whoever waits on this topic once the write is committed.
    pub fn touch(&mut self, topic: impl Into<String>) {
        let topic = topic.into();
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }

    /// Marks the apps as changed: every replica reads them again after the commit.
    pub(crate) fn touch_apps(&mut self) {
        self.inventory.apps = true;
        self.versions = true;
        self.touch("inventory");
    }

    /// Makes it true, all at once.
    ///
    /// # Errors
    /// Where the database fails; then nothing of it is true.
    pub async fn commit(mut self) -> Result<()> {
        if let Some(audit) = self.audit.take() {
            // The counter is taken last, so that its row is held for as short as can be.
            let revision: i64 =
                sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value")
                    .fetch_one(&mut *self.inner)
                    .await?;
            sqlx::query("INSERT INTO audit (revision, at, actor, verb, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(revision)
                .bind(self.at.0)
                .bind(audit.actor)
                .bind(audit.verb)
                .bind(audit.subject)
                .bind(audit.detail)
                .execute(&mut *self.inner)
                .await?;
            if self.versions {
                for statement in [
                    "UPDATE object_versions SET revision = $1 WHERE revision IS NULL",
                    "UPDATE app_versions SET revision = $1 WHERE revision IS NULL",
                ] {
                    sqlx::query(statement).bind(revision).execute(&mut *self.inner).await?;
                }
            }
        }
        let change = Change {
            topics: std::mem::take(&mut self.topics),
        };
        if !change.topics.is_empty() {
            self.store.inner.backend.notify(&mut self.inner, &change).await?;
        }
        self.inner.commit().await?;
        drop(self.gate);
        self.store.inner.keys.add(self.new_keys);
        if !self.inventory.is_empty() {
            self.store.refresh_inventory(Some(&self.inventory)).await?;
        }
        if !change.topics.is_empty() {
            self.store.wake(change);
        }
        Ok(())
    }
}

/// Reads JSON out of a TEXT column.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| StoreError::Corrupt {
        what,
        why: e.to_string(),
    })
}

/// Writes JSON for a TEXT column.
pub(crate) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt {
        what,
        why: e.to_string(),
    })
}

/// Parses an id, name or state out of a TEXT column.
pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(what: &'static str, text: &str) -> Result<T> {
    text.parse().map_err(|e: T::Err| StoreError::Corrupt {
        what,
        why: e.to_string(),
    })
}

/// Turns a broken uniqueness rule into [`StoreError::Taken`] naming the thing.
pub(crate) fn taken(error: sqlx::Error, what: impl FnOnce() -> String) -> StoreError {
    match &error {
        sqlx::Error::Database(e) if e.is_unique_violation() => StoreError::Taken(what()),
        _ => StoreError::Database(error),
    }
}
