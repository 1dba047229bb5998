//! The writes of whoever drives a run. Invariant: each is conditional on the lease, `(owner, term, epoch)`, and touches the
//! run's row first, so a driver that has lost its lease changes nothing, not even by a moment.

use super::super::{Result, Store, Tx, from_json, parse, to_json};
use super::{RunRow, StepRow};
use crate::model::id::RunId;
use crate::model::run::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::Row;
use std::fmt::Write as _;

/// The right to drive a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// The driver's boot id.
    pub owner: String,
    /// The store's term.
    pub term: i64,
    /// Raised at each claim.
    pub epoch: i64,
}

/// An attempt about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Names the attempt to effectors.
    pub op_id: String,
    /// The step's key.
    pub step: String,
    /// `do` or `undo`.
    pub direction: &'static str,
    /// Which attempt, from 1.
    pub attempt: u32,
}

impl Store {
    /// Runs that nobody drives and that have something to do: oldest first, at most one of each subject.
    ///
    /// On SQLite the lock on the data folder proves that any other owner is dead, so its leases count for nothing.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn claimable_runs(&self, boot_id: &str, limit: i64) -> Result<Vec<RunId>> {
        let alone = i64::from(self.backend_name() == "sqlite");
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT r.id FROM runs r WHERE (r.owner IS NULL OR r.lease_until < $1 OR ($2 = 1 AND r.owner <> $3)) \
             AND (r.state IN ('pending', 'running', 'compensating') OR (r.state IN ('blocked', 'stuck') AND \
                  EXISTS (SELECT 1 FROM signals s WHERE s.run = r.id AND s.consumed_at IS NULL))) \
             AND (r.state <> 'pending' OR NOT EXISTS (SELECT 1 FROM runs e WHERE e.subject = r.subject AND e.ended = 0 AND e.id < r.id)) \
             ORDER BY r.id LIMIT $4",
        )
        .bind(self.now().0)
        .bind(alone)
        .bind(boot_id.to_owned())
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|id| parse("run id", id)).collect()
    }

    /// Takes a run over, if nobody drives it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn claim_run(&self, run: &RunId, boot_id: &str, ttl_ms: i64) -> Result<Option<Lease>> {
        let alone = i64::from(self.backend_name() == "sqlite");
        let mut tx = self.journal().await?;
        let now = tx.at();
        let term: String = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'term'")
            .fetch_one(tx.conn())
            .await?;
        let term: i64 = parse("term", &term)?;
        let row = sqlx::query(
            "UPDATE runs SET owner = $1, term = $2, epoch = epoch + 1, lease_until = $3, started_at = COALESCE(started_at, $4) \
             WHERE id = $5 AND (owner IS NULL OR lease_until < $4 OR ($6 = 1 AND owner <> $1)) RETURNING epoch",
        )
        .bind(boot_id.to_owned())
        .bind(term)
        .bind(now.plus(ttl_ms).0)
        .bind(now.0)
        .bind(run.as_str().to_owned())
        .bind(alone)
        .fetch_optional(tx.conn())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let epoch: i64 = row.try_get(0)?;
        tx.write_journal(
            run,
            "claimed",
            &serde_json::json!({"owner": boot_id, "term": term, "epoch": epoch}),
        )
        .await?;
        tx.commit().await?;
        Ok(Some(Lease {
            run: run.clone(),
            owner: boot_id.to_owned(),
            term,
            epoch,
        }))
    }

    /// Attempts of a run that have an intent and no outcome.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn open_attempts(&self, run: &RunId) -> Result<Vec<(String, String, String)>> {
        let rows = sqlx::query("SELECT op_id, step, direction FROM attempts WHERE run = $1 AND settled_at IS NULL")
            .bind(run.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect()
    }

    /// What people said to a run that its driver has not heard yet, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn unheard_signals(&self, run: &RunId) -> Result<Vec<(String, Signal)>> {
        let rows = sqlx::query("SELECT id, body FROM signals WHERE run = $1 AND consumed_at IS NULL ORDER BY at, id")
            .bind(run.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, from_json("signal", row.try_get(1)?)?)))
            .collect()
    }

    /// The journal of a run, oldest first: type, body, hash.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn read_journal(&self, run: &RunId) -> Result<Vec<(String, String, String)>> {
        let rows = sqlx::query("SELECT type, body, hash FROM journal WHERE run = $1 ORDER BY seq")
            .bind(run.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect()
    }
}

