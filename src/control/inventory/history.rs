//! The versions of an object: what changed in each, and going back to one.

use super::text;
use crate::control::apps::require_operator;
use crate::control::history::{Version, diff_of, stale, views};
use crate::control::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::inventory::ObjectKind;
use crate::store::objects::ObjectVersion;
use crate::wire::inventory::{DiffView, ObjectVersionView, ObjectView};

impl Control {
    /// Every version of an object, newest first, each with its difference from the one before.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn object_versions(&self, _actor: &Actor, kind: ObjectKind, name: &str) -> Result<Vec<ObjectVersionView>> {
        Ok(views(&self.object_history(kind, name).await?))
    }

    /// The difference between two versions of an object; from the one before the present one to the present one where
    /// nothing is said.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn object_diff(
        &self,
        _actor: &Actor,
        kind: ObjectKind,
        name: &str,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<DiffView> {
        let versions = self.object_history(kind, name).await?;
        diff_of(&versions, from, to, &format!("{kind} {name}"))
    }

    /// Makes an old version the present one: a new version with its content. Also brings back what was removed.
    ///
    /// # Errors
    /// `not-found`, `object-invalid` where it names what is no more, `changed-meanwhile`, `not-allowed`.
    pub async fn restore_object(
        &self,
        actor: &Actor,
        kind: ObjectKind,
        name: &str,
        version: i64,
        if_match: Option<i64>,
    ) -> Result<ObjectView> {
        require_operator(actor, "the inventory")?;
        let old = self.store.object_version(kind, name, version).await?;
        let object = old
            .and_then(|old| old.body)
            .ok_or_else(|| ControlError::not_found("version", &format!("{version} of {kind} {name}")))?;
        // What it names may be gone since.
        let (_, diagnostics) = self.examine_object(&format!("version {version} of {name}.json"), text(&object)?.as_bytes());
        if crate::model::diagnostic::has_errors(&diagnostics) {
            return Err(super::invalid(diagnostics));
        }
        let mut tx = self.store.write(actor, &format!("{kind}.restore"), name).await?;
        let present = tx.object_version(kind, name).await?;
        let is_removed = present.is_none_or(|(_, removed)| removed);
        if let Some(why) = stale(present, if_match.filter(|_| !is_removed)) {
            drop(tx);
            return Err(self.changed_object(&object, &why).await?);
        }
        let next = present.map_or(1, |(version, _)| version + 1);
        self.put(tx, &object, next, actor, &format!("restored from version {version}"))
            .await?;
        self.show_object(actor, kind, name, None).await
    }

    pub(super) async fn object_history(&self, kind: ObjectKind, name: &str) -> Result<Vec<Version>> {
        let versions = self.store.object_versions(kind, name).await?;
        if versions.is_empty() {
            return Err(ControlError::not_found(kind.as_str(), name));
        }
        let version = |v: ObjectVersion| {
            Ok(Version {
                number: v.version,
                revision: v.revision,
                text: v.body.as_ref().map(text).transpose()?,
                actor: v.actor,
                note: v.note,
                at: v.at,
            })
        };
        versions.into_iter().map(version).collect()
    }
}
