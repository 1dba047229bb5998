//! Logs as chunks of whole lines, in streams. A writer that numbers its chunks may send one twice; it is stored once.

use super::runs::claim::Lease;
use super::{Result, Store};
use crate::model::time::Timestamp;
use crate::wire::runs::LogChunk;
use sqlx::Row;

impl Store {
    /// Appends a chunk; once this returns it is durable. Without a number of the writer's own, the next place is its number.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn append_log(&self, stream: &str, writer: &str, writer_seq: Option<i64>, at: Timestamp, text: &str) -> Result<()> {
        self.append(None, stream, writer, writer_seq, at, text).await
    }

    /// Appends to the log of a step, as long as its run's lease is held: what a driver that lost its run has to say is not
    /// the run's.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn append_step_log(&self, lease: &Lease, step: &str, text: &str) -> Result<()> {
        let stream = format!("{}/{step}", lease.run);
        self.append(Some(lease), &stream, "engine", None, self.now(), text).await
    }

    async fn append(
        &self,
        lease: Option<&Lease>,
        stream: &str,
        writer: &str,
        writer_seq: Option<i64>,
        at: Timestamp,
        text: &str,
    ) -> Result<()> {
        // Two writers of one stream may meet on the next place; whoever loses looks again.
        loop {
            let mut tx = self.journal().await?;
            if let Some(lease) = lease
                && !tx.holds(lease).await?
            {
                return Ok(());
            }
            if let Some(number) = writer_seq {
                let known: Option<i64> =
                    sqlx::query_scalar("SELECT seq FROM log_chunks WHERE stream = $1 AND writer = $2 AND writer_seq = $3")
                        .bind(stream.to_owned())
                        .bind(writer.to_owned())
                        .bind(number)
                        .fetch_optional(tx.conn())
                        .await?;
                if known.is_some() {
                    return Ok(());
                }
            }
            let next: i64 =
                sqlx::query_scalar("SELECT CAST(COALESCE(MAX(seq), 0) + 1 AS BIGINT) FROM log_chunks WHERE stream = $1")
                    .bind(stream.to_owned())
                    .fetch_one(tx.conn())
                    .await?;
            let done =
                sqlx::query("INSERT INTO log_chunks (stream, seq, writer, writer_seq, at, text) VALUES ($1, $2, $3, $4, $5, $6)")
                    .bind(stream.to_owned())
                    .bind(next)
                    .bind(writer.to_owned())
                    .bind(writer_seq.unwrap_or(next))
                    .bind(at.0)
                    .bind(text.replace('\0', "\u{fffd}"))
                    .execute(tx.conn())
                    .await;
            match done {
                Ok(_) => {
                    tx.touch(format!("log:{stream}"));
                    return tx.commit().await;
                }
                Err(sqlx::Error::Database(e)) if e.is_unique_violation() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Chunks of a stream after a place, in order.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn read_log(&self, stream: &str, after: i64, limit: i64) -> Result<Vec<LogChunk>> {
        let rows = sqlx::query("SELECT seq, at, text FROM log_chunks WHERE stream = $1 AND seq > $2 ORDER BY seq LIMIT $3")
            .bind(stream.to_owned())
            .bind(after)
            .bind(limit)
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(LogChunk {
                    seq: row.try_get(0)?,
                    at: Timestamp(row.try_get(1)?),
                    text: row.try_get(2)?,
                })
            })
            .collect()
    }
}
