//! What every handler has at hand.

use crate::control::Control;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Shared by all handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The verbs of the product.
    pub control: Control,
    /// The address people use, such as `https://greenroom.example.org`, without a slash at the end.
    pub public_url: Arc<str>,
    /// Cancelled when the server stops: whatever waits ends at once.
    pub shutdown: CancellationToken,
}

impl AppState {
    /// Whether people come over TLS, so that cookies may be limited to it.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}
