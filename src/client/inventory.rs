//! The inventory: objects, their history, searches, files, and what depends on what.

use super::{Client, Result, given};
use crate::wire::inventory::{
    ApplyRequest, ApplyView, DependenciesView, DiffView, FactsView, ImpactView, ObjectVersionView, ObjectView, RestoreRequest,
    RunningView, SearchView,
};
use reqwest::{Method, RequestBuilder, header};

impl Client {
    /// All objects of a noun (`nodes`, `roles`, …), now or at a revision or time.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_objects(&self, noun: &str, text: Option<&str>, at: Option<&str>) -> Result<Vec<ObjectView>> {
        self.list(&[noun], &given([("text", text), ("at", at)]), usize::MAX).await
    }

    /// One object, now or at a revision or time.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_object(&self, noun: &str, name: &str, at: Option<&str>) -> Result<ObjectView> {
        let request = self.ask(Method::GET, &[noun, name]);
        self.json(request.query(&given([("at", at)]))).await
    }

    /// Every version of an object or (`apps`) an app, newest first.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn object_versions(&self, noun: &str, name: &str) -> Result<Vec<ObjectVersionView>> {
        self.list(&[noun, name, "versions"], &[], usize::MAX).await
    }

    /// The difference between two versions of an object or an app.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn object_diff(&self, noun: &str, name: &str, from: Option<i64>, to: Option<i64>) -> Result<DiffView> {
        let query = given([("from", from), ("to", to)]);
        self.json(self.ask(Method::GET, &[noun, name, "diff"]).query(&query)).await
    }

    /// Makes an old version of an object the present one; `edited` is the present one, where there is one.
    ///
    /// # Errors
    /// The server's problem; `changed-meanwhile` with the difference.
    pub async fn restore_object(&self, noun: &str, name: &str, version: i64, edited: Option<i64>) -> Result<ObjectView> {
        self.json(self.restoring(noun, name, version, edited)).await
    }

    pub(super) fn restoring(&self, noun: &str, name: &str, version: i64, edited: Option<i64>) -> RequestBuilder {
        let request = self
            .ask(Method::POST, &[noun, name, "restore"])
            .json(&RestoreRequest { version });
        match edited {
            Some(edited) => request.header(header::IF_MATCH, format!("\"{edited}\"")),
            None => request,
        }
    }

    /// Takes an object out of the inventory.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn remove_object(&self, noun: &str, name: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &[noun, name])).await.map(|_| ())
    }

    /// What a node last reported of itself.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_facts(&self, node: &str) -> Result<FactsView> {
        self.get(&["nodes", node, "facts"]).await
    }

    /// Hands in what `ohai` or `facter --json` printed on a node.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn save_facts(&self, node: &str, facts: Vec<u8>) -> Result<FactsView> {
        let request = self.ask(Method::PUT, &["nodes", node, "facts"]);
        self.json(request.header(header::CONTENT_TYPE, "application/json").body(facts))
            .await
    }

    /// Plans or applies files that belong together.
    ///
    /// # Errors
    /// The server's problem; `object-invalid` with findings.
    pub async fn apply_files(&self, request: &ApplyRequest) -> Result<ApplyView> {
        self.json(self.ask(Method::POST, &["inventory", "apply"]).json(request)).await
    }

    /// One page of a search.
    ///
    /// # Errors
    /// The server's problem; `query-invalid` with the place.
    pub async fn search(&self, index: &str, query: &[(&str, &str)]) -> Result<SearchView> {
        self.json(self.ask(Method::GET, &["search", index]).query(query)).await
    }

    /// The apps that an app needs, and where they are; or those that need it.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn dependencies(&self, app: &str, direction: &str, query: &[(&str, &str)]) -> Result<DependenciesView> {
        self.json(self.ask(Method::GET, &["apps", app, direction]).query(query)).await
    }

    /// What would stop without a node or a datacenter.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn impact(&self, what: &str, name: &str) -> Result<ImpactView> {
        self.json(self.ask(Method::GET, &["impact"]).query(&[(what, name)])).await
    }

    /// What runs where.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn running(&self, query: &[(&str, &str)]) -> Result<Vec<RunningView>> {
        self.list(&["running"], query, usize::MAX).await
    }
}
