//! Nodes, datacenters, environments and roles: list, show, save, remove; their history and facts beside this file.
//!
//! Invariant: nothing that exists is changed by someone who has not said which version they edited.

mod apply;
mod facts;
mod find;
mod graph;
mod history;
mod names;

pub use graph::{Loss, Where, declared_revision};

use super::apps::require_operator;
use super::history::{changed_meanwhile, stale};
use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::diagnostic::{Diagnostic, has_errors};
use crate::model::inventory::{Object, ObjectKind};
use crate::recipes::inventory::{File, json_schema, parse};
use crate::store::inventory::{Inventory, Record};
use crate::store::{StoreError, Tx};
use crate::wire::apps::ValidationView;
use crate::wire::inventory::ObjectView;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

impl Control {
    /// All objects of a kind by name, as they are or as they were at a revision.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_objects(
        &self,
        _actor: &Actor,
        kind: ObjectKind,
        text: Option<&str>,
        at: Option<i64>,
    ) -> Result<Vec<ObjectView>> {
        let inventory = self.inventory_as_of(at).await?;
        let wanted = text.map(str::to_lowercase).filter(|text| !text.trim().is_empty());
        let all = views(&inventory, kind);
        Ok(all
            .into_iter()
            .filter(|view| {
                let Some(wanted) = &wanted else { return true };
                let meta = &view.body["metadata"];
                let spec = &view.body["spec"];
                [
                    &meta["name"],
                    &meta["title"],
                    &meta["labels"],
                    &spec["datacenter"],
                    &spec["environment"],
                    &spec["roles"],
                    &spec["apps"],
                ]
                .into_iter()
                .any(|value| value.to_string().to_lowercase().contains(wanted.trim()))
            })
            .collect())
    }

    /// One object, as it is or as it was at a revision.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_object(&self, _actor: &Actor, kind: ObjectKind, name: &str, at: Option<i64>) -> Result<ObjectView> {
        let missing = || ControlError::not_found(kind.as_str(), name);
        let Some(at) = at else {
            return view(&self.store.inventory(), kind, name).ok_or_else(missing);
        };
        let then = self.store.object_at(kind, name, at).await?.ok_or_else(missing)?;
        let body = then.body.ok_or_else(missing)?;
        Ok(ObjectView {
            kind: kind.as_str().to_owned(),
            name: name.to_owned(),
            version: then.version,
            updated_at: then.at,
            body: value(&body)?,
        })
    }

    /// Validates an object without saving it.
    ///
    /// # Errors
    /// None but the store's; findings are the answer.
    pub async fn validate_object(&self, _actor: &Actor, file: &str, text: &[u8]) -> Result<ValidationView> {
        let (_, diagnostics) = self.examine_object(file, text);
        Ok(ValidationView {
            ok: !has_errors(&diagnostics),
            diagnostics,
        })
    }

    /// The JSON Schema of a kind, for editors.
    pub fn object_schema(&self, kind: ObjectKind) -> Value {
        json_schema(kind)
    }

    /// Saves an object of this kind, and of this name where one is given. `if_match` is the version it was edited from:
    /// required where it exists, absent where it is new.
    ///
    /// # Errors
    /// `object-invalid` with findings; `changed-meanwhile` with the difference; `not-allowed` below operator.
    pub async fn save_object(
        &self,
        actor: &Actor,
        kind: ObjectKind,
        name: Option<&str>,
        file: &str,
        text: &[u8],
        if_match: Option<i64>,
    ) -> Result<ObjectView> {
        require_operator(actor, "the inventory")?;
        let (object, diagnostics) = self.examine_object(file, text);
        let object = object
            .filter(|_| !has_errors(&diagnostics))
            .ok_or_else(|| invalid(diagnostics))?;
        if object.kind() != kind {
            let why = format!("the document describes a {}, not a {kind}", object.kind());
            return Err(ControlError::field("kind", why));
        }
        if name.is_some_and(|name| name != object.name()) {
            let why = format!("the document's is `{}`; a {kind} cannot be renamed", object.name());
            return Err(ControlError::field("metadata.name", why));
        }
        let mut tx = self.store.write(actor, &format!("{kind}.save"), object.name()).await?;
        let present = tx.object_version(kind, object.name()).await?;
        if let Some(why) = stale(present, if_match) {
            drop(tx);
            return Err(self.changed_object(&object, &why).await?);
        }
        let version = present.map_or(1, |(version, _)| version + 1);
        self.put(tx, &object, version, actor, "").await?;
        self.show_object(actor, kind, object.name(), None).await
    }

    /// Takes an object out of the inventory; its versions stay. Refused while others name it.
    ///
    /// # Errors
    /// `not-found`, `conflict`, `changed-meanwhile`, `not-allowed`.
    pub async fn remove_object(&self, actor: &Actor, kind: ObjectKind, name: &str, if_match: Option<i64>) -> Result<()> {
        require_operator(actor, "the inventory")?;
        let inventory = self.store.inventory();
        if view(&inventory, kind, name).is_none() {
            return Err(ControlError::not_found(kind.as_str(), name));
        }
        if let Some(user) = names::user_of(&inventory, kind, name) {
            let mut error = ControlError::new("conflict", format!("{name} is in use"));
            error.fault.why = format!("{user} names it");
            return Err(error);
        }
        let mut tx = self.store.write(actor, &format!("{kind}.remove"), name).await?;
        let (version, removed) = tx
            .object_version(kind, name)
            .await?
            .ok_or_else(|| ControlError::not_found(kind.as_str(), name))?;
        if removed {
            return Err(ControlError::not_found(kind.as_str(), name));
        }
        if if_match.is_some_and(|edited| edited != version) {
            let mut error = ControlError::new("changed-meanwhile", format!("{name} was not removed"));
            error.fault.why = format!("you looked at version {}; now it is {version}", if_match.unwrap_or_default());
            error.changed = Some((version, String::new()));
            return Err(error);
        }
        tx.remove_object(kind, name, version + 1, &actor.to_string()).await?;
        Ok(tx.commit().await?)
    }

    async fn put(&self, mut tx: Tx, object: &Object, version: i64, actor: &Actor, note: &str) -> Result<()> {
        tx.detail(if note.is_empty() {
            format!("version {version}")
        } else {
            format!("version {version}, {note}")
        });
        match tx.put_object(object, version, &actor.to_string(), note).await {
            Ok(()) => Ok(tx.commit().await?),
            Err(StoreError::Taken(_)) => {
                drop(tx);
                Err(self.changed_object(object, "someone saved it in the same moment").await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn examine_object(&self, file: &str, text: &[u8]) -> (Option<Object>, Vec<Diagnostic>) {
        let file = File {
            name: file.to_owned(),
            content: text.to_vec(),
        };
        let (parsed, diagnostics) = parse(&[file], &self.known_names());
        (parsed.into_iter().next().map(|parsed| parsed.object), diagnostics)
    }

    async fn changed_object(&self, mine: &Object, why: &str) -> Result<ControlError> {
        let versions = match self.object_history(mine.kind(), mine.name()).await {
            Ok(versions) => versions,
            Err(error) if error.fault.code == "not-found" => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(changed_meanwhile(mine.name(), versions.first(), &text(mine)?, why))
    }

    /// The inventory as it is, or as it was at a revision.
    pub(in crate::control) async fn inventory_as_of(&self, at: Option<i64>) -> Result<Arc<Inventory>> {
        Ok(match at {
            Some(revision) => Arc::new(self.store.inventory_at(revision).await?),
            None => self.store.inventory(),
        })
    }
}

fn invalid(diagnostics: Vec<Diagnostic>) -> ControlError {
    let mut error = ControlError::new("object-invalid", "The inventory's files have errors");
    error.fault.why = diagnostics.first().map(|d| d.message.clone()).unwrap_or_default();
    error.diagnostics = diagnostics;
    error
}

fn value(object: &Object) -> Result<Value> {
    object.to_value().map_err(|e| {
        StoreError::Corrupt {
            what: "object",
            why: e.to_string(),
        }
        .into()
    })
}

// An object as people read it, for differences.
fn text(object: &Object) -> Result<String> {
    Ok(format!("{:#}\n", value(object)?))
}

fn view(inventory: &Inventory, kind: ObjectKind, name: &str) -> Option<ObjectView> {
    fn found<K: Ord + std::str::FromStr, T: Serialize>(
        map: &std::collections::BTreeMap<K, Arc<Record<T>>>,
        kind: ObjectKind,
        name: &str,
    ) -> Option<ObjectView> {
        map.get(&name.parse().ok()?).map(|record| of(record, kind, name))
    }
    match kind {
        ObjectKind::Node => found(&inventory.nodes, kind, name),
        ObjectKind::Datacenter => found(&inventory.datacenters, kind, name),
        ObjectKind::Environment => found(&inventory.environments, kind, name),
        ObjectKind::Role => found(&inventory.roles, kind, name),
    }
}

fn views(inventory: &Inventory, kind: ObjectKind) -> Vec<ObjectView> {
    fn all<K: std::fmt::Display, T: Serialize>(
        map: &std::collections::BTreeMap<K, Arc<Record<T>>>,
        kind: ObjectKind,
    ) -> Vec<ObjectView> {
        map.iter().map(|(name, record)| of(record, kind, &name.to_string())).collect()
    }
    match kind {
        ObjectKind::Node => all(&inventory.nodes, kind),
        ObjectKind::Datacenter => all(&inventory.datacenters, kind),
        ObjectKind::Environment => all(&inventory.environments, kind),
        ObjectKind::Role => all(&inventory.roles, kind),
    }
}

fn of<T: Serialize>(record: &Record<T>, kind: ObjectKind, name: &str) -> ObjectView {
    ObjectView {
        kind: kind.as_str().to_owned(),
        name: name.to_owned(),
        version: record.version,
        updated_at: record.updated_at,
        body: serde_json::to_value(&record.body).unwrap_or_default(),
    }
}
