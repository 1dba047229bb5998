//! Apps: descriptors, versions, revisions.

use super::{Client, Result, given};
use crate::wire::apps::{AppSummary, AppView, RevisionView, SchedulesView, ValidationView};
use reqwest::{Method, RequestBuilder, header};

impl Client {
    /// All apps with these words in name, title, description, owners or tags, now or at a revision or time.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_apps(&self, text: Option<&str>, at: Option<&str>) -> Result<Vec<AppSummary>> {
        let query: Vec<(&str, &str)> = given([("text", text), ("at", at)]);
        self.list(&["apps"], &query, usize::MAX).await
    }

    /// One app, now or at a revision or time.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_app(&self, name: &str, at: Option<&str>) -> Result<AppView> {
        let request = self.ask(Method::GET, &["apps", name]);
        self.json(request.query(&given([("at", at)]))).await
    }

    /// Checks a descriptor against everything the server knows; `file` is what findings call it.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn validate_app(&self, file: &str, descriptor: Vec<u8>) -> Result<ValidationView> {
        let request = self.ask(Method::POST, &["apps", "validate"]).query(&[("file", file)]);
        self.json(with_descriptor(request, descriptor)).await
    }

    /// Registers an app.
    ///
    /// # Errors
    /// The server's problem; `descriptor-invalid` with findings.
    pub async fn create_app(&self, file: &str, descriptor: Vec<u8>) -> Result<AppView> {
        let request = self.ask(Method::POST, &["apps"]).query(&[("file", file)]);
        self.json(with_descriptor(request, descriptor)).await
    }

    /// Saves a new version of an app that was edited from this version.
    ///
    /// # Errors
    /// The server's problem; `changed-meanwhile` with the difference.
    pub async fn save_app(&self, name: &str, file: &str, descriptor: Vec<u8>, edited: i64) -> Result<AppView> {
        let request = self
            .ask(Method::PUT, &["apps", name])
            .query(&[("file", file)])
            .header(header::IF_MATCH, format!("\"{edited}\""));
        self.json(with_descriptor(request, descriptor)).await
    }

    /// What an app runs by the clock.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn app_schedules(&self, name: &str) -> Result<SchedulesView> {
        self.get(&["apps", name, "schedules"]).await
    }

    /// Takes an app out of the inventory.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn remove_app(&self, name: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["apps", name])).await.map(|_| ())
    }

    /// Makes an old version of an app's descriptor the present one; `edited` is the present one, where there is one.
    ///
    /// # Errors
    /// The server's problem; `descriptor-invalid` with findings, `changed-meanwhile` with the difference.
    pub async fn restore_app(&self, name: &str, version: i64, edited: Option<i64>) -> Result<AppView> {
        self.json(self.restoring("apps", name, version, edited)).await
    }

    /// Branches, tags and recent commits of an app's repository.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_revisions(&self, name: &str, fresh: bool) -> Result<Vec<RevisionView>> {
        let fresh = if fresh { "true" } else { "false" };
        self.list(&["apps", name, "revisions"], &[("fresh", fresh)], usize::MAX).await
    }
}

fn with_descriptor(request: RequestBuilder, descriptor: Vec<u8>) -> RequestBuilder {
    request.header(header::CONTENT_TYPE, "application/json").body(descriptor)
}
