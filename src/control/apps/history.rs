//! The versions of an app: what changed in each, and going back to one.

use super::{Examined, require_operator};
use crate::control::history::{Version, changed_meanwhile, diff_of, stale, views};
use crate::control::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::name::AppName;
use crate::wire::apps::AppView;
use crate::wire::inventory::{DiffView, ObjectVersionView};

impl Control {
    /// Every accepted version of an app's descriptor, newest first, each with its difference from the one before; also of an
    /// app that was removed, which is a version too.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn app_versions(&self, _actor: &Actor, name: &str) -> Result<Vec<ObjectVersionView>> {
        Ok(views(&self.app_history(name).await?))
    }

    /// The difference between two versions of an app's descriptor; from the one before the present one to the present one
    /// where nothing is said.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn app_diff(&self, _actor: &Actor, name: &str, from: Option<i64>, to: Option<i64>) -> Result<DiffView> {
        diff_of(&self.app_history(name).await?, from, to, &format!("app {name}"))
    }

    /// Makes an old version of a descriptor the present one: a new version with its text. Also brings back an app that was
    /// removed. `if_match` is the present version, where there is one.
    ///
    /// # Errors
    /// `not-found`; `descriptor-invalid` where it would not be accepted today; `changed-meanwhile`; `not-allowed`.
    pub async fn restore_app(&self, actor: &Actor, name: &str, version: i64, if_match: Option<i64>) -> Result<AppView> {
        require_operator(actor, "apps")?;
        let versions = self.app_history(name).await?;
        let old = versions.iter().find(|old| old.number == version);
        let text = old
            .and_then(|old| old.text.clone())
            .ok_or_else(|| ControlError::not_found("version", &format!("{version} of app {name}")))?;
        // What it names may be gone since, and rules may have changed.
        let file = format!("version {version} of {name}.json");
        let Examined { descriptor, source } = self.accept(&file, text.as_bytes())?;
        let mut tx = self.store.write(actor, "app.restore", name).await?;
        let present = tx.app_version(descriptor.name()).await?;
        let is_removed = present.is_none_or(|(_, removed)| removed);
        if let Some(why) = stale(present, if_match.filter(|_| !is_removed)) {
            drop(tx);
            return self.app_changed(descriptor.name(), &source, &why).await;
        }
        let next = present.map_or(1, |(present, _)| present + 1);
        let note = format!("restored from version {version}");
        self.put_app(tx, &Examined { descriptor, source }, next, actor, &note).await?;
        self.show_app(actor, name, None).await
    }

    async fn app_history(&self, name: &str) -> Result<Vec<Version>> {
        let missing = || ControlError::not_found("app", name);
        let name: AppName = name.parse().map_err(|_| missing())?;
        let versions = self.store.app_versions(&name).await?;
        if versions.is_empty() {
            return Err(missing());
        }
        let version = |v: crate::store::apps::AppVersion| Version {
            number: v.version,
            revision: v.revision,
            text: v.source,
            actor: v.actor,
            note: v.note,
            at: v.at,
        };
        Ok(versions.into_iter().map(version).collect())
    }

    /// The refusal of a change to an app that someone else changed first.
    pub(super) async fn app_changed<T>(&self, name: &AppName, mine: &str, why: &str) -> Result<T> {
        let versions = match self.app_history(name.as_str()).await {
            Ok(versions) => versions,
            Err(error) if error.fault.code == "not-found" => Vec::new(),
            Err(error) => return Err(error),
        };
        Err(changed_meanwhile(name.as_str(), versions.first(), mine, why))
    }
}
