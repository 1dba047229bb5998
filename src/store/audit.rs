//! The record of all writes: who did what, in the one order of revisions.

use super::{Result, Store};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;

/// Who did what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AuditRow {
    /// Orders all writes.
    pub revision: i64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who, such as `user:ada`.
    pub actor: String,
    /// What, such as `stack.launch`.
    pub verb: String,
    /// To which thing.
    pub subject: String,
    /// More, for people.
    pub detail: String,
}

impl Store {
    /// The revision of the last write until a time; 0 where there was none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revision_until(&self, time: Timestamp) -> Result<i64> {
        let sql = "SELECT COALESCE(MAX(revision), 0) FROM audit WHERE at <= $1";
        Ok(sqlx::query_scalar(sql).bind(time.0).fetch_one(self.pool()).await?)
    }

    /// What was done to a thing, newest first; everything where `subject` is empty.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn audit(&self, subject: Option<&str>, before: Option<i64>, limit: i64) -> Result<Vec<AuditRow>> {
        let rows = sqlx::query(
            "SELECT revision, at, actor, verb, subject, detail FROM audit \
             WHERE (CAST($1 AS TEXT) IS NULL OR subject = $1) AND revision < $2 ORDER BY revision DESC LIMIT $3",
        )
        .bind(subject.map(str::to_owned))
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(AuditRow {
                    revision: row.try_get(0)?,
                    at: Timestamp(row.try_get(1)?),
                    actor: row.try_get(2)?,
                    verb: row.try_get(3)?,
                    subject: row.try_get(4)?,
                    detail: row.try_get(5)?,
                })
            })
            .collect()
    }
}
