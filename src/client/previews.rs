//! Calls about previews.

use super::{Client, Result};
use crate::wire::previews::PreviewView;
use reqwest::Method;

impl Client {
    /// All previews.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_previews(&self) -> Result<Vec<PreviewView>> {
        self.get(&["previews"]).await
    }

    /// Takes a preview down.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn end_preview(&self, id: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["previews", id])).await.map(|_| ())
    }
}
