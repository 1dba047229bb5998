//! The versions of an object: what changed in each, and going back to one.

use super::{stale, text};
use crate::control::apps::require_operator;
use crate::control::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::inventory::ObjectKind;
use crate::store::objects::ObjectVersion;
use crate::wire::inventory::{DiffView, ObjectVersionView, ObjectView};
use similar::TextDiff;

impl Control {
    /// Every version of an object, newest first, each with its difference from the one before.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn object_versions(&self, _actor: &Actor, kind: ObjectKind, name: &str) -> Result<Vec<ObjectVersionView>> {
        let versions = self.store.object_versions(kind, name).await?;
        if versions.is_empty() {
            return Err(ControlError::not_found(kind.as_str(), name));
        }
        let mut views = Vec::with_capacity(versions.len());
        for (index, version) in versions.iter().enumerate() {
            views.push(ObjectVersionView {
                version: version.version,
                revision: version.revision,
                actor: version.actor.clone(),
                at: version.at,
                note: version.note.clone(),
                removed: version.body.is_none(),
                diff: difference(versions.get(index + 1), version)?,
            });
        }
        Ok(views)
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
        let missing = |version: i64| ControlError::not_found("version", &format!("{version} of {kind} {name}"));
        let newest = if let Some(to) = to {
            to
        } else {
            let versions = self.store.object_versions(kind, name).await?;
            let newest = versions.first().ok_or_else(|| ControlError::not_found(kind.as_str(), name))?;
            newest.version
        };
        let from = from.unwrap_or((newest - 1).max(1));
        let before = self
            .store
            .object_version(kind, name, from)
            .await?
            .ok_or_else(|| missing(from))?;
        let after = self
            .store
            .object_version(kind, name, newest)
            .await?
            .ok_or_else(|| missing(newest))?;
        Ok(DiffView {
            from,
            to: newest,
            diff: difference(Some(&before), &after)?,
        })
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
}

fn difference(before: Option<&ObjectVersion>, after: &ObjectVersion) -> Result<String> {
    let read = |version: &ObjectVersion| version.body.as_ref().map(text).transpose();
    let old = before.map(read).transpose()?.flatten().unwrap_or_default();
    let new = read(after)?.unwrap_or_default();
    let from = before.map_or(0, |version| version.version);
    Ok(TextDiff::from_lines(&old, &new)
        .unified_diff()
        .header(&format!("version {from}"), &format!("version {}", after.version))
        .to_string())
}
