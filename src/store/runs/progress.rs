//! The progress of a run: one transaction for everything one turn of the engine's core leads to.
//!
//! Invariant: the first statement is conditional on the lease `(run, term, epoch, boot_id)` and on the place in the journal
//! where the writer believes to be. Where it touches no row, nothing is written at all.

use super::super::{Result, Store, StoreError, Tx, from_json, to_json};
use super::claim::Lease;
use super::journal::{self, Entry, Head};
use super::{RunRow, StepRow, TOO_LATE};
use crate::model::fault::Fault;
use crate::model::id::RunId;
use crate::model::run::RunState;
use sqlx::Row;

/// An attempt about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The step's key.
    pub step: String,
    /// `do` or `undo`.
    pub direction: &'static str,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// Names it to effectors.
    pub op_id: String,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its operation id.
    pub op_id: String,
    /// One word.
    pub outcome: &'static str,
    /// Why it failed.
    pub fault: Option<Fault>,
}

/// What becomes of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The run is still driven; the lease is extended by this many milliseconds.
    Keep(i64),
    /// The run rests: until someone says something where it is blocked or stuck, for good where it ended.
    Rest,
}

/// Everything one turn leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The writer's right to write.
    pub lease: Lease,
    /// What becomes of that right.
    pub hold: Hold,
    /// The run after it.
    pub run: RunRow,
    /// Whether the run's state changed, which lists of runs show.
    pub listed: bool,
    /// The changed steps, with their positions.
    pub steps: Vec<(i64, StepRow)>,
    /// Attempts that begin.
    pub intents: Vec<Intent>,
    /// Attempts that ended.
    pub settled: Vec<Settled>,
    /// Signals that were heard, with the answer.
    pub heard: Vec<(String, String)>,
    /// Where the journal ended before.
    pub before: Head,
    /// What happened.
    pub entries: Vec<Entry>,
}

/// Whether it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is true now, or was already: an earlier try had succeeded although its answer was lost.
    Yes,
    /// The lease is lost; nothing was written.
    LeaseLost,
}

impl Store {
    /// Makes it true, all at once. May be tried again with the same value whatever error it gave.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn record_progress(&self, progress: &Progress) -> Result<Written> {
        let mut tx = self.journal().await?;
        let Some(after) = progress.entries.last() else {
            return Ok(Written::Yes);
        };
        if !tx.advance_run(progress, after).await? {
            drop(tx);
            return self.was_written(&progress.lease, after).await;
        }
        let run = &progress.lease.run;
        for (position, step) in &progress.steps {
            tx.save_step(run, *position, step).await?;
        }
        for settled in &progress.settled {
            tx.settle_attempt(settled).await?;
        }
        for intent in &progress.intents {
            tx.insert_intent(&progress.lease, intent).await?;
        }
        for (signal, answer) in &progress.heard {
            tx.answer_signal(run, signal, answer).await?;
        }
        for entry in &progress.entries {
            journal::insert(&mut tx, run, entry).await?;
        }
        if progress.hold == Hold::Rest {
            tx.rest(&progress.run).await?;
        }
        tx.touch_run(run, &progress.run.subject);
        if progress.listed || progress.hold == Hold::Rest {
            tx.touch("runs");
        }
        tx.commit().await?;
        Ok(Written::Yes)
    }

    async fn was_written(&self, lease: &Lease, after: &Entry) -> Result<Written> {
        let row = sqlx::query(
            "SELECT r.term, r.epoch, j.hash FROM runs r, run_journal j WHERE r.id = $1 AND j.run_id = $1 AND j.seq = $2",
        )
        .bind(lease.run.as_str().to_owned())
        .bind(after.seq)
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(Written::LeaseLost) };
        let known: (i64, i64, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(if known == (lease.term, lease.epoch, after.hash.clone()) {
            Written::Yes
        } else {
            Written::LeaseLost
        })
    }

    /// Attempts of a run that have an intent and no outcome: operation id, step, direction.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn open_attempts(&self, run: &RunId) -> Result<Vec<(String, String, String)>> {
        let rows = sqlx::query("SELECT op_id, step_key, direction FROM attempts WHERE run_id = $1 AND settled_at IS NULL")
            .bind(run.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .collect()
    }

    /// Why an attempt failed, by its operation id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn attempt_fault(&self, op_id: &str) -> Result<Option<Fault>> {
        let fault: Option<Option<String>> = sqlx::query_scalar("SELECT fault FROM attempts WHERE op_id = $1")
            .bind(op_id.to_owned())
            .fetch_optional(self.pool())
            .await?;
        fault.flatten().map(|text| from_json("fault", &text)).transpose()
    }
}

