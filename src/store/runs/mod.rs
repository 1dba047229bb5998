//! Runs as rows: what is asked for, what is shown. The engine's own side (claims, progress, journal) is in the files beside.
//!
//! Invariant: after `insert_run` only the holder of a run's lease ([`claim`]) changes the run or its steps, and only through
//! [`progress`].

pub mod claim;
pub mod history;
pub mod journal;
pub mod progress;

pub use crate::model::record::{RunRecord, RunRow, StepRow, allowed_actions, waiting_for};

use super::{Result, Store, StoreError, Tx, from_json, parse, to_json};
use crate::model::actor::Actor;
use crate::model::id::RunId;
use crate::model::plan::Plan;
use crate::model::run::{RunState, Signal, StepState};
use crate::model::time::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

// One statement reads a run and its steps, so that they are of one moment.
macro_rules! columns {
    () => {
        "r.id, r.kind, r.title, r.subject, r.actor, r.state, r.cancelled, r.fault, r.created_at, r.started_at, r.ended_at, \
         s.spec, s.state, s.attempt, s.undo_attempt, s.tries, s.unclear, s.wake_at, s.outputs, s.fault, s.note, s.waiting_for, \
         s.started_at, s.ended_at"
    };
}

const FIRST_OF_STEP: usize = 11;

impl Tx {
    /// Stores a run of this plan, to be claimed once the write is committed. The same `idem_key` gives the same run.
    ///
    /// # Errors
    /// Where the plan contradicts itself or the database fails.
    pub async fn insert_run(&mut self, plan: &Plan, actor: &Actor, idem_key: Option<&str>) -> Result<RunId> {
        plan.check().map_err(|fault| StoreError::Corrupt {
            what: "plan",
            why: fault.to_string(),
        })?;
        let id = RunId::from_bits(self.next_id());
        let at = self.at();
        let body = to_json("plan", plan)?;
        let actor = actor.to_string();
        let mut head = journal::Head {
            seq: 0,
            hash: String::new(),
        };
        let entry = head.follow(&id, at, &actor, "created", body);
        let inserted = sqlx::query(
            "INSERT INTO runs (id, kind, title, subject, actor, idem_key, state, created_at, due_at, term, epoch, journal_seq, \
             journal_hash) VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $7, 0, 0, 1, $8) ON CONFLICT (idem_key) DO NOTHING",
        )
        .bind(id.as_str().to_owned())
        .bind(plan.kind.clone())
        .bind(plan.title.clone())
        .bind(plan.subject.clone())
        .bind(actor)
        .bind(idem_key.map(str::to_owned))
        .bind(at.0)
        .bind(head.hash)
        .execute(self.conn())
        .await?;
        if inserted.rows_affected() == 0 {
            let before: String = sqlx::query_scalar("SELECT id FROM runs WHERE idem_key = $1")
                .bind(idem_key.map(str::to_owned))
                .fetch_one(self.conn())
                .await?;
            return parse("run id", &before);
        }
        for (position, step) in (0_i64..).zip(&plan.steps) {
            sqlx::query(
                "INSERT INTO run_steps (run_id, position, step_key, spec, state, attempt, undo_attempt, tries, unclear, note, \
                 waiting_for) VALUES ($1, $2, $3, $4, 'waiting', 0, 0, 0, 0, '', '')",
            )
            .bind(id.as_str().to_owned())
            .bind(position)
            .bind(step.key.clone())
            .bind(to_json("step", step)?)
            .execute(self.conn())
            .await?;
        }
        journal::insert(self, &id, &entry).await?;
        self.touch_run(&id, &plan.subject);
        self.touch("runs");
        Ok(id)
    }

    /// What a run is about.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn run_subject(&mut self, run: &RunId) -> Result<Option<String>> {
        let subject = sqlx::query_scalar("SELECT subject FROM runs WHERE id = $1")
            .bind(run.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?;
        Ok(subject)
    }

    /// Says something to a run; the engine takes it up after the commit. The same `request_id` is said once. What comes too
    /// late is kept with that answer and changes nothing.
    ///
    /// # Errors
    /// Where there is no such run or the database fails.
    pub async fn insert_signal(&mut self, run: &RunId, signal: &Signal, actor: &Actor, request_id: Option<&str>) -> Result<()> {
        let id = format!("sig_{:032x}", self.next_id());
        let at = self.at().0;
        // The run's row is written first: the engine, ending the run, either sees the signal or comes before it.
        let heard = sqlx::query(
            "UPDATE runs SET due_at = CASE WHEN due_at IS NULL OR due_at > $2 THEN $2 ELSE due_at END \
             WHERE id = $1 AND state NOT IN ('succeeded', 'failed', 'cancelled', 'abandoned')",
        )
        .bind(run.as_str().to_owned())
        .bind(at)
        .execute(self.conn())
        .await?
        .rows_affected()
            == 1;
        sqlx::query(
            "INSERT INTO run_signals (run_id, id, actor, request_id, body, at, taken_at, answer) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (run_id, request_id) DO NOTHING",
        )
        .bind(run.as_str().to_owned())
        .bind(id)
        .bind(actor.to_string())
        .bind(request_id.map(str::to_owned))
        .bind(to_json("signal", signal)?)
        .bind(at)
        .bind((!heard).then_some(at))
        .bind((!heard).then(|| TOO_LATE.to_owned()))
        .execute(self.conn())
        .await?;
        self.touch(format!("signal:{run}"));
        self.touch(format!("run:{run}"));
        self.touch("runs");
        Ok(())
    }

