//! Secrets that people give for nodes of the inventory. A value is only ever stored sealed, and bound to its name and
//! environment: moved to another row, it does not open.

use super::{Result, Store, StoreError, Tx};
use crate::model::time::Timestamp;
use sqlx::Row;

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecretRow {
    /// Its name, such as `shop/env/SESSION_KEY`.
    pub name: String,
    /// The environment it is for; every one that has none of its own where empty.
    pub environment: String,
    /// When its value was given.
    pub updated_at: Timestamp,
    /// Who gave it.
    pub updated_by: String,
}

impl Store {
    /// All secrets, without their values.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn named_secrets(&self) -> Result<Vec<NamedSecretRow>> {
        let rows = sqlx::query("SELECT name, environment, updated_at, updated_by FROM named_secrets ORDER BY name, environment")
            .fetch_all(self.pool())
            .await?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(NamedSecretRow {
                name: row.try_get(0)?,
                environment: row.try_get(1)?,
                updated_at: Timestamp(row.try_get(2)?),
                updated_by: row.try_get(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The value of a secret in an environment: its own, else the one for all.
    ///
    /// # Errors
    /// Where the database fails, or the value was sealed with another key.
    pub async fn named_secret(&self, name: &str, environment: &str) -> Result<Option<String>> {
        let row = sqlx::query(
            "SELECT environment, value FROM named_secrets WHERE name = $1 AND (environment = $2 OR environment = '') \
             ORDER BY environment DESC LIMIT 1",
        )
        .bind(name.to_owned())
        .bind(environment.to_owned())
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (environment, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        self.opened_at(&place(name, &environment), value).map(Some)
    }

    /// A value as it is stored; refused where there is no key to seal it with.
    ///
    /// # Errors
    /// Where there is no key.
    pub fn seal_named_secret(&self, name: &str, environment: &str, value: &str) -> Result<String> {
        if self.inner.vault.get().is_none() {
            return Err(StoreError::Corrupt {
                what: "secret",
                why: "there is no key to seal it with".to_owned(),
            });
        }
        self.sealed_at(&place(name, environment), value)
    }
}

impl Tx {
    /// Stores a sealed value in the place of the one before.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn put_named_secret(&mut self, name: &str, environment: &str, sealed: &str, by: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO named_secrets (name, environment, value, updated_at, updated_by) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (name, environment) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, \
             updated_by = excluded.updated_by",
        )
        .bind(name.to_owned())
        .bind(environment.to_owned())
        .bind(sealed.to_owned())
        .bind(at)
        .bind(by.to_owned())
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Forgets a secret; `false` where there is none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn delete_named_secret(&mut self, name: &str, environment: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM named_secrets WHERE name = $1 AND environment = $2")
            .bind(name.to_owned())
            .bind(environment.to_owned())
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn place(name: &str, environment: &str) -> String {
    format!("named/{environment}/{name}")
}