impl Tx {
    async fn advance_run(&mut self, progress: &Progress, after: &Entry) -> Result<bool> {
        let run = &progress.run;
        let lease = &progress.lease;
        let until = match progress.hold {
            Hold::Keep(ttl_ms) => Some(self.at().plus(ttl_ms).0),
            Hold::Rest => None,
        };
        let done = sqlx::query(
            "UPDATE runs SET state = $1, cancelled = $2, fault = $3, started_at = $4, ended_at = $5, lease_until = $6, \
             journal_seq = $7, journal_hash = $8 WHERE id = $9 AND term = $10 AND epoch = $11 AND boot_id = $12 \
             AND term = (SELECT MAX(term) FROM engine_terms) AND journal_seq = $13",
        )
        .bind(run.state.as_str())
        .bind(run.cancelled.clone())
        .bind(optional_json("fault", run.fault.as_ref())?)
        .bind(run.started_at.map(|t| t.0))
        .bind(run.ended_at.map(|t| t.0))
        .bind(until)
        .bind(after.seq)
        .bind(after.hash.clone())
        .bind(lease.run.as_str().to_owned())
        .bind(lease.term)
        .bind(lease.epoch)
        .bind(lease.boot_id.clone())
        .bind(progress.before.seq)
        .execute(self.conn())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn save_step(&mut self, run: &RunId, position: i64, step: &StepRow) -> Result<()> {
        sqlx::query(
            "UPDATE run_steps SET state = $1, attempt = $2, undo_attempt = $3, tries = $4, unclear = $5, wake_at = $6, \
             outputs = $7, fault = $8, note = $9, waiting_for = $10, started_at = $11, ended_at = $12 \
             WHERE run_id = $13 AND position = $14",
        )
        .bind(step.state.as_str())
        .bind(i64::from(step.attempt))
        .bind(i64::from(step.undo_attempt))
        .bind(i64::from(step.tries))
        .bind(i32::from(step.unclear))
        .bind(step.wake_at.map(|t| t.0))
        .bind(optional_json("step output", step.outputs.as_ref())?)
        .bind(optional_json("fault", step.fault.as_ref())?)
        .bind(step.note.clone())
        .bind(step.waiting_for.clone())
        .bind(step.started_at.map(|t| t.0))
        .bind(step.ended_at.map(|t| t.0))
        .bind(run.as_str().to_owned())
        .bind(position)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    async fn insert_intent(&mut self, lease: &Lease, intent: &Intent) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO attempts (run_id, step_key, direction, attempt, op_id, term, epoch, begun_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(lease.run.as_str().to_owned())
        .bind(intent.step.clone())
        .bind(intent.direction)
        .bind(i64::from(intent.attempt))
        .bind(intent.op_id.clone())
        .bind(lease.term)
        .bind(lease.epoch)
        .bind(at)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    async fn settle_attempt(&mut self, settled: &Settled) -> Result<()> {
        let at = self.at().0;
        let done = sqlx::query("UPDATE attempts SET settled_at = $1, outcome = $2, fault = $3 WHERE op_id = $4")
            .bind(at)
            .bind(settled.outcome)
            .bind(optional_json("fault", settled.fault.as_ref())?)
            .bind(settled.op_id.clone())
            .execute(self.conn())
            .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::Corrupt {
                what: "attempt",
                why: format!("{} has an outcome and no intent", settled.op_id),
            });
        }
        Ok(())
    }

    async fn answer_signal(&mut self, run: &RunId, signal: &str, answer: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE run_signals SET taken_at = $1, answer = $2 WHERE run_id = $3 AND id = $4")
            .bind(at)
            .bind(answer.to_owned())
            .bind(run.as_str().to_owned())
            .bind(signal.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    // Gives the run back. The run's row is locked since the first statement, so a signal is either seen here or comes after
    // and sets `due_at` itself.
    async fn rest(&mut self, run: &RunRow) -> Result<()> {
        let at = self.at().0;
        let id = run.id.as_str().to_owned();
        let over = run.state.is_ended() && run.state != RunState::Stuck;
        if over {
            sqlx::query("UPDATE run_signals SET taken_at = $1, answer = $2 WHERE run_id = $3 AND taken_at IS NULL")
                .bind(at)
                .bind(TOO_LATE)
                .bind(id.clone())
                .execute(self.conn())
                .await?;
        }
        let unheard: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM run_signals WHERE run_id = $1 AND taken_at IS NULL")
            .bind(id.clone())
            .fetch_one(self.conn())
            .await?;
        sqlx::query("UPDATE runs SET boot_id = NULL, lease_until = NULL, due_at = $1 WHERE id = $2")
            .bind((unheard > 0).then_some(at))
            .bind(id.clone())
            .execute(self.conn())
            .await?;
        if run.state.is_ended() {
            sqlx::query("DELETE FROM run_locks WHERE subject = $1 AND run_id = $2")
                .bind(run.subject.clone())
                .bind(id)
                .execute(self.conn())
                .await?;
        }
        Ok(())
    }

    // Whether this lease is the one that counts.
    pub(crate) async fn holds(&mut self, lease: &Lease) -> Result<bool> {
        let held: Option<i64> =
            sqlx::query_scalar("SELECT epoch FROM runs WHERE id = $1 AND term = $2 AND epoch = $3 AND boot_id = $4")
                .bind(lease.run.as_str().to_owned())
                .bind(lease.term)
                .bind(lease.epoch)
                .bind(lease.boot_id.clone())
                .fetch_optional(self.conn())
                .await?;
        Ok(held.is_some())
    }
}

fn optional_json<T: serde::Serialize>(what: &'static str, value: Option<&T>) -> Result<Option<String>> {
    value.map(|value| to_json(what, value)).transpose()
}
