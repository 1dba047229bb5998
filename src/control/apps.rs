//! Apps: register, validate, change, list, and the revisions of their repositories.

use super::{Control, Result};
use crate::model::actor::Actor;
use crate::wire::apps::{AppSummary, AppView, RevisionView, ValidationView, VersionView};

impl Control {
    /// All apps by name, filtered by a text that stands in name, title, owners or tags.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_apps(&self, _actor: &Actor, _text: Option<&str>) -> Result<Vec<AppSummary>> {
        unimplemented!()
    }

    /// One app.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_app(&self, _actor: &Actor, _name: &str) -> Result<AppView> {
        unimplemented!()
    }

    /// Validates a descriptor without saving it: its text, its recipes and its place among the other apps.
    ///
    /// # Errors
    /// None but the store's; findings are the answer.
    pub async fn validate_app(&self, _actor: &Actor, _file: &str, _text: &[u8]) -> Result<ValidationView> {
        unimplemented!()
    }

    /// Registers an app, or saves a new version of it. `if_match` is the version it was edited from: required for an app
    /// that exists, absent for a new one. `name` must be the descriptor's where given.
    ///
    /// # Errors
    /// `descriptor-invalid` with findings; `changed-meanwhile` with the difference; `conflict`; `not-allowed` below operator.
    pub async fn save_app(
        &self,
        _actor: &Actor,
        _name: Option<&str>,
        _file: &str,
        _text: &[u8],
        _if_match: Option<i64>,
    ) -> Result<AppView> {
        unimplemented!()
    }

    /// Takes an app out of the inventory. Its versions stay. Refused while another app needs it or a stack runs it.
    ///
    /// # Errors
    /// `not-found`, `conflict`, `not-allowed`.
    pub async fn remove_app(&self, _actor: &Actor, _name: &str) -> Result<()> {
        unimplemented!()
    }

    /// Every accepted version of an app's descriptor, newest first, each with its difference from the one before.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn app_versions(&self, _actor: &Actor, _name: &str) -> Result<Vec<VersionView>> {
        unimplemented!()
    }

    /// Branches, tags and recent commits of an app's repository, newest first. Reads from the mirror; refreshes it first
    /// where `fresh`.
    ///
    /// # Errors
    /// `not-found`, `repository-unreachable`.
    pub async fn app_revisions(&self, _actor: &Actor, _name: &str, _fresh: bool) -> Result<Vec<RevisionView>> {
        unimplemented!()
    }
}
