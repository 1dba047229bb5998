//! The verbs of the product: authorise, validate, one transaction, start a run. The portal, the API and (through the API)
//! the CLI all come through here, so one validator and one set of rules serves them all.
//!
//! Every verb takes who asks first and answers with the bodies of [`crate::wire`].

pub mod apps;
pub mod error;
pub mod runs;
pub mod stacks;
pub mod users;

use crate::config::Settings;
use crate::providers::Providers;
pub use crate::store::Change;
use crate::store::Store;
pub use error::{ControlError, Result};
use std::sync::Arc;

/// Everything the verbs need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    pub(crate) store: Store,
    pub(crate) settings: Arc<Settings>,
    pub(crate) providers: Providers,
    pub(crate) accounts: Arc<users::Accounts>,
}

impl Control {
    /// The verbs over this store. `settings.server.public_url` is the address that people use: it is in the links that
    /// are made here, so whoever listens on a port picked by the system fills it in first.
    pub fn new(store: Store, settings: Arc<Settings>, providers: Providers) -> Self {
        Self {
            store,
            settings,
            providers,
            accounts: Arc::default(),
        }
    }

    /// Whether the database answers: what `/readyz` says.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn check_ready(&self) -> Result<()> {
        self.store.audit(None, None, 1).await?;
        Ok(())
    }

    /// Wake-ups for pages that are looked at: topics such as `stack:stk_…`, `run:run_…`, `log:run_…/fetch`, `stacks`, `apps`.
    pub fn changes(&self) -> tokio::sync::broadcast::Receiver<Change> {
        self.store.changes()
    }
}