impl Tx {
    /// Confirms the lease and extends it; false where it is lost, and then nothing else may be written.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn hold_lease(&mut self, lease: &Lease, ttl_ms: i64) -> Result<bool> {
        let until = self.at().plus(ttl_ms).0;
        let done = sqlx::query(
            "UPDATE runs SET lease_until = $1 WHERE id = $2 AND owner = $3 AND term = $4 AND epoch = $5 \
             AND term = (SELECT CAST(value AS BIGINT) FROM settings WHERE name = 'term')",
        )
        .bind(until)
        .bind(lease.run.as_str().to_owned())
        .bind(lease.owner.clone())
        .bind(lease.term)
        .bind(lease.epoch)
        .execute(self.conn())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stores a run's state. The lease was confirmed in this transaction. `keep` says whether it is still driven.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn save_run(&mut self, run: &RunRow, keep: bool) -> Result<()> {
        let ended = run.state.is_ended();
        let at = self.at().0;
        sqlx::query(
            "UPDATE runs SET state = $1, cancelled = $2, fault = $3, ended = $4, ended_at = CASE WHEN $4 = 1 THEN $5 ELSE NULL END, \
             owner = CASE WHEN $6 = 1 THEN owner ELSE NULL END WHERE id = $7",
        )
        .bind(run.state.as_str())
        .bind(run.cancelled.clone())
        .bind(run.fault.as_ref().map(|f| to_json("fault", f)).transpose()?)
        .bind(i32::from(ended))
        .bind(at)
        .bind(i32::from(keep))
        .bind(run.id.as_str().to_owned())
        .execute(self.conn())
        .await?;
        self.touch_run(&run.id, &run.subject);
        Ok(())
    }

    /// Stores a step's state.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn save_step(&mut self, run: &RunId, step: &StepRow) -> Result<()> {
        sqlx::query(
            "UPDATE run_steps SET spec = $1, state = $2, attempt = $3, undo_attempt = $4, touched = $5, wake_at = $6, outputs = $7, \
             fault = $8, reason = $9, started_at = $10, ended_at = $11 WHERE run = $12 AND step = $13",
        )
        .bind(to_json("step", &step.spec)?)
        .bind(step.state.as_str())
        .bind(i64::from(step.attempt))
        .bind(i64::from(step.undo_attempt))
        .bind(i32::from(step.touched))
        .bind(step.wake_at.map(|t| t.0))
        .bind(step.outputs.as_ref().map(|o| to_json("outputs", o)).transpose()?)
        .bind(step.fault.as_ref().map(|f| to_json("fault", f)).transpose()?)
        .bind(step.reason.clone())
        .bind(step.started_at.map(|t| t.0))
        .bind(step.ended_at.map(|t| t.0))
        .bind(run.as_str().to_owned())
        .bind(step.spec.key.clone())
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Stores the intent of an attempt; one that is there already, from before a crash, stays.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_intent(&mut self, lease: &Lease, intent: &Intent) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO attempts (op_id, run, step, direction, attempt, term, epoch, intent_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (op_id) DO NOTHING",
        )
        .bind(intent.op_id.clone())
        .bind(lease.run.as_str().to_owned())
        .bind(intent.step.clone())
        .bind(intent.direction)
        .bind(i64::from(intent.attempt))
        .bind(lease.term)
        .bind(lease.epoch)
        .bind(at)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Stores the outcome of an attempt.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn settle_attempt(&mut self, op_id: &str, outcome: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE attempts SET settled_at = $1, outcome = $2 WHERE op_id = $3 AND settled_at IS NULL")
            .bind(at)
            .bind(outcome.to_owned())
            .bind(op_id.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Notes that a signal was heard.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn consume_signal(&mut self, id: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE signals SET consumed_at = $1 WHERE id = $2")
            .bind(at)
            .bind(id.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Appends to the journal of a run; each row's hash covers the row before it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn write_journal(&mut self, run: &RunId, kind: &str, body: &Value) -> Result<()> {
        let at = self.at().0;
        let last = sqlx::query("SELECT seq, hash FROM journal WHERE run = $1 ORDER BY seq DESC LIMIT 1")
            .bind(run.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?;
        let (seq, before): (i64, String) = match last {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (0, String::new()),
        };
        let body = to_json("journal", body)?;
        let hash = journal_hash(&before, kind, &body);
        sqlx::query("INSERT INTO journal (run, seq, at, type, body, hash) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(run.as_str().to_owned())
            .bind(seq + 1)
            .bind(at)
            .bind(kind.to_owned())
            .bind(body)
            .bind(hash)
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Raises the store's term: every lease of before is lost. For when the store was restored or promoted.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn raise_term(&mut self) -> Result<i64> {
        let now: String = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'term'")
            .fetch_one(self.conn())
            .await?;
        let next = parse::<i64>("term", &now)? + 1;
        sqlx::query("UPDATE settings SET value = $1 WHERE name = 'term'")
            .bind(next.to_string())
            .execute(self.conn())
            .await?;
        Ok(next)
    }
}

/// The hash of a journal row after the row with the hash `before`.
pub fn journal_hash(before: &str, kind: &str, body: &str) -> String {
    let mut hasher = Sha256::new();
    for part in [before, kind, body] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
