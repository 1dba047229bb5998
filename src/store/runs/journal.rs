//! The journal of a run: what happened, in order, each row's hash over the one before. The timeline and the report are read
//! from it, and folding it through the engine's core gives the run's state again.

use super::super::{Result, Store, Tx};
use crate::model::id::RunId;
use crate::model::secret::hex;
use crate::model::time::Timestamp;
use sha2::{Digest, Sha256};
use sqlx::Row;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What happened: `created`, `claimed`, `settled`…
    pub kind: String,
    /// The event, as JSON.
    pub body: String,
    /// Hash over the hash before and everything above.
    pub hash: String,
}

/// Where a journal ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Place of the last entry.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

impl Head {
    /// The entry that follows, and makes it the new end.
    pub fn follow(&mut self, run: &RunId, at: Timestamp, actor: &str, kind: &str, body: String) -> Entry {
        let seq = self.seq + 1;
        let hash = chain(&self.hash, run, seq, at, actor, kind, &body);
        *self = Self { seq, hash: hash.clone() };
        Entry {
            seq,
            at,
            actor: actor.to_owned(),
            kind: kind.to_owned(),
            body,
            hash,
        }
    }
}

/// The hash of an entry that follows the one with hash `before`.
pub fn chain(before: &str, run: &RunId, seq: i64, at: Timestamp, actor: &str, kind: &str, body: &str) -> String {
    let mut sha = Sha256::new();
    // Lengths first: no two different rows are the same bytes.
    for part in [before, run.as_str(), &seq.to_string(), &at.0.to_string(), actor, kind, body] {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    hex("", &sha.finalize())
}

pub(super) async fn insert(tx: &mut Tx, run: &RunId, entry: &Entry) -> Result<()> {
    sqlx::query("INSERT INTO run_journal (run_id, seq, at, actor, type, body, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)")
        .bind(run.as_str().to_owned())
        .bind(entry.seq)
        .bind(entry.at.0)
        .bind(entry.actor.clone())
        .bind(entry.kind.clone())
        .bind(entry.body.clone())
        .bind(entry.hash.clone())
        .execute(tx.conn())
        .await?;
    Ok(())
}

impl Store {
    /// A run's journal, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn run_journal(&self, run: &RunId) -> Result<Vec<Entry>> {
        let rows = sqlx::query("SELECT seq, at, actor, type, body, hash FROM run_journal WHERE run_id = $1 ORDER BY seq")
            .bind(run.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Entry {
                    seq: row.try_get(0)?,
                    at: Timestamp(row.try_get(1)?),
                    actor: row.try_get(2)?,
                    kind: row.try_get(3)?,
                    body: row.try_get(4)?,
                    hash: row.try_get(5)?,
                })
            })
            .collect()
    }
}

/// The first place where the chain is broken: a row that is missing, out of order or was changed.
pub fn first_break(run: &RunId, entries: &[Entry]) -> Option<i64> {
    let mut before = "";
    for (expected, entry) in (1_i64..).zip(entries) {
        let hash = chain(before, run, expected, entry.at, &entry.actor, &entry.kind, &entry.body);
        if entry.seq != expected || entry.hash != hash {
            return Some(expected);
        }
        before = &entry.hash;
    }
    None
}
