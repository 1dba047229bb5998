//! What the agent and the server say to each other, under `/agent/v1`.
//!
//! | call | what |
//! |---|---|
//! | `POST /agent/v1/register` | [`Register`] → [`Registered`]; `Authorization: Bearer <bootstrap token>`, signed by the new key |
//! | `GET /agent/v1/configuration` | `If-None-Match`, `Prefer: wait=SECONDS` → 200 with a [`crate::model::configuration::NodeConfiguration`], its hash as `ETag` and [`SIGNATURE`], or 304; 404 while there is none yet |
//! | `GET /agent/v1/secrets/{*name}` | [`SecretValue`] |
//! | `GET /agent/v1/blobs/{hash}` | a long content of a file, which the configuration names by its hash |
//! | `POST /agent/v1/reports` | [`Report`] → 204; the same id twice is stored once |
//! | `POST /agent/v1/logs` | [`LogBatch`] → 204; a chunk sent twice is stored once; 204 means durable |
//! | `PUT /agent/v1/facts` | what the node is, as JSON → 204; of nodes of the inventory, when it changes |
//! | `POST /agent/v1/keys` | [`NewKey`] → 204; signed by the old key |
//!
//! Every call is signed with the node's ed25519 key, as [`crate::model::signature`] says. Bodies may be gzip-compressed, and are
//! signed as they are sent. A signature is good for 300 seconds around its making; an agent whose clock is wrong learns the time
//! from the `Date` of the 401. What changes something may come once. A server that has too much to do answers 503 with
//! `Retry-After`. Registering again with the same token and the same key is the same registration, so an agent killed right
//! after it registers is not locked out.

use crate::model::fault::Fault;
use serde::{Deserialize, Serialize};

/// A node says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The node's id, given by its provider; empty where it has none yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Its name in the inventory, where it is to be one of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The public key it made: 64 hexadecimal digits.
    pub key: String,
    /// Operating system, architecture, host name, agent version, isolation.
    pub facts: serde_json::Value,
}

/// The server knows it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The node's id.
    pub node: String,
    /// The public key that the server signs configurations with; the agent takes them from nobody else from now on.
    pub server_key: String,
}

impl Registered {
    /// The file that an agent keeps it in.
    pub const NAME: &'static str = "registered";
}

/// The header with the server's signature of a configuration for this node: `issued=MILLISECONDS;sig=BASE64`, of
/// [`crate::model::signature::document`].
pub const SIGNATURE: &str = "greenroom-signature";

/// The header that says why somebody works on the node: nothing must be changed meanwhile.
pub const MAINTENANCE: &str = "greenroom-maintenance";

/// A node takes another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// The new public key: 64 hexadecimal digits.
    pub key: String,
    /// The new key's signature of [`NewKey::words`].
    pub proof: String,
}

impl NewKey {
    /// What the new key signs, to show that the agent holds it.
    pub fn words(node: &str, key: &str) -> String {
        format!("greenroom key 1\n{node}\n{key}")
    }
}

/// A secret's value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretValue {
    /// The value.
    pub value: String,
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretValue([redacted])")
    }
}

/// What one convergence came to, or how the services are now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Made by the agent, unique; resent as it is.
    pub id: String,
    /// Hash of the configuration it is about.
    pub configuration: String,
    /// `converging`, `applied` or `failed`.
    pub outcome: ReportOutcome,
    /// What became of each state that was reached. Unchanged ones are only counted.
    pub states: Vec<StateReport>,
    /// How many states were already as they should be.
    pub unchanged: u32,
    /// The services now.
    pub services: Vec<ServiceReport>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// Whether parts of `states` were left out because there were too many.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What a convergence came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportOutcome {
    /// It is under way; `states` holds what has been reached.
    Converging,
    /// Every state is as it should be.
    Applied,
    /// A state could not be made so; the ones after it were not tried.
    Failed,
    /// Nothing was changed: `states` holds what would be.
    Audited,
    /// Nothing was looked at, because someone told the agent to keep its hands off.
    Disabled,
}

/// What became of a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReport {
    /// Its id.
    pub id: String,
    /// `changed`, `failed`, `skipped` or `running`; of a plan `would_change`, `would_fail` or `unknown`.
    pub outcome: String,
    /// What was done, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// Why it was not as it should be: `corrective` where someone else changed it since it was made so, `intentional` where
    /// something else is wanted now.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub drift: String,
    /// The difference of a file's text, at most 4 KiB.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub diff: String,
}

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// Its name on the node.
    pub name: String,
    /// `running`, `starting`, `backoff`, `failed`, `stopped`.
    pub state: String,
    /// How often it was restarted.
    pub restarts: u32,
    /// Its process id, where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// Pieces of logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBatch {
    /// The chunks, in order.
    pub chunks: Vec<AgentLogChunk>,
}

/// A piece of a log: whole lines, at most 64 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentLogChunk {
    /// `converge/<configuration hash>` for what the agent does, `service/<name>` for what a service says.
    pub stream: String,
    /// Names this agent installation; never reused.
    pub writer: String,
    /// Numbers the writer's chunks of this stream, from 1, across restarts of the agent.
    pub writer_seq: i64,
    /// Milliseconds since the Unix epoch by the node's clock.
    pub at_ms: i64,
    /// The text.
    pub text: String,
}