    pub(super) fn touch_run(&mut self, run: &RunId, subject: &str) {
        self.touch(format!("run:{run}"));
        if subject.starts_with("stk_") {
            self.touch(format!("stack:{subject}"));
        }
    }
}

pub(super) const TOO_LATE: &str = "the run had ended";

impl Store {
    /// A run with its steps.
    ///
    /// # Errors
    /// Where the database fails or a row is unreadable.
    pub async fn run(&self, id: &RunId) -> Result<Option<RunRecord>> {
        let mut connection = self.pool().acquire().await?;
        read_one(&mut connection, id).await
    }

    /// Runs, newest first: those about `subject` where given, older than `before` where given; and how many there are in
    /// all. An unreadable one is left out, so that it does not hide the others.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn runs_of(&self, subject: Option<&str>, before: Option<&RunId>, limit: i64) -> Result<(Vec<RunRecord>, i64)> {
        let subject = subject.map(str::to_owned);
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM (SELECT * FROM runs WHERE (CAST($1 AS TEXT) IS NULL OR subject = $1) \
             AND (CAST($2 AS TEXT) IS NULL OR id < $2) ORDER BY id DESC LIMIT $3) r \
             LEFT JOIN run_steps s ON s.run_id = r.id ORDER BY r.id DESC, s.position"
        ))
        .bind(subject.clone())
        .bind(before.map(|id| id.as_str().to_owned()))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        let total: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE (CAST($1 AS TEXT) IS NULL OR subject = $1)")
            .bind(subject)
            .fetch_one(self.pool())
            .await?;
        Ok((read_all(&rows), total))
    }
}

/// Reads the runs of a list of ids.
pub(super) fn select_listed(list: &str) -> String {
    format!(
        "SELECT {} FROM runs r LEFT JOIN run_steps s ON s.run_id = r.id WHERE r.id IN ({list}) ORDER BY r.id DESC, s.position",
        columns!()
    )
}

/// Runs from rows in their order; an unreadable one is left out, so that it does not hide the others.
pub(super) fn read_all(rows: &[AnyRow]) -> Vec<RunRecord> {
    let mut records = Vec::new();
    for rows in rows.chunk_by(|a, b| id_of(a) == id_of(b)) {
        match read(rows) {
            Ok(record) => records.push(record),
            Err(error) => tracing::error!(run = id_of(&rows[0]), %error, "a run cannot be read and is left out of the list"),
        }
    }
    records
}

pub(super) async fn read_one(connection: &mut sqlx::AnyConnection, id: &RunId) -> Result<Option<RunRecord>> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        columns!(),
        " FROM runs r LEFT JOIN run_steps s ON s.run_id = r.id WHERE r.id = $1 ORDER BY s.position"
    ))
    .bind(id.as_str().to_owned())
    .fetch_all(connection)
    .await?;
    if rows.is_empty() { Ok(None) } else { read(&rows).map(Some) }
}

fn id_of(row: &AnyRow) -> Option<String> {
    row.try_get(0).ok()
}

// A run from its rows, one for each step; a plan without steps has one row without a step.
fn read(rows: &[AnyRow]) -> Result<RunRecord> {
    let run = read_run(&rows[0])?;
    let has_steps = rows[0].try_get::<Option<String>, _>(FIRST_OF_STEP)?.is_some();
    let steps = if has_steps { rows } else { &[] };
    Ok(RunRecord {
        run,
        steps: steps.iter().map(read_step).collect::<Result<_>>()?,
    })
}

fn read_run(row: &AnyRow) -> Result<RunRow> {
    let fault: Option<String> = row.try_get(7)?;
    Ok(RunRow {
        id: parse("run id", row.try_get(0)?)?,
        kind: row.try_get(1)?,
        title: row.try_get(2)?,
        subject: row.try_get(3)?,
        actor: row.try_get(4)?,
        state: parse::<RunState>("run state", row.try_get(5)?)?,
        cancelled: row.try_get(6)?,
        fault: fault.map(|text| from_json("fault", &text)).transpose()?,
        created_at: Timestamp(row.try_get(8)?),
        started_at: row.try_get::<Option<i64>, _>(9)?.map(Timestamp),
        ended_at: row.try_get::<Option<i64>, _>(10)?.map(Timestamp),
    })
}

fn read_step(row: &AnyRow) -> Result<StepRow> {
    let count = |index: usize| -> Result<u32> {
        let value: i64 = row.try_get(FIRST_OF_STEP + index)?;
        value.try_into().map_err(|_| StoreError::Corrupt {
            what: "step",
            why: format!("{value} is no count"),
        })
    };
    let text = |index: usize| row.try_get::<Option<String>, _>(FIRST_OF_STEP + index);
    let time = |index: usize| {
        row.try_get::<Option<i64>, _>(FIRST_OF_STEP + index)
            .map(|at| at.map(Timestamp))
    };
    Ok(StepRow {
        spec: from_json("step", row.try_get(FIRST_OF_STEP)?)?,
        state: parse::<StepState>("step state", row.try_get(FIRST_OF_STEP + 1)?)?,
        attempt: count(2)?,
        undo_attempt: count(3)?,
        tries: count(4)?,
        unclear: count(5)? != 0,
        wake_at: time(6)?,
        outputs: text(7)?.map(|text| from_json("step output", &text)).transpose()?,
        fault: text(8)?.map(|text| from_json("fault", &text)).transpose()?,
        note: text(9)?.unwrap_or_default(),
        waiting_for: text(10)?.unwrap_or_default(),
        started_at: time(11)?,
        ended_at: time(12)?,
    })
}
