//! Bundles of recipes, what nodes are built from, and what a change would touch.

use super::{Client, Result};
use crate::wire::bundles::{BundleDiffView, BundleFilesView, BundleView, PointerView, PromoteRequest, PushRequest, PushedView};
use crate::wire::configurations::{ConfigurationView, ExplainView, FleetPlanRequest, FleetPlanView};
use reqwest::{Method, header};

impl Client {
    /// All bundles, newest first.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_bundles(&self) -> Result<Vec<BundleView>> {
        self.get(&["bundles"]).await
    }

    /// Keeps recipes as a bundle.
    ///
    /// # Errors
    /// The server's problem; `recipe-invalid` with findings.
    pub async fn push_bundle(&self, request: &PushRequest) -> Result<PushedView> {
        self.json(self.ask(Method::POST, &["bundles"]).json(request)).await
    }

    /// A bundle with its files.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_bundle(&self, hash: &str) -> Result<BundleFilesView> {
        self.get(&["bundles", hash]).await
    }

    /// What differs between two bundles.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn diff_bundles(&self, from: &str, to: &str) -> Result<BundleDiffView> {
        let request = self.ask(Method::GET, &["bundles", from, "diff"]).query(&[("to", to)]);
        self.json(request).await
    }

    /// Which bundle an environment is built from.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_pointer(&self, environment: &str) -> Result<PointerView> {
        self.get(&["environments", environment, "bundle"]).await
    }

    /// Points an environment, as it is at this version, at a bundle.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn promote_bundle(&self, environment: &str, bundle: &str, version: i64) -> Result<PointerView> {
        let request = self
            .ask(Method::PUT, &["environments", environment, "bundle"])
            .header(header::IF_MATCH, format!("\"{version}\""))
            .json(&PromoteRequest {
                bundle: bundle.to_owned(),
            });
        self.json(request).await
    }

    /// What a node is built to be.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_configuration(&self, node: &str) -> Result<ConfigurationView> {
        self.get(&["nodes", node, "configuration"]).await
    }

    /// What a node is built to be, made into what a target takes.
    ///
    /// # Errors
    /// The server's problem; `target-refused` with what cannot be made into it.
    pub async fn render_node(&self, node: &str, query: &[(&str, &str)]) -> Result<Vec<u8>> {
        self.bytes(self.ask(Method::GET, &["nodes", node, "render"]).query(query))
            .await
    }

    /// Why a value of a node is what it is; for an app's recipes where one is given.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn explain_value(&self, node: &str, key: &str, app: Option<&str>) -> Result<ExplainView> {
        let query: Vec<(&str, &str)> = std::iter::once(("key", key)).chain(app.map(|app| ("app", app))).collect();
        self.json(self.ask(Method::GET, &["nodes", node, "explain"]).query(&query))
            .await
    }

    /// What a change of recipes or of the inventory would change on which nodes.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn plan_fleet(&self, request: &FleetPlanRequest) -> Result<FleetPlanView> {
        self.json(self.ask(Method::POST, &["plans", "fleet"]).json(request)).await
    }
}
