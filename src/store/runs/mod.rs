//! Runs as rows: what the engine needs to survive being killed, and what people look at.
//!
//! [`progress`] has the writes of whoever drives a run; each is conditional on its lease. This file has what everyone else
//! does: ask for a run, say something to it, look at it.

pub mod progress;

use super::{Result, Store, Tx, from_json, parse, to_json};
use crate::model::actor::Actor;
use crate::model::fault::Fault;
use crate::model::id::RunId;
use crate::model::plan::{Plan, StepSpec};
use crate::model::run::{RunState, Signal, StepState};
use crate::model::time::Timestamp;
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

// How many recent successes "usually" means.
const HISTORY: i64 = 20;

macro_rules! columns {
    () => {
        "id, kind, title, subject, actor, state, cancelled, fault, owner, term, epoch, lease_until, created_at, started_at, ended_at"
    };
}

/// A run with its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The run.
    pub run: RunRow,
    /// Its steps, in the plan's order.
    pub steps: Vec<StepRow>,
}

/// A run as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Which plan.
    pub kind: String,
    /// What it does, for people.
    pub title: String,
    /// What it is about.
    pub subject: String,
    /// Who asked for it.
    pub actor: String,
    /// Its state.
    pub state: RunState,
    /// Why a person cancelled or abandoned it.
    pub cancelled: Option<String>,
    /// What made it fail.
    pub fault: Option<Fault>,
    /// The boot id of the worker that drives it.
    pub owner: Option<String>,
    /// Term of its lease.
    pub term: i64,
    /// Epoch of its lease.
    pub epoch: i64,
    /// When its lease ends.
    pub lease_until: Timestamp,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// A step as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// What it is.
    pub spec: StepSpec,
    /// Its state.
    pub state: StepState,
    /// Attempts begun going forward.
    pub attempt: u32,
    /// Attempts begun undoing.
    pub undo_attempt: u32,
    /// Whether an attempt may have had an effect that is not undone.
    pub touched: bool,
    /// When the next attempt may begin.
    pub wake_at: Option<Timestamp>,
    /// What it gave.
    pub outputs: Option<Value>,
    /// Why its last attempt failed.
    pub fault: Option<Fault>,
    /// Why a person skipped or completed it.
    pub reason: Option<String>,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What a person may do to a run now.
pub fn allowed_actions(record: &RunRecord) -> Vec<String> {
    let actions: &[&str] = match record.run.state {
        RunState::Pending | RunState::Running if record.run.kind == "destroy_stack" => &[],
        RunState::Pending | RunState::Running => &["cancel"],
        RunState::Blocked if record.run.kind == "destroy_stack" => &["retry", "skip", "complete"],
        RunState::Blocked => &["retry", "skip", "complete", "cancel"],
        RunState::Stuck => &["retry", "abandon"],
        RunState::Compensating | RunState::Succeeded | RunState::Failed | RunState::Cancelled | RunState::Abandoned => &[],
    };
    actions.iter().map(|action| (*action).to_owned()).collect()
}

/// What a run waits for now, for people; empty once it has ended.
pub fn waiting_for(record: &RunRecord) -> String {
    let titles = |state: StepState| {
        let all: Vec<&str> = record
            .steps
            .iter()
            .filter(|s| s.state == state)
            .map(|s| s.spec.title.as_str())
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    };
    match record.run.state {
        RunState::Pending => "Waiting for its turn".to_owned(),
        RunState::Blocked => match &record.run.fault {
            Some(fault) => format!("Waiting for a person: {fault}"),
            None => "Waiting for a person".to_owned(),
        },
        RunState::Running | RunState::Compensating => {
            if let Some(running) = titles(StepState::Running) {
                return running;
            }
            if let Some(undoing) = titles(StepState::Undoing) {
                return format!("Undoing: {undoing}");
            }
            match titles(StepState::Backoff) {
                Some(again) => format!("About to try again: {again}"),
                None => "Waiting for a worker".to_owned(),
            }
        }
        _ => String::new(),
    }
}

