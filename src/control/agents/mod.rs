//! What agents ask and say. An agent may only speak for its own node, and is no longer believed once the node is gone.

pub mod boot;
mod enrol;
#[cfg(feature = "ec2")]
mod first_start;
pub mod fleet;
mod nodes;
pub mod program;
pub mod proof;
mod source;

use super::stacks::look::service_stream;
use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::secret;
use crate::model::signature::PublicKey;
use crate::model::time::Timestamp;
use crate::store::agents::runs_stream;
use crate::store::logs::Piece;
use crate::store::nodes::NodeRow;
use crate::wire::agent::{AgentLogChunk, LogBatch, NewKey, Register, Registered, Report, ReportOutcome, SecretValue};
pub(super) use enrol::operators_only;
#[cfg(feature = "ec2")]
pub use first_start::FirstStarts;
use fleet::{Bell, Known, Owner, Wish};
use proof::Proof;
use serde_json::Value;
use std::sync::{Arc, PoisonError};

const CHUNK_LIMIT: usize = 256 * 1024;
// What is kept of what one agent of the inventory does, in characters: some weeks of a quiet node.
const RUNS_LIMIT: i64 = 512 * 1024;

fn check_chunk(index: usize, chunk: &AgentLogChunk) -> Result<()> {
    if chunk.text.len() <= CHUNK_LIMIT {
        return Ok(());
    }
    let field = format!("chunks[{index}].text");
    Err(ControlError::field(field, "a chunk may have 256 KiB at most"))
}

impl Control {
    /// Registers an agent's key with the node's one-time token. The same key again is the same registration.
    ///
    /// # Errors
    /// `not-signed-in` for a wrong, used or outdated token; `signature-refused` where the agent does not hold the key.
    pub async fn register_node(&self, token: &str, request: &Register, proof: &Proof<'_>) -> Result<Registered> {
        if let Some(name) = &request.name {
            return self.enrol(token, name, request, proof).await;
        }
        let refuse = || ControlError::new("not-signed-in", "The node's token is not valid");
        let key: PublicKey = request.key.parse().map_err(|why| ControlError::field("key", why))?;
        self.check_new_key(&key, proof)?;
        let node: NodeId = request.node.parse().map_err(|_| refuse())?;
        let mut tx = self
            .store
            .write(&Actor::Agent { node: node.clone() }, "node.register", node.as_str())
            .await?;
        if !tx
            .register_node(&node, &secret::hash(token), &key.to_string(), &request.facts)
            .await?
        {
            return Err(refuse());
        }
        tx.commit().await?;
        self.registered(&node).await
    }

    /// Puts a new key in the place of the one that the request is signed with.
    ///
    /// # Errors
    /// `signature-refused` where the agent does not hold the new key.
    pub async fn rotate_node_key(&self, node: &NodeId, request: &NewKey) -> Result<()> {
        let key: PublicKey = request.key.parse().map_err(|why| ControlError::field("key", why))?;
        if !key.verify(NewKey::words(node.as_str(), &request.key).as_bytes(), &request.proof) {
            return Err(ControlError::new(
                "signature-refused",
                "The new key has not signed the change",
            ));
        }
        let known = self.known_node(node).await?;
        let mut tx = self
            .store
            .write(&Actor::Agent { node: node.clone() }, "node.rotate-key", node.as_str())
            .await?;
        let (old, new) = (known.key.to_string(), key.to_string());
        let done = match &known.owner {
            Owner::Stack(_) => tx.rotate_node_key(node, &old, &new).await?,
            Owner::Inventory(_) => tx.rotate_agent_key(node, &old, &new).await?,
        };
        if !done {
            return Err(ControlError::new("conflict", "The node's key was changed meanwhile"));
        }
        tx.commit().await?;
        Ok(())
    }

    /// The configuration a node should have, signed for it; none before the first.
    ///
    /// # Errors
    /// `not-found` for a node that is gone.
    pub async fn agent_wish(&self, node: &NodeId) -> Result<Option<Wish>> {
        match &self.known_node(node).await?.desired {
            Some(hash) => Ok(Some(self.fleet.wish(node, hash).await?)),
            None => Ok(None),
        }
    }

