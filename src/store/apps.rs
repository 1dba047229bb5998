//! Apps: the current descriptor of each, and every version ever accepted.

use super::{Result, Store, Tx, from_json, to_json};
use crate::model::descriptor::Descriptor;
use crate::model::inventory::app_document;
use crate::model::name::AppName;
use crate::model::time::Timestamp;
use sqlx::Row;

/// A version of a descriptor as it was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppVersion {
    /// From 1.
    pub version: i64,
    /// The audit's revision that made it.
    pub revision: i64,
    /// The text as it was saved; nothing where this version is the app's removal.
    pub source: Option<String>,
    /// Who saved it.
    pub actor: String,
    /// How: `restored from version 3`; mostly nothing.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Every accepted version of an app, newest first, also of one that was removed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn app_versions(&self, name: &AppName) -> Result<Vec<AppVersion>> {
        let rows = sqlx::query(
            "SELECT version, revision, source, actor, note, at FROM app_versions WHERE name = $1 ORDER BY version DESC",
        )
        .bind(name.as_str().to_owned())
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(AppVersion {
                    version: row.try_get(0)?,
                    revision: row.try_get(1)?,
                    source: Some(row.try_get::<String, _>(2)?).filter(|source| !source.is_empty()),
                    actor: row.try_get(3)?,
                    note: row.try_get(4)?,
                    at: Timestamp(row.try_get(5)?),
                })
            })
            .collect()
    }

    /// One version of an app's descriptor.
    ///
    /// # Errors
    /// Where the database fails or the text is unreadable.
    pub async fn app_descriptor(&self, name: &AppName, version: i64) -> Result<Option<Descriptor>> {
        let current = self.inventory().app(name).filter(|record| record.version == version).cloned();
        if let Some(record) = current {
            return Ok(Some(record.descriptor.clone()));
        }
        let source: Option<String> = sqlx::query_scalar("SELECT source FROM app_versions WHERE name = $1 AND version = $2")
            .bind(name.as_str().to_owned())
            .bind(version)
            .fetch_optional(self.pool())
            .await?;
        source.map(|text| from_json("descriptor", &text)).transpose()
    }
}

impl Tx {
    /// The latest version of an app, and whether it is removed. Locks the row where there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn app_version(&mut self, name: &AppName) -> Result<Option<(i64, bool)>> {
        let row = sqlx::query("UPDATE apps SET version = version WHERE name = $1 RETURNING version, removed_at")
            .bind(name.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get::<Option<i64>, _>(1)?.is_some())))
            .transpose()
    }

    /// Saves a new version of an app; the caller has checked that `version` follows the present one.
    ///
    /// # Errors
    /// [`super::StoreError::Taken`] where someone saved that version meanwhile.
    pub async fn save_app(&mut self, descriptor: &Descriptor, source: &str, version: i64, actor: &str, note: &str) -> Result<()> {
        let at = self.at().0;
        let name = descriptor.name().as_str().to_owned();
        let body = to_json("descriptor", descriptor)?;
        self.add_app_version(&name, version, source, actor, note).await?;
        sqlx::query(
            "INSERT INTO apps (name, version, descriptor, created_at, updated_at, removed_at) VALUES ($1, $2, $3, $4, $4, NULL) \
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, descriptor = excluded.descriptor, \
             updated_at = excluded.updated_at, removed_at = NULL",
        )
        .bind(name.clone())
        .bind(version)
        .bind(body)
        .bind(at)
        .execute(self.conn())
        .await?;
        self.index("app", &name, &app_document(descriptor)).await?;
        self.touch_apps();
        self.touch("apps");
        self.touch(format!("app:{name}"));
        Ok(())
    }

    /// Takes an app out of the inventory, which is a version of its own; the caller has checked that it is in it, and that
    /// `version` follows the present one.
    ///
    /// # Errors
    /// [`super::StoreError::Taken`] where someone saved that version meanwhile.
    pub async fn remove_app(&mut self, name: &AppName, version: i64, actor: &str) -> Result<()> {
        let at = self.at().0;
        self.add_app_version(name.as_str(), version, "", actor, "").await?;
        sqlx::query("UPDATE apps SET removed_at = $1, version = $2 WHERE name = $3")
            .bind(at)
            .bind(version)
            .bind(name.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.unindex("app", name.as_str()).await?;
        self.touch_apps();
        self.touch("apps");
        self.touch(format!("app:{name}"));
        Ok(())
    }

    async fn add_app_version(&mut self, name: &str, version: i64, source: &str, actor: &str, note: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO app_versions (name, version, source, sha256, actor, note, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(name.to_owned())
        .bind(version)
        .bind(source.to_owned())
        .bind(crate::model::secret::hash(source))
        .bind(actor.to_owned())
        .bind(note.to_owned())
        .bind(at)
        .execute(self.conn())
        .await
        .map_err(|e| super::taken(e, || format!("version {version} of {name}")))?;
        Ok(())
    }
}