impl Store {
    /// A run with its steps.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn run(&self, id: &RunId) -> Result<Option<RunRecord>> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM runs WHERE id = $1"))
            .bind(id.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let run = read_run(&row)?;
        Ok(Some(RunRecord {
            steps: self.steps(&run.id).await?,
            run,
        }))
    }

    /// Runs, newest first, of one subject where given, and how many there are in all.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn runs_of(&self, subject: Option<&str>, before: Option<&RunId>, limit: i64) -> Result<(Vec<RunRecord>, i64)> {
        let subject = subject.map(str::to_owned);
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM runs WHERE (CAST($1 AS TEXT) IS NULL OR subject = $1) AND (CAST($2 AS TEXT) IS NULL OR id < $2) ORDER BY id DESC LIMIT $3"
        ))
        .bind(subject.clone())
        .bind(before.map(|b| b.as_str().to_owned()))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        let total: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM runs WHERE (CAST($1 AS TEXT) IS NULL OR subject = $1)")
            .bind(subject)
            .fetch_one(self.pool())
            .await?;
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            let run = read_run(row)?;
            records.push(RunRecord {
                steps: self.steps(&run.id).await?,
                run,
            });
        }
        Ok((records, total))
    }

    async fn steps(&self, run: &RunId) -> Result<Vec<StepRow>> {
        let rows = sqlx::query(
            "SELECT spec, state, attempt, undo_attempt, touched, wake_at, outputs, fault, reason, started_at, ended_at \
             FROM run_steps WHERE run = $1 ORDER BY ordinal",
        )
        .bind(run.as_str().to_owned())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read_step).collect()
    }

    /// How long runs of this plan usually take: the median of the recent successes, in milliseconds.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn usual_ms(&self, kind: &str) -> Result<Option<i64>> {
        let times: Vec<i64> = sqlx::query_scalar(
            "SELECT CAST(ended_at - started_at AS BIGINT) FROM runs WHERE kind = $1 AND state = 'succeeded' AND started_at IS NOT NULL \
             ORDER BY ended_at DESC LIMIT $2",
        )
        .bind(kind.to_owned())
        .bind(HISTORY)
        .fetch_all(self.pool())
        .await?;
        Ok(median(times))
    }

    /// How long each step of this plan usually takes, by key, in milliseconds.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn usual_step_ms(&self, kind: &str) -> Result<BTreeMap<String, i64>> {
        let rows = sqlx::query(
            "SELECT s.step, CAST(s.ended_at - s.started_at AS BIGINT) FROM run_steps s WHERE s.state = 'succeeded' \
             AND s.started_at IS NOT NULL AND s.ended_at IS NOT NULL AND s.run IN \
             (SELECT id FROM runs WHERE kind = $1 AND state = 'succeeded' ORDER BY ended_at DESC LIMIT $2)",
        )
        .bind(kind.to_owned())
        .bind(HISTORY)
        .fetch_all(self.pool())
        .await?;
        let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for row in &rows {
            times.entry(row.try_get(0)?).or_default().push(row.try_get(1)?);
        }
        Ok(times
            .into_iter()
            .filter_map(|(step, times)| median(times).map(|usual| (step, usual)))
            .collect())
    }
}

impl Tx {
    /// Stores a run with its plan; the engine is woken by the commit. The same key gives the run it gave before.
    ///
    /// # Errors
    /// Where the database fails or the plan breaks its laws.
    pub async fn insert_run(&mut self, plan: &Plan, actor: &Actor, idem_key: Option<&str>) -> Result<RunId> {
        plan.check().map_err(|fault| super::StoreError::Corrupt {
            what: "plan",
            why: fault.to_string(),
        })?;
        let at = self.at().0;
        let id = RunId::from_bits(self.next_id());
        let inserted = sqlx::query(
            "INSERT INTO runs (id, kind, title, subject, actor, idem_key, state, ended, term, epoch, lease_until, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 'pending', 0, 0, 0, 0, $7) ON CONFLICT (idem_key) DO NOTHING",
        )
        .bind(id.as_str().to_owned())
        .bind(plan.kind.clone())
        .bind(plan.title.clone())
        .bind(plan.subject.clone())
        .bind(actor.to_string())
        .bind(idem_key.map(str::to_owned))
        .bind(at)
        .execute(self.conn())
        .await?;
        if inserted.rows_affected() == 0 {
            let known: String = sqlx::query_scalar("SELECT id FROM runs WHERE idem_key = $1")
                .bind(idem_key.map(str::to_owned))
                .fetch_one(self.conn())
                .await?;
            return parse("run id", &known);
        }
        for (ordinal, step) in plan.steps.iter().enumerate() {
            sqlx::query(
                "INSERT INTO run_steps (run, ordinal, step, spec, state, attempt, undo_attempt, touched) VALUES ($1, $2, $3, $4, 'waiting', 0, 0, 0)",
            )
            .bind(id.as_str().to_owned())
            .bind(i64::try_from(ordinal).unwrap_or(i64::MAX))
            .bind(step.key.clone())
            .bind(to_json("step", step)?)
            .execute(self.conn())
            .await?;
        }
        self.touch_run(&id, &plan.subject);
        Ok(id)
    }

