//! Bundles as rows: immutable, named by the hash of their files. Saving one that is there already changes nothing.

use super::{Result, Store, Tx, from_json, to_json};
use crate::model::time::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

/// A bundle without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRow {
    /// Its name.
    pub hash: String,
    /// How many files it has.
    pub file_count: i64,
    /// How many bytes they have together.
    pub bytes: i64,
    /// Where it came from, for people.
    pub note: String,
    /// Who pushed it first.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
}

macro_rules! columns {
    () => {
        "hash, file_count, bytes, note, actor, created_at"
    };
}

fn read(row: &AnyRow) -> Result<BundleRow> {
    Ok(BundleRow {
        hash: row.try_get(0)?,
        file_count: row.try_get(1)?,
        bytes: row.try_get(2)?,
        note: row.try_get(3)?,
        actor: row.try_get(4)?,
        created_at: Timestamp(row.try_get(5)?),
    })
}

impl Store {
    /// All bundles, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn bundles(&self) -> Result<Vec<BundleRow>> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM bundles ORDER BY created_at DESC, hash LIMIT 1000"
        ))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The bundles whose hash starts with this text; two at most, for that is enough to know that it is not unique.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn bundles_like(&self, start: &str) -> Result<Vec<BundleRow>> {
        // Hashes have none of LIKE's signs, so neither may the pattern.
        let plain: String = start.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM bundles WHERE hash LIKE $1 ORDER BY hash LIMIT 2"
        ))
        .bind(format!("{plain}%"))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The files of a bundle: text by file name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn bundle_files(&self, hash: &str) -> Result<Option<BTreeMap<String, String>>> {
        let row = sqlx::query("SELECT files FROM bundles WHERE hash = $1")
            .bind(hash.to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.map(|row| from_json("bundle", row.try_get(0)?)).transpose()
    }
}

impl Tx {
    /// Keeps a bundle. True where it was not there yet.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn put_bundle(&mut self, hash: &str, files: &BTreeMap<String, String>, note: &str, actor: &str) -> Result<bool> {
        let bytes: usize = files.values().map(String::len).sum();
        let at = self.at().0;
        let done = sqlx::query(
            "INSERT INTO bundles (hash, files, file_count, bytes, note, actor, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7) \
             ON CONFLICT (hash) DO NOTHING",
        )
        .bind(hash.to_owned())
        .bind(to_json("bundle", files)?)
        .bind(i64::try_from(files.len()).unwrap_or(i64::MAX))
        .bind(i64::try_from(bytes).unwrap_or(i64::MAX))
        .bind(note.to_owned())
        .bind(actor.to_owned())
        .bind(at)
        .execute(self.conn())
        .await?;
        self.touch("bundles");
        Ok(done.rows_affected() > 0)
    }
}