    /// A long content that the node's configuration names by its hash.
    ///
    /// # Errors
    /// `not-found` for what it does not name.
    pub async fn node_blob(&self, node: &NodeId, hash: &str) -> Result<String> {
        let missing = || ControlError::not_found("content of this node's configuration", hash);
        let known = self.known_node(node).await?;
        let configuration = known.desired.as_deref().ok_or_else(missing)?;
        self.fleet.blob(configuration, hash).await?.ok_or_else(missing)
    }

    /// The hash of the configuration a node should have.
    ///
    /// # Errors
    /// As [`Self::agent_wish`].
    pub async fn node_desired(&self, node: &NodeId) -> Result<Option<String>> {
        Ok(self.known_node(node).await?.desired.clone())
    }

    /// Something that rings when what a node should be may have changed.
    pub fn node_bell(&self, node: &NodeId) -> Bell {
        self.fleet.bell(node)
    }

    /// Room for the body of an agent's message.
    ///
    /// # Errors
    /// `too-busy`.
    pub async fn admit_body(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.fleet.room().await
    }

    async fn known_node(&self, node: &NodeId) -> Result<Arc<Known>> {
        let known = self.fleet.known(node).await?;
        known.ok_or_else(|| ControlError::not_found("node", node.as_str()))
    }

    // Written at most every 20 seconds: liveness needs no more, and a write each time would cost every poll a commit.
    async fn hear_of(&self, node: &NodeId, owner: &Owner) -> Result<()> {
        let now = self.now().0;
        {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            match heard.get_mut(node) {
                Some(last) if now - *last <= 20_000 && now >= *last => return Ok(()),
                Some(last) => *last = now,
                None => {
                    heard.insert(node.clone(), now);
                }
            }
        }
        self.seen.sweep(now.div_euclid(1000));
        let mut tx = self.store.journal().await?;
        match owner {
            Owner::Stack(_) => tx.set_node_seen(node).await?,
            Owner::Inventory(_) => tx.set_agent_seen(node).await?,
        }
        tx.commit().await?;
        Ok(())
    }

    /// Why somebody works on a node of the inventory, if somebody does.
    ///
    /// # Errors
    /// `not-found` for a node that is gone.
    pub async fn node_maintenance(&self, node: &NodeId) -> Result<Option<String>> {
        let Owner::Inventory(name) = &self.known_node(node).await?.owner else {
            return Ok(None);
        };
        let inventory = self.store.inventory();
        let record = name.parse().ok().and_then(|name| inventory.node(&name).cloned());
        let record = record.filter(|record| record.body.is_in_maintenance(self.now()));
        Ok(record.and_then(|record| Some(record.body.spec.maintenance.as_ref()?.reason.clone())))
    }

    /// Stores what a node of the inventory says of itself.
    ///
    /// # Errors
    /// `not-found` for a node that is none of those.
    pub async fn save_agent_facts(&self, node: &NodeId, facts: Value) -> Result<()> {
        let known = self.known_node(node).await?;
        let Owner::Inventory(name) = &known.owner else {
            return Err(ControlError::not_found("node of the inventory", node.as_str()));
        };
        self.save_facts(&Actor::Agent { node: node.clone() }, name, facts).await?;
        // Recipes may read them.
        self.try_deliver(name).await;
        Ok(())
    }

