//! Logs as chunks of whole lines, in streams. A writer that numbers its chunks may send one twice; it is stored once.

use super::runs::claim::Lease;
use super::{Result, Store, Tx};
use crate::model::time::Timestamp;
use crate::wire::runs::LogChunk;
use sqlx::Row;

/// A piece of a log on its way in: whole lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The stream.
    pub stream: String,
    /// Who says it.
    pub writer: String,
    /// The writer's own number for it within the stream; the next place where absent.
    pub writer_seq: Option<i64>,
    /// When.
    pub at: Timestamp,
    /// The text.
    pub text: String,
}

impl Store {
    /// Appends a chunk; once this returns it is durable. Without a number of the writer's own, the next place is its number.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn append_log(&self, stream: &str, writer: &str, writer_seq: Option<i64>, at: Timestamp, text: &str) -> Result<()> {
        let piece = Piece {
            stream: stream.to_owned(),
            writer: writer.to_owned(),
            writer_seq,
            at,
            text: text.to_owned(),
        };
        self.append(None, &[piece]).await
    }

    /// Appends pieces in their order, all of them or none; once this returns they are durable.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn append_logs(&self, pieces: &[Piece]) -> Result<()> {
        self.append(None, pieces).await
    }

    /// As [`Self::append_logs`], and forgets the oldest of one stream beyond so many characters.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn append_logs_within(&self, pieces: &[Piece], stream: &str, most: i64) -> Result<()> {
        self.append(None, pieces).await?;
        let mut tx = self.journal().await?;
        tx.trim_log(stream, most).await?;
        tx.commit().await
    }

    /// Appends to the log of a step, as long as its run's lease is held: what a driver that lost its run has to say is not
    /// the run's.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn append_step_log(&self, lease: &Lease, step: &str, text: &str) -> Result<()> {
        let piece = Piece {
            stream: format!("{}/{step}", lease.run),
            writer: "engine".to_owned(),
            writer_seq: None,
            at: self.now(),
            text: text.to_owned(),
        };
        self.append(Some(lease), &[piece]).await
    }

    async fn append(&self, lease: Option<&Lease>, pieces: &[Piece]) -> Result<()> {
        // Two writers of one stream may meet on the next place; whoever loses looks again.
        loop {
            let mut tx = self.journal().await?;
            if let Some(lease) = lease
                && !tx.holds(lease).await?
            {
                return Ok(());
            }
            let mut met = false;
            for piece in pieces {
                if !tx.append_piece(piece).await? {
                    met = true;
                    break;
                }
            }
            if !met {
                return tx.commit().await;
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

impl Tx {
    /// Forgets the oldest chunks of a stream, so that no more characters are left than these.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn trim_log(&mut self, stream: &str, most: i64) -> Result<()> {
        sqlx::query(
            "DELETE FROM log_chunks WHERE stream = $1 AND seq <= (SELECT COALESCE(MAX(seq), 0) FROM \
             (SELECT seq, SUM(LENGTH(text)) OVER (ORDER BY seq DESC) AS total FROM log_chunks WHERE stream = $1) AS sums \
             WHERE total > $2)",
        )
        .bind(stream.to_owned())
        .bind(most)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    // Says whether it is there now; false where another writer took the place, which ends the transaction on PostgreSQL.
    async fn append_piece(&mut self, piece: &Piece) -> Result<bool> {
        let Piece { stream, writer, .. } = piece;
        if let Some(number) = piece.writer_seq {
            let known: Option<i64> =
                sqlx::query_scalar("SELECT seq FROM log_chunks WHERE stream = $1 AND writer = $2 AND writer_seq = $3")
                    .bind(stream.clone())
                    .bind(writer.clone())
                    .bind(number)
                    .fetch_optional(self.conn())
                    .await?;
            if known.is_some() {
                return Ok(true);
            }
        }
        let next: i64 = sqlx::query_scalar("SELECT CAST(COALESCE(MAX(seq), 0) + 1 AS BIGINT) FROM log_chunks WHERE stream = $1")
            .bind(stream.clone())
            .fetch_one(self.conn())
            .await?;
        let done =
            sqlx::query("INSERT INTO log_chunks (stream, seq, writer, writer_seq, at, text) VALUES ($1, $2, $3, $4, $5, $6)")
                .bind(stream.clone())
                .bind(next)
                .bind(writer.clone())
                .bind(piece.writer_seq.unwrap_or(next))
                .bind(piece.at.0)
                .bind(piece.text.replace('\0', "\u{fffd}"))
                .execute(self.conn())
                .await;
        match done {
            Ok(_) => {
                self.touch(format!("log:{stream}"));
                Ok(true)
            }
            Err(sqlx::Error::Database(e)) if e.is_unique_violation() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
