//! Agents of the inventory's nodes.

use super::{Client, Result, wait_seconds};
use crate::model::configuration::NodeConfiguration;
use crate::wire::agents::{AgentReportView, AgentView, AssignedView, BootView, NewBoot, NewNodeToken, NodeTokenView};
use crate::wire::runs::LogPage;
use reqwest::Method;

impl Client {
    /// All agents.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_agents(&self) -> Result<Vec<AgentView>> {
        self.list(&["agents"], &[], usize::MAX).await
    }

    /// The newest reports of a node's agent.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn agent_reports(&self, name: &str) -> Result<Vec<AgentReportView>> {
        self.json(self.ask(Method::GET, &["agents", name, "reports"])).await
    }

    /// What a node's agent did after a place; waits a while for more where asked to.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn agent_log(&self, name: &str, after: i64, wait: bool) -> Result<LogPage> {
        let request = self.ask(Method::GET, &["agents", name, "log"]);
        self.json(request.query(&[("after", after), ("wait", wait_seconds(wait))]))
            .await
    }

    /// Makes a configuration the one that a node's agent should make true.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn assign_configuration(&self, name: &str, wanted: &NodeConfiguration) -> Result<AssignedView> {
        self.json(self.ask(Method::PUT, &["agents", name, "configuration"]).json(wanted))
            .await
    }

    /// Makes the address at which a machine finds what to do to become this node.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn boot_node(&self, name: &str, request: &NewBoot) -> Result<BootView> {
        self.json(self.ask(Method::POST, &["nodes", name, "boot"]).json(request))
            .await
    }

    /// A file of such an address, asked of the server that this is a client of, however the machine reaches it.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn seed_file(&self, boot: &BootView, file: &str) -> Result<Vec<u8>> {
        let token = boot.seed.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        self.bytes(self.ask_at(&["nocloud", token, file])).await
    }

    /// Forgets the agent of a node.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn forget_agent(&self, name: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["agents", name])).await.map(|_| ())
    }

    /// All tokens that machines register with.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_node_tokens(&self) -> Result<Vec<NodeTokenView>> {
        self.json(self.ask(Method::GET, &["node-tokens"])).await
    }

    /// Makes a token that machines register with.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_node_token(&self, request: &NewNodeToken) -> Result<NodeTokenView> {
        self.json(self.ask(Method::POST, &["node-tokens"]).json(request)).await
    }

    /// Makes a token useless.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn revoke_node_token(&self, id: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["node-tokens", id])).await.map(|_| ())
    }
}
