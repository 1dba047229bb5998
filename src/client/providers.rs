//! Calls about providers.

use super::{Client, Result};
use crate::wire::providers::ProviderCheck;

impl Client {
    /// Whether a provider has what launches need.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn check_provider(&self, name: &str) -> Result<ProviderCheck> {
        self.get(&["providers", name, "check"]).await
    }
}