    /// What a run is about.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn run_subject(&mut self, run: &RunId) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("SELECT subject FROM runs WHERE id = $1")
            .bind(run.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?)
    }

    /// Says something to a run; whoever drives it hears it after the commit. The same request id twice is one signal.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_signal(&mut self, run: &RunId, signal: &Signal, actor: &Actor, request_id: Option<&str>) -> Result<()> {
        let at = self.at().0;
        let id = format!("sig_{:032x}", self.next_id());
        sqlx::query(
            "INSERT INTO signals (id, run, body, actor, request_id, at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (request_id) DO NOTHING",
        )
        .bind(id)
        .bind(run.as_str().to_owned())
        .bind(to_json("signal", signal)?)
        .bind(actor.to_string())
        .bind(request_id.map(str::to_owned))
        .bind(at)
        .execute(self.conn())
        .await?;
        self.touch("runs");
        self.touch(format!("run:{run}"));
        Ok(())
    }

    pub(super) fn touch_run(&mut self, run: &RunId, subject: &str) {
        self.touch("runs");
        self.touch(format!("run:{run}"));
        if subject.starts_with("stk_") {
            self.touch(format!("stack:{subject}"));
        }
    }
}

fn median(mut times: Vec<i64>) -> Option<i64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn read_run(row: &AnyRow) -> Result<RunRow> {
    Ok(RunRow {
        id: parse("run id", row.try_get(0)?)?,
        kind: row.try_get(1)?,
        title: row.try_get(2)?,
        subject: row.try_get(3)?,
        actor: row.try_get(4)?,
        state: parse("run state", row.try_get(5)?)?,
        cancelled: row.try_get(6)?,
        fault: row
            .try_get::<Option<String>, _>(7)?
            .map(|text| from_json("fault", &text))
            .transpose()?,
        owner: row.try_get(8)?,
        term: row.try_get(9)?,
        epoch: row.try_get(10)?,
        lease_until: Timestamp(row.try_get(11)?),
        created_at: Timestamp(row.try_get(12)?),
        started_at: row.try_get::<Option<i64>, _>(13)?.map(Timestamp),
        ended_at: row.try_get::<Option<i64>, _>(14)?.map(Timestamp),
    })
}

fn read_step(row: &AnyRow) -> Result<StepRow> {
    Ok(StepRow {
        spec: from_json("step", row.try_get(0)?)?,
        state: parse("step state", row.try_get(1)?)?,
        attempt: u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or_default(),
        undo_attempt: u32::try_from(row.try_get::<i64, _>(3)?).unwrap_or_default(),
        touched: row.try_get::<i64, _>(4)? != 0,
        wake_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
        outputs: row
            .try_get::<Option<String>, _>(6)?
            .map(|text| from_json("outputs", &text))
            .transpose()?,
        fault: row
            .try_get::<Option<String>, _>(7)?
            .map(|text| from_json("fault", &text))
            .transpose()?,
        reason: row.try_get(8)?,
        started_at: row.try_get::<Option<i64>, _>(9)?.map(Timestamp),
        ended_at: row.try_get::<Option<i64>, _>(10)?.map(Timestamp),
    })
}
