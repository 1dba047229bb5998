//! Leases: who may drive a run. A lease keeps a run alive; the token `(term, epoch)` in it keeps it safe.

use super::super::{Result, Store, from_json};
use super::journal::Head;
use super::{RunRecord, read_one};
use crate::model::id::RunId;
use crate::model::run::Signal;
use sqlx::Row;

/// The right to drive a run, as far as its holder knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Names the holder's process; never reused.
    pub boot_id: String,
    /// The store's term.
    pub term: i64,
    /// Raised at each claim.
    pub epoch: i64,
}

/// A claimed run.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The lease.
    pub lease: Lease,
    /// The run as it is.
    pub record: RunRecord,
    /// Where its journal ends.
    pub head: Head,
}

/// What someone said to a run, not yet heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The signal's id.
    pub id: String,
    /// Who.
    pub actor: String,
    /// What.
    pub signal: Signal,
}

// An end of a lease further away than this many times its length was written by a clock that has been put back since.
const IMPLAUSIBLE: i64 = 3;

impl Store {
    /// Takes over a run that has something to do and that nobody drives: the one that has been due the longest, of each
    /// subject one at a time, the oldest first. None where there is none. `ttl_ms` is how long a lease lasts.
    ///
    /// A run whose rows cannot be read is put off for a minute, with a word in the server's log, so that it does not stop the
    /// others.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn claim_run(&self, boot_id: &str, ttl_ms: i64) -> Result<Option<Claim>> {
        loop {
            let now = self.now();
            let candidates: Vec<String> = sqlx::query_scalar(
                "SELECT r.id FROM runs r WHERE r.due_at <= $1 \
                 AND (r.boot_id IS NULL OR r.lease_until <= $1 OR r.lease_until > $2) \
                 AND NOT EXISTS (SELECT 1 FROM run_locks l WHERE l.subject = r.subject AND l.run_id <> r.id) \
                 AND NOT EXISTS (SELECT 1 FROM runs e WHERE e.subject = r.subject AND e.id < r.id \
                     AND e.state IN ('pending', 'running', 'blocked', 'compensating')) \
                 ORDER BY r.due_at, r.id LIMIT 20",
            )
            .bind(now.0)
            .bind(now.plus(IMPLAUSIBLE * ttl_ms).0)
            .fetch_all(self.pool())
            .await?;
            if candidates.is_empty() {
                return Ok(None);
            }
            for id in candidates {
                match self.claim_one(&super::parse("run id", &id)?, boot_id, ttl_ms).await {
                    Ok(Some(claim)) => return Ok(Some(claim)),
                    // Someone else was faster.
                    Ok(None) => {}
                    Err(error @ super::StoreError::Corrupt { .. }) => {
                        tracing::error!(run = id, %error, "the run cannot be read; looking again in a minute");
                        self.put_off(&id, 60_000).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// A token above all that were given so far, for who changes something without a run.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn next_token(&self) -> Result<(i64, i64)> {
        let mut tx = self.journal().await?;
        let epoch: i64 = sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'epoch' RETURNING value")
            .fetch_one(tx.conn())
            .await?;
        let term: i64 = sqlx::query_scalar("SELECT MAX(term) FROM engine_terms")
            .fetch_one(tx.conn())
            .await?;
        tx.commit().await?;
        Ok((term, epoch))
    }

    async fn claim_one(&self, run: &RunId, boot_id: &str, ttl_ms: i64) -> Result<Option<Claim>> {
        let mut tx = self.journal().await?;
        let now = tx.at();
        // Counted over all runs: a token of a later run on the same thing must be higher than one of an earlier run.
        let epoch: i64 = sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'epoch' RETURNING value")
            .fetch_one(tx.conn())
            .await?;
        let row = sqlx::query(
            "UPDATE runs SET boot_id = $1, term = (SELECT MAX(term) FROM engine_terms), epoch = $6, lease_until = $2 \
             WHERE id = $3 AND due_at <= $4 AND (boot_id IS NULL OR lease_until <= $4 OR lease_until > $5) \
             RETURNING term, epoch, subject, journal_seq, journal_hash",
        )
        .bind(boot_id.to_owned())
        .bind(now.plus(ttl_ms).0)
        .bind(run.as_str().to_owned())
        .bind(now.0)
        .bind(now.plus(IMPLAUSIBLE * ttl_ms).0)
        .bind(epoch)
        .fetch_optional(tx.conn())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let lease = Lease {
            run: run.clone(),
            boot_id: boot_id.to_owned(),
            term: row.try_get(0)?,
            epoch: row.try_get(1)?,
        };
        let subject: String = row.try_get(2)?;
        let head = Head {
            seq: row.try_get(3)?,
            hash: row.try_get(4)?,
        };
        let locked = sqlx::query(
            "INSERT INTO run_locks (subject, run_id, at) VALUES ($1, $2, $3) \
             ON CONFLICT (subject) DO UPDATE SET at = excluded.at WHERE run_locks.run_id = excluded.run_id",
        )
        .bind(subject)
        .bind(run.as_str().to_owned())
        .bind(now.0)
        .execute(tx.conn())
        .await?;
        if locked.rows_affected() != 1 {
            return Ok(None);
        }
        let Some(record) = read_one(tx.conn(), run).await? else {
            return Ok(None);
        };
        tx.commit().await?;
        Ok(Some(Claim { lease, record, head }))
    }

    async fn put_off(&self, run: &str, millis: i64) -> Result<()> {
        let mut tx = self.journal().await?;
        let due = tx.at().plus(millis).0;
        sqlx::query("UPDATE runs SET due_at = $1 WHERE id = $2")
            .bind(due)
            .bind(run.to_owned())
            .execute(tx.conn())
            .await?;
        tx.commit().await
    }

    /// Extends a lease; false where it is lost.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn renew_lease(&self, lease: &Lease, ttl_ms: i64) -> Result<bool> {
        let mut tx = self.journal().await?;
        let until = tx.at().plus(ttl_ms).0;
        let done = sqlx::query(
            "UPDATE runs SET lease_until = $1 WHERE id = $2 AND term = $3 AND epoch = $4 AND boot_id = $5 \
             AND term = (SELECT MAX(term) FROM engine_terms)",
        )
        .bind(until)
        .bind(lease.run.as_str().to_owned())
        .bind(lease.term)
        .bind(lease.epoch)
        .bind(lease.boot_id.clone())
        .execute(tx.conn())
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a run back before its end, to be taken up `after_ms` from now by whoever comes first; false where it was lost.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn give_back(&self, lease: &Lease, after_ms: i64) -> Result<bool> {
        let mut tx = self.journal().await?;
        let due = tx.at().plus(after_ms).0;
        let done = sqlx::query(
            "UPDATE runs SET boot_id = NULL, lease_until = NULL, due_at = $1 \
             WHERE id = $2 AND term = $3 AND epoch = $4 AND boot_id = $5",
        )
        .bind(due)
        .bind(lease.run.as_str().to_owned())
        .bind(lease.term)
        .bind(lease.epoch)
        .bind(lease.boot_id.clone())
        .execute(tx.conn())
        .await?;
        tx.touch("runs");
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends every lease that `boot_id` does not hold. Only for a process that can prove the other holders dead, as the one
    /// that has the lock of an SQLite database can.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_other_leases(&self, boot_id: &str) -> Result<u64> {
        let mut tx = self.journal().await?;
        let done = sqlx::query("UPDATE runs SET boot_id = NULL, lease_until = NULL WHERE boot_id IS NOT NULL AND boot_id <> $1")
            .bind(boot_id.to_owned())
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Raises the term: every lease given before is lost, whatever epochs the database may have forgotten. For a database
    /// that was restored from a copy or promoted from a standby.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn raise_term(&self, reason: &str) -> Result<i64> {
        let mut tx = self.journal().await?;
        let at = tx.at().0;
        let term: i64 = sqlx::query_scalar(
            "INSERT INTO engine_terms (term, reason, at) SELECT MAX(term) + 1, CAST($1 AS TEXT), CAST($2 AS BIGINT) \
             FROM engine_terms RETURNING term",
        )
        .bind(reason.to_owned())
        .bind(at)
        .fetch_one(tx.conn())
        .await?;
        sqlx::query("UPDATE runs SET lease_until = $1 WHERE boot_id IS NOT NULL")
            .bind(at)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        Ok(term)
    }

    /// What people said to a run that was not heard yet, oldest first.
    ///
    /// # Errors
    /// Where the database fails or a signal is unreadable.
    pub async fn unheard_signals(&self, run: &RunId) -> Result<Vec<Said>> {
        let rows = sqlx::query("SELECT id, actor, body FROM run_signals WHERE run_id = $1 AND taken_at IS NULL ORDER BY at, id")
            .bind(run.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Said {
                    id: row.try_get(0)?,
                    actor: row.try_get(1)?,
                    signal: from_json("signal", row.try_get(2)?)?,
                })
            })
            .collect()
    }

    /// What became of the signals of a run, oldest first: the signal's type and the engine's answer.
    ///
    /// # Errors
    /// Where the database fails or a signal is unreadable.
    pub async fn signal_answers(&self, run: &RunId) -> Result<Vec<(Signal, Option<String>)>> {
        let rows = sqlx::query("SELECT body, answer FROM run_signals WHERE run_id = $1 ORDER BY at, id")
            .bind(run.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((from_json("signal", row.try_get(0)?)?, row.try_get(1)?)))
            .collect()
    }
}
