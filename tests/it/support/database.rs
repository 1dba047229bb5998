//! A database for one test: an SQLite file always, and a PostgreSQL database where a server is given. In CI a missing server
//! fails the test; it is never skipped in silence.

use greenroom::clock::{Clock, Ids, SystemClock, SystemIds};
use greenroom::store::Store;
use sqlx::Connection;
use std::sync::Arc;

/// A database that is removed when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its URL.
    pub url: String,
    folder: Option<tempfile::TempDir>,
    drop: Option<(String, String)>,
}

impl TestDatabase {
    /// A fresh SQLite file.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: format!("sqlite:{}", folder.path().join("greenroom.db").display()),
            folder: Some(folder),
            drop: None,
        }
    }

    /// A fresh database of the PostgreSQL server that `GREENROOM_TEST_POSTGRES` names.
    pub async fn postgres() -> Option<Self> {
        let Ok(server) = std::env::var("GREENROOM_TEST_POSTGRES") else {
            assert!(
                std::env::var_os("CI").is_none(),
                "GREENROOM_TEST_POSTGRES is not set; run tests/all, which starts a server"
            );
            return None;
        };
        let name = format!("gr_test_{:032x}", SystemIds.next());
        let mut connection = sqlx::PgConnection::connect(&server)
            .await
            .expect("the PostgreSQL server of GREENROOM_TEST_POSTGRES answers");
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        let base = server.rsplit_once('/').expect("a database URL has a path").0.to_owned();
        Some(Self {
            url: format!("{base}/{name}"),
            folder: None,
            drop: Some((server, name)),
        })
    }

    /// One of each kind.
    pub async fn both() -> Vec<Self> {
        let mut all = vec![Self::sqlite()];
        all.extend(Self::postgres().await);
        all
    }

    /// Opens it with the machine's clock.
    pub async fn open(&self) -> Store {
        self.open_at(Arc::new(SystemClock)).await
    }

    /// Opens it with a clock of the test's.
    pub async fn open_at(&self, clock: Arc<dyn Clock>) -> Store {
        Store::open(&self.url, clock, Arc::new(SystemIds)).await.unwrap()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        drop(self.folder.take());
        let Some((server, name)) = self.drop.take() else { return };
        // Dropping is not async; a thread of its own may wait.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut connection) = sqlx::PgConnection::connect(&server).await {
                    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    let _ = sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut connection).await;
                }
            });
        })
        .join();
    }
}
