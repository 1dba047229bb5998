//! Apps: register, validate, change, list, and the revisions of their repositories; finding them, their history and schedules beside this file.

mod find;
mod history;
mod schedules;

pub(in crate::control) use find::is_query;

use super::history::stale;
use super::{Control, ControlError, Result};
use crate::model::actor::{Actor, Role};
use crate::model::descriptor::Descriptor;
use crate::model::diagnostic::{Diagnostic, has_errors};
use crate::model::name::AppName;
use crate::recipes::descriptor::{about_name, check_graph, dependency_order, json_schema, parse};
use crate::store::inventory::{AppRecord, Inventory};
use crate::store::stacks::StackQuery;
use crate::store::{StoreError, Tx};
use crate::wire::apps::{AppSummary, AppView, DatabaseView, RevisionView, ValidationView};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Control {
    /// All apps by name, as they are or as they were at a revision, filtered by words that all stand in name, title,
    /// description, owners or tags.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_apps(&self, _actor: &Actor, text: Option<&str>, at: Option<i64>) -> Result<Vec<AppSummary>> {
        let wanted = text.unwrap_or_default().to_lowercase();
        let inventory = self.inventory_as_of(at).await?;
        let apps = inventory.apps.values();
        let found = apps.filter(|record| wanted.split_whitespace().all(|word| mentions(&record.descriptor, word)));
        Ok(found.map(|record| summary(record)).collect())
    }

    /// One app, as it is or as it was at a revision.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_app(&self, _actor: &Actor, name: &str, at: Option<i64>) -> Result<AppView> {
        let missing = || ControlError::not_found("app", name);
        let name: AppName = name.parse().map_err(|_| missing())?;
        let inventory = self.inventory_as_of(at).await?;
        let record = inventory.app(&name).cloned().ok_or_else(missing)?;
        let versions = self.store.app_versions(&name).await?;
        let source = versions
            .into_iter()
            .find(|v| v.version == record.version)
            .and_then(|v| v.source)
            .unwrap_or_default();
        let mut needs = dependency_order(std::slice::from_ref(&name), &descriptors(&inventory)).unwrap_or_default();
        needs.retain(|other| other != &name);
        let needed_by = inventory
            .apps
            .values()
            .filter(|other| other.descriptor.spec.depends_on.iter().any(|d| d.app == name))
            .map(|other| other.descriptor.name().as_str().to_owned())
            .collect();
        Ok(AppView {
            summary: summary(&record),
            needs: needs.into_iter().map(String::from).collect(),
            needed_by,
            descriptor: source,
        })
    }

    /// Validates a descriptor without saving it: its text, its recipes and its place among the other apps.
    ///
    /// # Errors
    /// None but the store's; findings are the answer.
    pub async fn validate_app(&self, _actor: &Actor, file: &str, text: &[u8]) -> Result<ValidationView> {
        let (_, diagnostics) = self.examine(file, text);
        Ok(ValidationView {
            ok: !has_errors(&diagnostics),
            diagnostics,
        })
    }

    /// Validates a descriptor that is being typed: besides all else its name, which stays what it was, and which no other app
    /// has. `name` is the app that is edited; none for a new one.
    ///
    /// # Errors
    /// None but the store's; findings are the answer.
    pub async fn validate_draft(&self, _actor: &Actor, name: Option<&str>, file: &str, text: &[u8]) -> Result<ValidationView> {
        let (descriptor, mut diagnostics) = self.examine(file, text);
        if let Some(descriptor) = &descriptor {
            let typed = descriptor.name();
            let finding = match name {
                Some(name) if name != typed.as_str() => {
                    let message = format!("an app cannot be renamed: this one is `{name}`");
                    about_name(file, text, message, "put its name back, or add a new app under the new one")
                }
                None if self.store.inventory().app(typed).is_some() => {
                    let message = format!("there is an app `{typed}` already");
                    about_name(file, text, message, "edit that one, or choose another name")
                }
                _ => None,
            };
            diagnostics.extend(finding);
        }
        Ok(ValidationView {
            ok: !has_errors(&diagnostics),
            diagnostics,
        })
    }

    /// The JSON Schema of descriptors, for editors.
    pub fn app_schema(&self) -> serde_json::Value {
        json_schema()
    }

    /// Registers an app, or saves a new version of it. `if_match` is the version it was edited from: required for an app
    /// that exists, absent for a new one. `name` must be the descriptor's where given.
    ///
    /// # Errors
    /// `descriptor-invalid` with findings; `changed-meanwhile` with the difference; `conflict`; `not-allowed` below operator.
    pub async fn save_app(
        &self,
        actor: &Actor,
        name: Option<&str>,
        file: &str,
        text: &[u8],
        if_match: Option<i64>,
    ) -> Result<AppView> {
        require_operator(actor, "apps")?;
        let examined = self.accept(file, text)?;
        let descriptor = &examined.descriptor;
        if name.is_some_and(|name| name != descriptor.name().as_str()) {
            let why = format!("the descriptor's is `{}`; an app cannot be renamed", descriptor.name());
            return Err(ControlError::field("metadata.name", why));
        }
        let mut tx = self.store.write(actor, "app.save", descriptor.name().as_str()).await?;
        let present = tx.app_version(descriptor.name()).await?;
        if let Some(why) = stale(present, if_match) {
            drop(tx);
            return self.app_changed(descriptor.name(), &examined.source, &why).await;
        }
        let version = present.map_or(1, |(version, _)| version + 1);
        self.put_app(tx, &examined, version, actor, "").await?;
        self.show_app(actor, descriptor.name().as_str(), None).await
    }

    /// Takes an app out of the inventory. Its versions stay. Refused while another app needs it or a stack runs it.
    ///
    /// # Errors
    /// `not-found`, `conflict`, `changed-meanwhile`, `not-allowed`.
    pub async fn remove_app(&self, actor: &Actor, name: &str, if_match: Option<i64>) -> Result<()> {
        require_operator(actor, "apps")?;
        let (name, _) = self.find_app(name)?;
        let view = self.show_app(actor, name.as_str(), None).await?;
        let in_use = |why: String| {
            let mut error = ControlError::new("conflict", format!("{name} is in use"));
            error.fault.why = why;
            error
        };
        if !view.needed_by.is_empty() {
            return Err(in_use(format!("{} need it", view.needed_by.join(", "))));
        }
        let (stacks, _) = self
            .store
            .stacks(&StackQuery {
                limit: 1000,
                ..StackQuery::default()
            })
            .await?;
        if let Some(stack) = stacks.iter().find(|s| s.spec.apps.iter().any(|a| a.app == name)) {
            return Err(in_use(format!("the stack {} runs it", stack.name)));
        }
        let mut tx = self.store.write(actor, "app.remove", name.as_str()).await?;
        let Some((version, false)) = tx.app_version(&name).await? else {
            return Err(ControlError::not_found("app", name.as_str()));
        };
        if if_match.is_some() && stale(Some((version, false)), if_match).is_some() {
            let mut error = ControlError::new("changed-meanwhile", format!("{name} was not removed"));
            error.fault.why = format!("you looked at version {}; now it is {version}", if_match.unwrap_or_default());
            error.changed = Some((version, String::new()));
            return Err(error);
        }
        tx.remove_app(&name, version + 1, &actor.to_string()).await?;
        Ok(tx.commit().await?)
    }

    /// Branches, tags and recent commits of an app's repository, newest first. Reads from the mirror; refreshes it first
    /// where `fresh`.
    ///
    /// # Errors
    /// `not-found`, `repository-unreachable`.
    pub async fn app_revisions(&self, _actor: &Actor, name: &str, fresh: bool) -> Result<Vec<RevisionView>> {
        let (_, record) = self.find_app(name)?;
        let repository = &record.descriptor.spec.repository;
        self.mirrors.refresh(repository, fresh).await?;
        let found = self.mirrors.revisions(repository).await?;
        Ok(found
            .into_iter()
            .map(|r| RevisionView {
                name: r.name,
                kind: r.kind.to_owned(),
                commit: r.commit.into(),
                at: r.at,
                subject: r.subject,
                author: r.author,
            })
            .collect())
    }

    fn find_app(&self, name: &str) -> Result<(AppName, Arc<AppRecord>)> {
        let parsed: AppName = name.parse().map_err(|_| ControlError::not_found("app", name))?;
        let record = self.store.inventory().app(&parsed).cloned();
        record
            .map(|record| (parsed, record))
            .ok_or_else(|| ControlError::not_found("app", name))
    }

    // Everything that can be found before saving: the text, the recipes it names, its place among the others.
    fn examine(&self, file: &str, text: &[u8]) -> (Option<Descriptor>, Vec<Diagnostic>) {
        let (descriptor, mut diagnostics) = parse(file, text);
        if let Some(descriptor) = &descriptor {
            let inventory = self.store.inventory();
            diagnostics.extend(check_graph(
                file,
                text,
                descriptor,
                &descriptors(&inventory),
                self.bundles.own(),
            ));
        }
        (descriptor, diagnostics)
    }

    // What would be accepted; refused with all findings where it would not.
    fn accept(&self, file: &str, text: &[u8]) -> Result<Examined> {
        let (descriptor, diagnostics) = self.examine(file, text);
        match descriptor {
            Some(descriptor) if !has_errors(&diagnostics) => Ok(Examined {
                descriptor,
                source: String::from_utf8_lossy(text).into_owned(),
            }),
            _ => {
                let mut error = ControlError::new("descriptor-invalid", "The descriptor has errors");
                error.fault.why = diagnostics.first().map(|d| d.message.clone()).unwrap_or_default();
                error.diagnostics = diagnostics;
                Err(error)
            }
        }
    }

    async fn put_app(&self, mut tx: Tx, examined: &Examined, version: i64, actor: &Actor, note: &str) -> Result<()> {
        let Examined { descriptor, source } = examined;
        tx.detail(if note.is_empty() {
            format!("version {version}")
        } else {
            format!("version {version}, {note}")
        });
        match tx.save_app(descriptor, source, version, &actor.to_string(), note).await {
            Ok(()) => Ok(tx.commit().await?),
            Err(StoreError::Taken(_)) => {
                drop(tx);
                let why = "someone saved it in the same moment";
                self.app_changed(descriptor.name(), source, why).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

// A descriptor that was accepted, and its text.
struct Examined {
    descriptor: Descriptor,
    source: String,
}

/// Refuses whoever may not change these.
pub(super) fn require_operator(actor: &Actor, what: &str) -> Result<()> {
    if actor.role() >= Some(Role::Operator) {
        Ok(())
    } else {
        Err(ControlError::new(
            "not-allowed",
            format!("Changing {what} takes the role operator"),
        ))
    }
}

fn mentions(descriptor: &Descriptor, word: &str) -> bool {
    let texts = [
        descriptor.name().as_str(),
        descriptor.title(),
        &descriptor.spec.owners.dev,
        &descriptor.spec.owners.ops,
        descriptor.metadata.description.as_deref().unwrap_or(""),
    ];
    let tags = descriptor.metadata.tags.iter().map(String::as_str);
    texts.into_iter().chain(tags).any(|text| text.to_lowercase().contains(word))
}

fn descriptors(inventory: &Inventory) -> BTreeMap<AppName, &Descriptor> {
    inventory
        .apps
        .iter()
        .map(|(name, record)| (name.clone(), &record.descriptor))
        .collect()
}

fn summary(record: &AppRecord) -> AppSummary {
    let d = &record.descriptor;
    AppSummary {
        name: d.name().as_str().to_owned(),
        title: d.title().to_owned(),
        description: d.metadata.description.clone().unwrap_or_default(),
        kind: d.spec.kind.clone(),
        dev_owner: d.spec.owners.dev.clone(),
        ops_owner: d.spec.owners.ops.clone(),
        depends_on: d.spec.depends_on.iter().map(|dep| dep.app.as_str().to_owned()).collect(),
        optional: d
            .spec
            .depends_on
            .iter()
            .filter(|dep| dep.optional)
            .map(|dep| dep.app.as_str().to_owned())
            .collect(),
        databases: d
            .spec
            .resources
            .iter()
            .map(|(name, resource)| {
                let fixture = resource.data.fixture.is_some();
                let starts_with_fixture = fixture && resource.data.default.as_deref() != Some("empty");
                DatabaseView {
                    key: format!("{}/{name}", d.name()),
                    engine: resource.kind.clone(),
                    choices: if fixture {
                        vec!["fixture".into(), "empty".into()]
                    } else {
                        vec!["empty".into()]
                    },
                    default: if starts_with_fixture { "fixture" } else { "empty" }.into(),
                }
            })
            .collect(),
        public: d.spec.ports.values().any(|port| port.public),
        default_ref: d.spec.default_ref.clone(),
        version: record.version,
        updated_at: record.updated_at,
    }
}
