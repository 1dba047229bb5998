//! Calls about images and what providers hold.

use super::{Client, Result};
use crate::wire::images::{Baking, HoldingsView, ImageView, Reaped};
use crate::wire::stacks::LaunchRequest;
use reqwest::Method;

impl Client {
    /// All images.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_images(&self) -> Result<Vec<ImageView>> {
        self.get(&["images"]).await
    }

    /// Makes an image of what a launch would install, fetch and build.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn bake_image(&self, request: &LaunchRequest) -> Result<Baking> {
        self.json(self.ask(Method::POST, &["images"]).json(request)).await
    }

    /// Removes an image.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn remove_image(&self, provider: &str, key: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["images", provider, key]))
            .await
            .map(|_| ())
    }

    /// What providers hold, what they should, and the difference.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_holdings(&self) -> Result<HoldingsView> {
        self.get(&["holdings"]).await
    }

    /// Removes what nobody knows of.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn reap(&self) -> Result<Reaped> {
        self.json(self.ask(Method::POST, &["holdings", "reap"])).await
    }
}
