//! What every handler has at hand.

use crate::control::Control;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Shared by all handlers; as cheap to clone as can be, for each layer takes its own with each request.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// What is shared.
#[derive(Debug)]
pub struct Shared {
    /// The verbs of the product.
    pub control: Control,
    /// The address people use, such as `https://greenroom.example.org`, without a slash at the end.
    pub public_url: String,
    /// Cancelled when the server stops: whatever waits ends at once.
    pub shutdown: CancellationToken,
}

impl std::ops::Deref for AppState {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// Over these verbs, at this address, until `shutdown`.
    pub fn new(control: Control, public_url: &str, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            control,
            public_url: public_url.to_owned(),
            shutdown,
        }))
    }

    /// Whether people come over TLS, so that cookies may be limited to it.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }
}
