//! Agents of the inventory's nodes, for people: which there are, how they fare, and what they should make true.

use super::super::{Control, ControlError, Result};
use super::enrol::operators_only;
use crate::model::actor::Actor;
use crate::model::configuration::NodeConfiguration;
use crate::model::fault::Fault;
use crate::store::agents::{AgentRow, runs_stream};
use crate::wire::Page;
use crate::wire::agent::{Report, StateReport};
use crate::wire::agents::{AgentReportView, AgentView};
use crate::wire::runs::LogPage;
use serde_json::Value;
use std::collections::BTreeMap;

const LOG_PAGE: i64 = 500;

impl Control {
    /// Agents by name, after this one.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_agents(&self, _actor: &Actor, after: &str, limit: i64) -> Result<Page<AgentView>> {
        let mut rows = self.store.agents(after, limit + 1).await?;
        let most = usize::try_from(limit).unwrap_or_default();
        let more = rows.len() > most;
        rows.truncate(most);
        Ok(Page {
            total: self.store.count_agents().await?,
            next: rows.last().filter(|_| more).map(|row| row.name.clone()),
            items: rows.into_iter().map(view).collect(),
        })
    }

    /// The agents of nodes of these names, by name, as far as they have one.
    ///
    /// # Errors
    /// The store's.
    pub async fn agents_of(&self, _actor: &Actor, names: &[&str]) -> Result<BTreeMap<String, AgentView>> {
        let mut agents = BTreeMap::new();
        for name in names {
            if let Some(row) = self.store.agent_named(name).await? {
                agents.insert(row.name.clone(), view(row));
            }
        }
        Ok(agents)
    }

    /// The newest reports of a node's agent, newest first.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn agent_reports(&self, _actor: &Actor, name: &str) -> Result<Vec<AgentReportView>> {
        let agent = self.agent_of(name).await?;
        let rows = self.store.agent_reports(&agent.node).await?;
        let reports = rows.into_iter().map(|(at, body)| {
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            AgentReportView { at, report: body }
        });
        Ok(reports.collect())
    }

    /// What a node's agent did after a place, in its own words; the newest of it is kept.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn agent_log(&self, _actor: &Actor, name: &str, after: i64) -> Result<LogPage> {
        let agent = self.agent_of(name).await?;
        let chunks = self.store.read_log(&runs_stream(&agent.node), after, LOG_PAGE).await?;
        Ok(LogPage {
            next: chunks.last().map_or(after, |chunk| chunk.seq),
            chunks,
            open: true,
        })
    }

    /// Makes this configuration the one that a node's agent should make true; its agent is woken at once. Gives its hash.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator, `not-found`, `invalid-request`.
    pub async fn assign_configuration(&self, actor: &Actor, name: &str, wanted: &NodeConfiguration) -> Result<String> {
        operators_only(actor)?;
        if wanted.format != NodeConfiguration::FORMAT {
            return Err(ControlError::field(
                "format",
                format!("it must be {}", NodeConfiguration::FORMAT),
            ));
        }
        let agent = self.agent_of(name).await?;
        let hash = wanted
            .hash()
            .map_err(|e| Fault::new("internal", "The configuration has no hash").why(e))?;
        let mut tx = self.store.write(actor, "node.assign", name).await?;
        tx.detail(hash.clone());
        tx.set_agent_desired(&agent.node, &hash, wanted, true).await?;
        tx.commit().await?;
        Ok(hash)
    }

    /// Forgets the agent of a node, so that another machine may take its name. The node itself stays.
    ///
    /// # Errors
    /// `not-allowed` for less than an operator, `not-found`.
    pub async fn forget_agent(&self, actor: &Actor, name: &str) -> Result<()> {
        operators_only(actor)?;
        let agent = self.agent_of(name).await?;
        let mut tx = self.store.write(actor, "node.forget", name).await?;
        tx.delete_agent(&agent.node).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn agent_of(&self, name: &str) -> Result<AgentRow> {
        let agent = self.store.agent_named(name).await?;
        agent.ok_or_else(|| ControlError::not_found("node with an agent", name))
    }

    // Stores what an agent of the inventory says.
    pub(super) async fn save_agent_report(&self, agent: &AgentRow, report: &Report, outcome: &str) -> Result<()> {
        let body = serde_json::to_value(report).map_err(|e| Fault::new("internal", "A report cannot be stored").why(e))?;
        let count = |wanted: &dyn Fn(&StateReport) -> bool| {
            let number = report.states.iter().filter(|state| wanted(state)).count();
            i64::try_from(number).unwrap_or(i64::MAX)
        };
        let changed = count(&|state| matches!(state.outcome.as_str(), "changed" | "would_change"));
        let corrective = count(&|state| state.drift == "corrective");
        let mut tx = self.store.journal().await?;
        tx.save_agent_report(
            agent,
            (&report.id, &report.configuration, outcome),
            (changed, corrective),
            &body,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn view(row: AgentRow) -> AgentView {
    AgentView {
        up_to_date: row.desired.is_some() && row.desired == row.applied && row.outcome.as_deref() == Some("applied"),
        nothing_asked: row.desired.as_deref().is_some_and(NodeConfiguration::asks_nothing),
        name: row.name,
        id: row.node.as_str().to_owned(),
        key: row.public_key,
        version: row.version,
        registered_at: row.created_at,
        seen_at: row.seen_at,
        desired: row.desired,
        reported: row.applied,
        outcome: row.outcome,
        changed: row.changed,
        corrective: row.corrective,
        reported_at: row.reported_at,
    }
}
