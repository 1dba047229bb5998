//! Agents of the inventory's nodes, and what machines register with.

use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A new token that machines register with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNodeToken {
    /// Names that fit; `*` stands for anything.
    pub name: String,
    /// The environment that new nodes belong to.
    pub environment: String,
    /// The datacenter that they stand in.
    pub datacenter: String,
    /// For how many machines.
    #[serde(default = "once")]
    pub uses: i64,
    /// How long it is good, such as `1h`.
    #[serde(default = "an_hour")]
    pub ttl: String,
}

fn once() -> i64 {
    1
}

fn an_hour() -> String {
    "1h".to_owned()
}

/// A token that machines register with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeTokenView {
    /// Its id.
    pub id: String,
    /// Names that fit.
    pub name: String,
    /// The environment that new nodes belong to.
    pub environment: String,
    /// The datacenter that they stand in.
    pub datacenter: String,
    /// For how many machines it was made.
    pub uses: i64,
    /// For how many it is still good.
    pub uses_left: i64,
    /// Who made it.
    pub made_by: String,
    /// When.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// Until when it is good.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
    /// Since when it is not any more.
    #[schema(value_type = Option<String>)]
    pub revoked_at: Option<Timestamp>,
    /// The token itself: only in the answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// A machine that is to start as a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBoot {
    /// The server's address as the machine reaches it; what the settings say where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What the machine does at its first start: `agent` installs the agent, which gets all else from the server; `whole` does
    /// everything without an agent, unless that is too long for user-data.
    #[serde(default = "with_agent")]
    pub user_data: String,
    /// How long it may take until it starts, such as `1h`.
    #[serde(default = "an_hour")]
    pub ttl: String,
}

fn with_agent() -> String {
    "agent".to_owned()
}

/// What a machine needs to start as a node. Whoever has the address can become that node, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BootView {
    /// The node.
    pub node: String,
    /// The id of the token, to revoke it.
    pub token: String,
    /// Where cloud-init's NoCloud finds `meta-data`, `user-data`, `vendor-data` and `network-config`: only in this answer.
    pub seed: String,
    /// The same, as a kernel's command line says it.
    pub kernel: String,
    /// What the machine does at its first start: `agent` or `whole`.
    pub user_data: String,
    /// Until when the address is good.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
}

/// The agent of a node of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgentView {
    /// The node's name.
    pub name: String,
    /// The id that its agent signs with.
    pub id: String,
    /// Its public key, ed25519.
    #[serde(default)]
    pub key: String,
    /// The agent's version.
    pub version: String,
    /// When it registered.
    #[schema(value_type = String)]
    pub registered_at: Timestamp,
    /// When it was last heard of.
    #[schema(value_type = Option<String>)]
    pub seen_at: Option<Timestamp>,
    /// Hash of the configuration it should make true.
    pub desired: Option<String>,
    /// Hash of the one that it reported of last.
    pub reported: Option<String>,
    /// What that came to: `applied`, `failed`, `audited`, `disabled`.
    pub outcome: Option<String>,
    /// Whether what is wanted was made true.
    pub up_to_date: bool,
    /// Whether it should make nothing true: the node has no role or app that says anything, any more.
    #[serde(default)]
    pub nothing_asked: bool,
    /// How many states were changed in that run.
    pub changed: i64,
    /// How many of those had been changed from outside.
    pub corrective: i64,
    /// When it reported.
    #[schema(value_type = Option<String>)]
    pub reported_at: Option<Timestamp>,
}

/// A report of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AgentReportView {
    /// When it came.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The report as the agent sent it.
    pub report: serde_json::Value,
}

/// Which configuration a node's agent should make true now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AssignedView {
    /// Its hash.
    pub hash: String,
}
