//! Calls about presets.

use super::{Client, Result};
use crate::wire::presets::{PresetBody, PresetView};
use reqwest::Method;

impl Client {
    /// All presets.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_presets(&self) -> Result<Vec<PresetView>> {
        self.get(&["presets"]).await
    }

    /// One preset.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_preset(&self, name: &str) -> Result<PresetView> {
        self.get(&["presets", name]).await
    }

    /// Keeps a launch under a name.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn save_preset(&self, name: &str, body: &PresetBody) -> Result<PresetView> {
        self.json(self.ask(Method::PUT, &["presets", name]).json(body)).await
    }

    /// Forgets a preset.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn remove_preset(&self, name: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["presets", name])).await.map(|_| ())
    }

    /// Pauses a preset's pool, or lets it go on.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn pause_pool(&self, name: &str, paused: bool) -> Result<PresetView> {
        let verb = if paused { "pause" } else { "resume" };
        self.json(self.ask(Method::POST, &["presets", name, verb])).await
    }
}
