//! From a journal back to a run: what the journal says happened, folded through the core. Where the database's rows and the
//! journal disagree, the journal is right.

use super::core::{Event, Illegal, Machine};
use crate::model::plan::Plan;
use crate::model::record::{RunRecord, RunRow, StepRow};
use crate::model::run::RunState;
use crate::store::runs::journal::Entry;

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It does not begin with the plan, or an entry is no event.
    #[error("entry {seq} of the journal cannot be read: {why}")]
    Unreadable {
        /// Which entry.
        seq: i64,
        /// What is wrong with it.
        why: String,
    },
    /// It says what cannot have happened.
    #[error("entry {seq} of the journal cannot have happened: {why}")]
    Impossible {
        /// Which entry.
        seq: i64,
        /// Why.
        why: Illegal,
    },
}

/// The state after the last entry. `run` gives the id; what it is about comes from the journal.
///
/// # Errors
/// Where the journal is damaged.
pub fn replay(run: &crate::model::id::RunId, entries: &[Entry]) -> Result<Machine, ReplayError> {
    let unreadable = |seq: i64, why: String| ReplayError::Unreadable { seq, why };
    let (first, rest) = entries.split_first().ok_or_else(|| unreadable(1, "it is missing".into()))?;
    let plan: Plan = serde_json::from_str(&first.body).map_err(|e| unreadable(first.seq, e.to_string()))?;
    let mut machine = Machine::new(RunRecord {
        run: RunRow {
            id: run.clone(),
            kind: plan.kind,
            title: plan.title,
            subject: plan.subject,
            actor: first.actor.clone(),
            state: RunState::Pending,
            cancelled: None,
            fault: None,
            created_at: first.at,
            started_at: None,
            ended_at: None,
        },
        steps: plan.steps.into_iter().map(StepRow::new).collect(),
    });
    for entry in rest {
        let event: Event = serde_json::from_str(&entry.body).map_err(|e| unreadable(entry.seq, e.to_string()))?;
        let turn = machine.step(&event, entry.at);
        machine = turn.map_err(|why| ReplayError::Impossible { seq: entry.seq, why })?.machine;
    }
    Ok(machine)
}
