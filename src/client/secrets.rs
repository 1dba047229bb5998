//! Secrets for nodes of the inventory.

use super::{Client, Result};
use crate::wire::secrets::{SecretRequest, SecretView};
use reqwest::Method;

impl Client {
    /// All secrets, without their values.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_secrets(&self) -> Result<Vec<SecretView>> {
        self.json(self.ask(Method::GET, &["secrets"])).await
    }

    /// Gives a secret its value.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn save_secret(&self, request: &SecretRequest) -> Result<()> {
        self.send(self.ask(Method::PUT, &["secrets"]).json(request)).await.map(|_| ())
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn remove_secret(&self, name: &str, environment: Option<&str>) -> Result<()> {
        let which = [("name", Some(name)), ("environment", environment)];
        let which: Vec<(&str, &str)> = which.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        self.send(self.ask(Method::DELETE, &["secrets"]).query(&which))
            .await
            .map(|_| ())
    }
}
