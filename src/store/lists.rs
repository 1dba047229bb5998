//! Reading what belongs to the things of one page in a few statements, however many things there are.
//!
//! A list of ids is made up to a power of two by repeating the last, so that pages of all lengths share a few statements,
//! which the database prepares once.

use super::nodes::NodeRow;
use super::runs::RunRecord;
use super::{Result, Store, from_json, nodes, parse, runs};
use crate::model::id::{NodeId, RunId, StackId, UserId};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::collections::BTreeMap;

/// A node with what its agent said last of the configuration that it should have.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedNode {
    /// The node.
    pub node: NodeRow,
    /// The report, and when it came.
    pub report: Option<(Value, crate::model::time::Timestamp)>,
}

impl Store {
    /// Nodes with their reports; those that are not stored are left out.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn reported_nodes(&self, ids: &[NodeId]) -> Result<BTreeMap<NodeId, ReportedNode>> {
        let sql = |list: &str| {
            format!(
                "SELECT {}, r.body, r.at FROM nodes n LEFT JOIN reports r ON r.node = n.id AND r.configuration = n.desired \
                 WHERE n.id IN ({list})",
                nodes::COLUMNS
                    .split(", ")
                    .map(|column| format!("n.{column}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        };
        let mut found = BTreeMap::new();
        for row in self.listed(ids.iter().map(NodeId::as_str), sql).await? {
            let node = nodes::read(&row)?;
            let body: Option<String> = row.try_get(nodes::WIDTH)?;
            let at: Option<i64> = row.try_get(nodes::WIDTH + 1)?;
            let body = body.map(|text| from_json("report", &text)).transpose()?;
            let report = body.zip(at.map(crate::model::time::Timestamp));
            found.insert(node.id.clone(), ReportedNode { node, report });
        }
        Ok(found)
    }

    /// Runs with their steps; those that are not stored, or cannot be read, are left out.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn runs_by_id(&self, ids: &[RunId]) -> Result<BTreeMap<RunId, RunRecord>> {
        let rows = self.listed(ids.iter().map(RunId::as_str), runs::select_listed).await?;
        Ok(runs::read_all(&rows)
            .into_iter()
            .map(|record| (record.run.id.clone(), record))
            .collect())
    }

    /// Who owns these stacks.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn stack_owners(&self, ids: &[StackId]) -> Result<BTreeMap<StackId, UserId>> {
        let sql = |list: &str| format!("SELECT id, owner FROM stacks WHERE id IN ({list})");
        let rows = self.listed(ids.iter().map(StackId::as_str), sql).await?;
        rows.iter()
            .map(|row| Ok((parse("stack id", row.try_get(0)?)?, parse("user id", row.try_get(1)?)?)))
            .collect()
    }

    /// The names of these accounts.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn user_names(&self, ids: &[UserId]) -> Result<BTreeMap<UserId, String>> {
        let sql = |list: &str| format!("SELECT id, name FROM users WHERE id IN ({list})");
        let rows = self.listed(ids.iter().map(UserId::as_str), sql).await?;
        rows.iter()
            .map(|row| Ok((parse("user id", row.try_get(0)?)?, row.try_get(1)?)))
            .collect()
    }

    async fn listed<'a>(&self, ids: impl Iterator<Item = &'a str>, sql: impl Fn(&str) -> String) -> Result<Vec<AnyRow>> {
        let mut ids: Vec<&str> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        let Some(last) = ids.last().copied() else {
            return Ok(Vec::new());
        };
        ids.resize(ids.len().next_power_of_two(), last);
        let list: Vec<String> = (1..=ids.len()).map(|number| format!("${number}")).collect();
        // Placeholders and names of columns only: every value is bound.
        let mut query = sqlx::query(AssertSqlSafe(sql(&list.join(", "))));
        for id in ids {
            query = query.bind(id.to_owned());
        }
        Ok(query.fetch_all(self.pool()).await?)
    }
}
