//! What agents ask and say. An agent may only speak for its own node, and is no longer believed once the node is gone.

use super::stacks::look::service_stream;
use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::secret;
use crate::store::nodes::NodeRow;
use crate::wire::agent::{LogBatch, Register, Registered, Report, ReportOutcome, SecretValue};

const CHUNK_LIMIT: usize = 256 * 1024;

impl Control {
    /// Registers an agent's key with the node's one-time token. The same key again is the same registration.
    ///
    /// # Errors
    /// `not-signed-in` for a wrong, used or outdated token.
    pub async fn register_node(&self, token: &str, request: &Register) -> Result<Registered> {
        let refuse = || ControlError::new("not-signed-in", "The node's token is not valid");
        let node: NodeId = request.node.parse().map_err(|_| refuse())?;
        if request.key.len() != 64 || !request.key.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ControlError::field("key", "it must be 64 hexadecimal digits"));
        }
        let mut tx = self
            .store
            .write(&Actor::Agent { node: node.clone() }, "node.register", node.as_str())
            .await?;
        if !tx
            .register_node(&node, &secret::hash(token), &secret::hash(&request.key), &request.facts)
            .await?
        {
            return Err(refuse());
        }
        tx.commit().await?;
        Ok(Registered {
            node: node.as_str().to_owned(),
        })
    }

    /// Whose agent a bearer value `NODE:KEY` is.
    ///
    /// # Errors
    /// `not-signed-in`.
    pub async fn authenticate_node(&self, bearer: &str) -> Result<Actor> {
        let refuse = || ControlError::new("not-signed-in", "The node's key is not valid");
        let (node, key) = bearer.split_once(':').ok_or_else(refuse)?;
        let node: NodeId = node.parse().map_err(|_| refuse())?;
        let row = self.store.node(&node).await?.ok_or_else(refuse)?;
        if row.key_hash.as_deref() != Some(secret::hash(key).as_str()) {
            return Err(refuse());
        }
        // Written at most every 20 seconds: liveness needs no more, and a write each time would cost every poll a commit.
        if row.seen_at.is_none_or(|seen| self.store.now().since(seen) > 20_000) {
            let mut tx = self.store.journal().await?;
            tx.set_node_seen(&node).await?;
            tx.commit().await?;
        }
        Ok(Actor::Agent { node })
    }

    /// The configuration a node should have: its hash and canonical JSON; none before the first.
    ///
    /// # Errors
    /// `not-found` for a node that is gone.
    pub async fn node_configuration(&self, node: &NodeId) -> Result<Option<(String, String)>> {
        let row = self.live_node(node).await?;
        let Some(hash) = row.desired else { return Ok(None) };
        let body = self.store.configuration(&hash).await?;
        let body = body.ok_or_else(|| Fault::new("internal", format!("The configuration {hash} is not stored")))?;
        Ok(Some((hash, body)))
    }

    /// A secret of the node's stack.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn node_secret(&self, node: &NodeId, name: &str) -> Result<SecretValue> {
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
        let row = self.live_node(node).await?;
        let outcome = match report.outcome {
            ReportOutcome::Converging => "converging",
            ReportOutcome::Applied => "applied",
            ReportOutcome::Failed => "failed",
        };
        let body = serde_json::to_value(report).map_err(|e| Fault::new("internal", "A report cannot be stored").why(e))?;
        let mut tx = self.store.journal().await?;
        tx.save_report(node, &row.stack, &report.configuration, &report.id, outcome, &body)
            .await?;
        tx.set_node_seen(node).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Stores pieces of logs; once this returns they are durable. A piece sent twice is stored once.
    ///
    /// # Errors
    /// `not-found` for a node that is gone; `invalid-request` for a stream that is not the node's.
    pub async fn append_node_logs(&self, node: &NodeId, batch: &LogBatch) -> Result<()> {
        let row = self.live_node(node).await?;
        for (index, chunk) in batch.chunks.iter().enumerate() {
            if chunk.text.len() > CHUNK_LIMIT {
                return Err(ControlError::field(
                    format!("chunks[{index}].text"),
                    "a chunk may have 256 KiB at most",
                ));
            }
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
            let writer = format!("{node}/{}/{}", chunk.writer, chunk.stream);
            let at = crate::model::time::Timestamp(chunk.at_ms);
            self.store
                .append_log(&stream, &writer, Some(chunk.writer_seq), at, &chunk.text)
                .await?;
        }
        Ok(())
    }

    async fn live_node(&self, node: &NodeId) -> Result<NodeRow> {
        let row = self.store.node(node).await?;
        row.filter(|row| row.state != "gone")
            .ok_or_else(|| ControlError::not_found("node", node.as_str()))
    }
}
