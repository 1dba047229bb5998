//! What nodes report of themselves.

use crate::control::apps::require_operator;
use crate::control::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::inventory::normalise_facts;
use crate::wire::inventory::FactsView;
use serde_json::Value;

impl Control {
    /// The facts of a node.
    ///
    /// # Errors
    /// `not-found` where it never reported any.
    pub async fn show_facts(&self, _actor: &Actor, node: &str) -> Result<FactsView> {
        let facts = self.store.facts(node).await?;
        let facts = facts.ok_or_else(|| ControlError::not_found("report of facts by", node))?;
        Ok(FactsView {
            node: node.to_owned(),
            format: facts.format,
            at: facts.at,
            facts: facts.body,
        })
    }

    /// Takes facts of a node: ours, Ohai's or Facter's JSON, which is told by what is in it.
    ///
    /// # Errors
    /// `not-found` for a node that is not in the inventory, `invalid-request`, `not-allowed` below operator.
    pub async fn save_facts(&self, actor: &Actor, node: &str, facts: Value) -> Result<FactsView> {
        // An agent is asked only for the node that it has proved to be.
        if !matches!(actor, Actor::Agent { .. }) {
            require_operator(actor, "facts")?;
        }
        let known = node
            .parse()
            .ok()
            .is_some_and(|name| self.store.inventory().node(&name).is_some());
        if !known {
            return Err(ControlError::not_found("node", node));
        }
        let (facts, format) = normalise_facts(facts).map_err(|why| ControlError::field("body", why))?;
        let mut tx = self.store.write(actor, "node.facts", node).await?;
        if tx.put_facts(node, &facts, format).await? {
            tx.commit().await?;
        }
        self.show_facts(actor, node).await
    }
}