    /// A secret of the node's stack, or one that its configuration names where it is a node of the inventory.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn node_secret(&self, node: &NodeId, name: &str) -> Result<SecretValue> {
        if let Owner::Inventory(node_name) = &self.known_node(node).await?.owner {
            return self.inventory_secret(node, node_name, name).await;
        }
        let row = self.live_node(node).await?;
        let value = self
            .store
            .secret(&row.stack, name)
            .await?
            .ok_or_else(|| ControlError::not_found("secret", name))?;
        Ok(SecretValue { value })
    }

    /// Stores what a convergence came to.
    ///
    /// # Errors
    /// `not-found` for a node that is gone.
    pub async fn save_report(&self, node: &NodeId, report: &Report) -> Result<()> {
        let outcome = match report.outcome {
            ReportOutcome::Converging => "converging",
            ReportOutcome::Applied => "applied",
            ReportOutcome::Failed => "failed",
            ReportOutcome::Audited => "audited",
            ReportOutcome::Disabled => "disabled",
        };
        if let Some(agent) = self.store.agent(node).await? {
            // Progress is for those who watch a stack come up.
            if report.outcome != ReportOutcome::Converging {
                self.save_agent_report(&agent, report, outcome).await?;
            }
            return Ok(());
        }
        let row = self.live_node(node).await?;
        let body = serde_json::to_value(report).map_err(|e| Fault::new("internal", "A report cannot be stored").why(e))?;
        let mut tx = self.store.journal().await?;
        tx.save_report(node, &row.stack, &report.configuration, &report.id, outcome, &body)
            .await?;
        tx.set_node_seen(node).await?;
        if let Some((run, _)) = &row.desired_by {
            tx.touch(format!("run:{run}"));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Stores pieces of logs; once this returns they are durable. A piece sent twice is stored once.
    ///
    /// # Errors
    /// `not-found` for a node that is gone; `invalid-request` for a stream that is not the node's.
    pub async fn append_node_logs(&self, node: &NodeId, batch: &LogBatch) -> Result<()> {
        if matches!(self.known_node(node).await?.owner, Owner::Inventory(_)) {
            return self.append_agent_logs(node, batch).await;
        }
        let row = self.live_node(node).await?;
        let mut pieces = Vec::with_capacity(batch.chunks.len());
        for (index, chunk) in batch.chunks.iter().enumerate() {
            check_chunk(index, chunk)?;
            let safe = |text: &str| text.len() <= 200 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
            let stream = match chunk.stream.split_once('/') {
                Some(("service", name)) if safe(name) => service_stream(&row.stack, name),
                // What the agent does belongs to the step that wanted it.
                Some(("converge", hash)) if safe(hash) => match &row.desired_by {
                    Some((run, step)) => format!("{run}/{step}"),
                    None => format!("{node}/converge"),
                },
                _ => {
                    return Err(ControlError::field(
                        format!("chunks[{index}].stream"),
                        "it must be `converge/HASH` or `service/NAME`",
                    ));
                }
            };
            pieces.push(Piece {
                stream,
                writer: format!("{node}/{}/{}", chunk.writer, chunk.stream),
                writer_seq: Some(chunk.writer_seq),
                at: Timestamp(chunk.at_ms),
                text: chunk.text.clone(),
            });
        }
        Ok(self.store.append_logs(&pieces).await?)
    }

    // What the agent does is kept, within bounds. What its services say stays on the machine, where there is room for it.
    async fn append_agent_logs(&self, node: &NodeId, batch: &LogBatch) -> Result<()> {
        let stream = runs_stream(node);
        let mut pieces = Vec::new();
        for (index, chunk) in batch.chunks.iter().enumerate() {
            check_chunk(index, chunk)?;
            if chunk.stream.starts_with("converge/") && chunk.stream.len() <= 200 {
                pieces.push(Piece {
                    stream: stream.clone(),
                    writer: format!("{}/{}", chunk.writer, chunk.stream),
                    writer_seq: Some(chunk.writer_seq),
                    at: Timestamp(chunk.at_ms),
                    text: chunk.text.clone(),
                });
            }
        }
        if pieces.is_empty() {
            return Ok(());
        }
        Ok(self.store.append_logs_within(&pieces, &stream, RUNS_LIMIT).await?)
    }

    pub(super) async fn live_node(&self, node: &NodeId) -> Result<NodeRow> {
        let row = self.store.node(node).await?;
        row.filter(|row| row.state != "gone")
            .ok_or_else(|| ControlError::not_found("node", node.as_str()))
    }
}
