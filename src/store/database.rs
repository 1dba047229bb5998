//! What differs between SQLite and PostgreSQL: opening, beginning a write, and waking other replicas.

use super::inventory::Touched;
use super::{Change, Result, Store, StoreError};
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{Any, AnyPool, Connection, Executor, Transaction};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

const CHANNEL: &str = "greenroom_changes";
const COLLATION: &str = r#"CREATE COLLATION IF NOT EXISTS "BINARY" FROM "C""#;
// PostgreSQL refuses a NOTIFY payload of 8,000 bytes or more.
const NOTIFY_LIMIT: usize = 7_900;

#[derive(Debug)]
pub(super) enum Backend {
    Sqlite { gate: Arc<Mutex<()>>, _lock: std::fs::File },
    Postgres,
}

pub(super) async fn connect(url: &str) -> Result<(AnyPool, Backend)> {
    install_default_drivers();
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        let pool = AnyPoolOptions::new()
            .max_connections(12)
            .acquire_timeout(Duration::from_secs(10))
            .connect(url)
            .await?;
        // SQLite's name for comparing byte by byte, so that one text of the schema says it to both. Two servers that start
        // at once may both try; whoever loses finds it made.
        if let Err(error) = pool.execute(COLLATION).await {
            tracing::debug!(%error, "another server made the collation");
            pool.execute(COLLATION).await?;
        }
        return Ok((pool, Backend::Postgres));
    }
    let path = url.strip_prefix("sqlite:").unwrap_or(url).trim_start_matches("//");
    let lock = lock_file(Path::new(path))?;
    let pool = AnyPoolOptions::new()
        .max_connections(6)
        .acquire_timeout(Duration::from_secs(10))
        .after_connect(|conn, _| {
            Box::pin(async move {
                // FULL: a commit survives the loss of power, which the engine's promise rests on.
                conn.execute(
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                     PRAGMA busy_timeout = 5000; PRAGMA cache_size = -4000; PRAGMA case_sensitive_like = ON;",
                )
                .await?;
                Ok(())
            })
        })
        // On a full disk SQLite ends a transaction by itself, after which sqlx can neither end it nor begin another.
        .before_acquire(|conn, _| Box::pin(async move { Ok(!conn.is_in_transaction()) }))
        .connect(&format!("sqlite:{path}?mode=rwc"))
        .await?;
    Ok((
        pool,
        Backend::Sqlite {
            gate: Arc::default(),
            _lock: lock,
        },
    ))
}

// Two servers on one SQLite file would each believe to be the only writer.
fn lock_file(path: &Path) -> Result<std::fs::File> {
    let file = path.with_extension("lock");
    let refuse = |why: String| StoreError::Locked(format!("the database {} cannot be opened: {why}", path.display()));
    let lock = std::fs::File::create(&file).map_err(|e| refuse(e.to_string()))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| refuse("another Greenroom server uses it; stop that one, or give this one another data folder".into()))?;
    Ok(lock)
}

impl Backend {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    pub(super) async fn begin(&self, pool: &AnyPool) -> Result<(Transaction<'static, Any>, Option<OwnedMutexGuard<()>>)> {
        match self {
            Self::Sqlite { gate, .. } => {
                let guard = Arc::clone(gate).lock_owned().await;
                Ok((pool.begin_with("BEGIN IMMEDIATE").await?, Some(guard)))
            }
            Self::Postgres => Ok((pool.begin().await?, None)),
        }
    }

    pub(super) async fn notify(&self, tx: &mut Transaction<'static, Any>, change: &Change) -> Result<()> {
        if matches!(self, Self::Postgres) {
            let mut payload = serde_json::to_string(change).unwrap_or_default();
            if payload.len() > NOTIFY_LIMIT {
                payload = r#"{"topics":["*"]}"#.into();
            }
            sqlx::query("SELECT CAST(pg_notify($1, $2) AS TEXT)")
                .bind(CHANNEL)
                .bind(payload)
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}

/// On PostgreSQL, turns the other replicas' NOTIFY into wake-ups here. Ends when the store is dropped.
pub(super) async fn listen(url: &str, store: &Store) -> Result<()> {
    if !matches!(store.inner.backend, Backend::Postgres) {
        return Ok(());
    }
    let mut listener = sqlx::postgres::PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    let weak = Arc::downgrade(&store.inner);
    tokio::spawn(async move {
        loop {
            let received = listener.recv().await;
            let Some(inner) = weak.upgrade() else { return };
            let store = Store { inner };
            if store.pool().is_closed() {
                return;
            }
            match received {
                Ok(notice) => {
                    if let Ok(change) = serde_json::from_str::<Change>(notice.payload()) {
                        let touched = Touched::by_topics(&change.topics);
                        if change.topics.iter().any(|t| t == "inventory" || t == "*")
                            && let Err(error) = store.refresh_inventory(touched.as_ref()).await
                        {
                            tracing::warn!(%error, "the inventory could not be read after another server changed it");
                        }
                        store.wake(change);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "lost the database's change notices; polling until they are back");
                    drop(store);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(())
}
