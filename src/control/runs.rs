//! Runs: look, cancel, retry, skip; read logs.

use super::{Control, ControlError, Result};
use crate::model::actor::{Actor, Role};
use crate::model::id::{NodeId, RunId, StackId};
use crate::model::run::{Signal, StepState};
use crate::store::runs::{RunRecord, StepRow, allowed_actions, waiting_for};
use crate::wire::Page;
use crate::wire::agent::{Report, ReportOutcome};
use crate::wire::runs::{Doing, LogPage, RunView, StepView};
use std::collections::BTreeMap;

const LOG_PAGE: i64 = 500;

impl Control {
    /// One run with its steps.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_run(&self, actor: &Actor, id: &str) -> Result<RunView> {
        let record = self.find_run(id).await?;
        self.run_view(actor, &record).await
    }

    /// Runs, newest first; those about one thing where `subject`.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_runs(
        &self,
        actor: &Actor,
        subject: Option<&str>,
        cursor: Option<&str>,
        limit: i64,
    ) -> Result<Page<RunView>> {
        let cursor = match cursor {
            None => None,
            Some(cursor) => Some(cursor.parse::<RunId>().map_err(|e| ControlError::field("cursor", e))?),
        };
        let limit = limit.clamp(1, 200);
        let (mut records, total) = self.store.runs_of(subject, cursor.as_ref(), limit + 1).await?;
        let more = records.len() > usize::try_from(limit).unwrap_or(200);
        if more {
            records.pop();
        }
        let next = if more {
            records.last().map(|r| r.run.id.as_str().to_owned())
        } else {
            None
        };
        let items = self.run_views(actor, &records.iter().collect::<Vec<_>>()).await?;
        Ok(Page { total, items, next })
    }

    /// Says something to a run. `request_id` makes a second identical call the same one.
    ///
    /// # Errors
    /// `not-found`; `conflict` where the run is in no state for it; `not-allowed` for other people's stacks below operator.
    pub async fn signal_run(&self, actor: &Actor, id: &str, signal: Signal, request_id: Option<&str>) -> Result<RunView> {
        let record = self.find_run(id).await?;
        if !self.may_signal(actor, &record).await? {
            return Err(ControlError::new(
                "not-allowed",
                "Only the stack's owner or an operator may do this",
            ));
        }
        let verb = match &signal {
            Signal::Cancel { .. } => "cancel",
            Signal::Retry { .. } => "retry",
            Signal::Skip { .. } => "skip",
            Signal::Complete { .. } => "complete",
            Signal::Abandon { .. } => "abandon",
        };
        if !allowed_actions(&record).iter().any(|allowed| allowed == verb) {
            let mut error = ControlError::new("conflict", format!("The run is {} now", record.run.state));
            error.fault.why = format!("there is nothing to {verb}");
            return Err(error);
        }
        if let Signal::Skip { step, reason } | Signal::Complete { step, reason } = &signal {
            if reason.trim().is_empty() {
                return Err(ControlError::field("reason", "say why, for whoever reads it later"));
            }
            if !record.steps.iter().any(|s| &s.spec.key == step) {
                return Err(ControlError::not_found("step", step));
            }
        }
        let mut tx = self
            .store
            .write(actor, &format!("run.{verb}"), record.run.id.as_str())
            .await?;
        tx.detail(record.run.title.as_str());
        tx.insert_signal(&record.run.id, &signal, actor, request_id).await?;
        tx.commit().await?;
        self.show_run(actor, id).await
    }

    /// The log of one step after a place in it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn step_log(&self, _actor: &Actor, run: &str, step: &str, after: i64) -> Result<LogPage> {
        let record = self.find_run(run).await?;
        if !record.steps.iter().any(|s| s.spec.key == step) {
            return Err(ControlError::not_found("step", step));
        }
        let chunks = self
            .store
            .read_log(&format!("{}/{step}", record.run.id), after, LOG_PAGE)
            .await?;
        let next = chunks.last().map_or(after, |chunk| chunk.seq);
        Ok(LogPage {
            chunks,
            next,
            open: !record.run.state.is_ended(),
        })
    }

    async fn find_run(&self, id: &str) -> Result<RunRecord> {
        let found = match id.parse::<RunId>() {
            Ok(id) => self.store.run(&id).await?,
            Err(_) => None,
        };
        found.ok_or_else(|| ControlError::not_found("run", id))
    }

    async fn may_signal(&self, actor: &Actor, record: &RunRecord) -> Result<bool> {
        let Ok(stack) = record.run.subject.parse::<StackId>() else {
            return Ok(actor.role() >= Some(Role::Operator));
        };
        let owners = self.store.stack_owners(&[stack]).await?;
        let rights = self.rights(actor).await?;
        Ok(owners
            .iter()
            .next()
            .map_or(actor.role() >= Some(Role::Operator), |(stack, owner)| {
                rights.may_change(stack, owner)
            }))
    }

    pub(super) async fn run_view(&self, actor: &Actor, record: &RunRecord) -> Result<RunView> {
        let mut views = self.run_views(actor, &[record]).await?;
        let view = views.pop();
        view.ok_or_else(|| ControlError::not_found("run", record.run.id.as_str()))
    }

    /// Runs as `actor` sees them, in the same order, with a few reads for all of them.
    pub(super) async fn run_views(&self, actor: &Actor, records: &[&RunRecord]) -> Result<Vec<RunView>> {
        let subjects: Vec<StackId> = records.iter().filter_map(|record| record.run.subject.parse().ok()).collect();
        let owners = self.store.stack_owners(&subjects).await?;
        let rights = self.rights(actor).await?;
        let mut usual = BTreeMap::new();
        for record in records {
            let kind = &record.run.kind;
            if !usual.contains_key(kind) {
                let times = (self.store.usual_ms(kind).await?, self.store.usual_step_ms(kind).await?);
                usual.insert(kind.clone(), times);
            }
        }
        let doing = self.doing(records).await?;
        let mut views = Vec::with_capacity(records.len());
        for record in records {
            let run = &record.run;
            let owner = run
                .subject
                .parse::<StackId>()
                .ok()
                .and_then(|stack| owners.get_key_value(&stack));
            let may = owner.map_or(actor.role() >= Some(Role::Operator), |(stack, owner)| {
                rights.may_change(stack, owner)
            });
            let (usual_ms, usual_steps) = usual.get(&run.kind).cloned().unwrap_or_default();
            let step = |step: &StepRow| StepView {
                key: step.spec.key.clone(),
                kind: step.spec.kind.clone(),
                title: step.spec.title.clone(),
                after: step.spec.after.clone(),
                state: step.state,
                attempt: step.attempt,
                started_at: step.started_at,
                ended_at: step.ended_at,
                usual_ms: usual_steps.get(&step.spec.key).copied(),
                waiting_for: step.waiting_for.clone(),
                doing: converging(step).and_then(|node| doing.get(&node).cloned()),
                fault: step.fault.clone(),
            };
            views.push(RunView {
                id: run.id.as_str().to_owned(),
                kind: run.kind.clone(),
                title: run.title.clone(),
                subject: run.subject.clone(),
                actor: run.actor.clone(),
                state: run.state,
                waiting_for: waiting_for(record),
                fault: run.fault.clone(),
                created_at: run.created_at,
                started_at: run.started_at,
                ended_at: run.ended_at,
                usual_ms,
                steps: record.steps.iter().map(step).collect(),
                actions: if may { allowed_actions(record) } else { Vec::new() },
            });
        }
        Ok(views)
    }

    // What the nodes that steps wait for are doing, as their agents said last.
    async fn doing(&self, records: &[&RunRecord]) -> Result<BTreeMap<NodeId, Doing>> {
        let nodes: Vec<NodeId> = records
            .iter()
            .flat_map(|record| &record.steps)
            .filter_map(converging)
            .collect();
        let mut all = BTreeMap::new();
        for (id, found) in self.store.reported_nodes(&nodes).await? {
            let Some((body, since)) = found.report else { continue };
            let running = serde_json::from_value::<Report>(body)
                .ok()
                .filter(|report| report.outcome == ReportOutcome::Converging)
                .and_then(|report| report.states.into_iter().find(|state| state.outcome == "running"));
            if let Some(state) = running.filter(|state| !state.note.is_empty()) {
                all.insert(id, Doing { what: state.note, since });
            }
        }
        Ok(all)
    }
}

// The node that a running step waits for.
fn converging(step: &StepRow) -> Option<NodeId> {
    if step.spec.kind != "converge_node" || step.state != StepState::Running {
        return None;
    }
    step.spec.input.get("node")?.as_str()?.parse().ok()
}
