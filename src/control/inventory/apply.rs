//! Applying files: everything that is wrong with them in one pass, the difference first, and all or nothing.

use super::{invalid, text, value, view, views};
use crate::control::apps::require_operator;
use crate::control::configurations::{put, put_app, take};
use crate::control::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::descriptor::Descriptor;
use crate::model::diagnostic::{Diagnostic, Severity, has_errors};
use crate::model::inventory::{Object, ObjectKind};
use crate::model::name::AppName;
use crate::recipes::descriptor;
use crate::recipes::inventory::{File, parse};
use crate::store::inventory::Inventory;
use crate::store::{StoreError, Tx};
use crate::wire::inventory::{ApplyFile, ApplyRequest, ApplyView, ChangeView};
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};

const MAX_FILES: usize = 20_000;

// What one change does, and to what.
enum Change {
    App(Box<Descriptor>, String),
    Object(Box<Object>),
    Remove(ObjectKind, String),
}

#[derive(Default)]
struct Planned {
    view: ApplyView,
    changes: Vec<Change>,
}

impl Control {
    /// Plans or applies files that belong together, in one transaction.
    ///
    /// # Errors
    /// `object-invalid` with every finding; `changed-meanwhile` where something changed while it was planned; `not-allowed`.
    pub async fn apply_files(&self, actor: &Actor, request: &ApplyRequest) -> Result<ApplyView> {
        if !request.plan {
            require_operator(actor, "the inventory")?;
        }
        if request.files.len() > MAX_FILES {
            return Err(ControlError::field("files", format!("give at most {MAX_FILES}")));
        }
        let mut planned = self.plan_files(request).await?;
        if request.plan && request.fleet {
            planned.view.fleet = Some(self.plan_inventory(planned.inventory(&self.store.inventory())).await?);
        }
        if request.plan || planned.changes.is_empty() {
            return Ok(planned.view);
        }
        let seen = self.store.inventory();
        let mut tx = self.store.write(actor, "inventory.apply", "inventory").await?;
        tx.detail(format!(
            "{} changes out of {} files",
            planned.changes.len(),
            request.files.len()
        ));
        for change in &planned.changes {
            match apply(&mut tx, change, &seen, actor).await {
                Ok(()) => {}
                Err(StoreError::Taken(what)) => {
                    let mut error = ControlError::new("changed-meanwhile", "Nothing was applied");
                    error.fault.why = format!("someone changed the inventory meanwhile: {what}");
                    return Err(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        tx.commit().await?;
        let mut view = planned.view;
        view.applied = true;
        Ok(view)
    }

    async fn plan_files(&self, request: &ApplyRequest) -> Result<Planned> {
        let (apps, objects): (Vec<&ApplyFile>, Vec<&ApplyFile>) = request.files.iter().partition(|file| is_app(file));
        let mut planned = Planned::default();
        let mut diagnostics = Vec::new();
        let descriptors = self.read_apps(&apps, &mut diagnostics);
        let mut known = self.known_names();
        known
            .apps
            .extend(descriptors.iter().map(|(descriptor, _)| descriptor.name().to_string()));
        let files: Vec<File> = objects
            .iter()
            .map(|file| File {
                name: file.name.clone(),
                content: file.content.clone().into_bytes(),
            })
            .collect();
        let (parsed, found) = parse(&files, &known);
        diagnostics.extend(found);
        if has_errors(&diagnostics) {
            diagnostics.retain(|d| d.severity == Severity::Error);
            return Err(invalid(diagnostics));
        }
        planned.view.warnings = diagnostics;
        for (descriptor, file) in descriptors {
            self.plan_app(&mut planned, descriptor, file).await?;
        }
        let inventory = self.store.inventory();
        let mut described: BTreeSet<(ObjectKind, String)> = BTreeSet::new();
        let mut parsed = parsed;
        parsed.sort_by_key(|one| ObjectKind::ALL.iter().position(|kind| *kind == one.object.kind()));
        for one in parsed {
            let (kind, name) = (one.object.kind(), one.object.name().to_owned());
            described.insert((kind, name.clone()));
            let present = view(&inventory, kind, &name);
            let before = present.as_ref().map_or_else(String::new, |view| format!("{:#}\n", view.body));
            if present.is_some_and(|view| value(&one.object).is_ok_and(|mine| mine == view.body)) {
                planned.view.unchanged += 1;
                continue;
            }
            let action = if before.is_empty() { "create" } else { "change" };
            planned.add(action, kind.as_str(), &name, &one.file, &before, &text(&one.object)?);
            planned.changes.push(Change::Object(Box::new(one.object)));
        }
        if request.prune {
            // Whoever names others goes before them.
            for kind in ObjectKind::ALL.into_iter().rev() {
                for gone in views(&inventory, kind) {
                    if !described.contains(&(kind, gone.name.clone())) {
                        planned.add("remove", kind.as_str(), &gone.name, "", &format!("{:#}\n", gone.body), "");
                        planned.changes.push(Change::Remove(kind, gone.name));
                    }
                }
            }
            check_left(&planned, &described)?;
        }
        Ok(planned)
    }

    fn read_apps(&self, files: &[&ApplyFile], diagnostics: &mut Vec<Diagnostic>) -> Vec<(Descriptor, ApplyFile)> {
        let mut read = Vec::new();
        for file in files {
            let (descriptor, found) = descriptor::parse(&file.name, file.content.as_bytes());
            diagnostics.extend(found);
            read.extend(descriptor.map(|descriptor| (descriptor, (*file).clone())));
        }
        let inventory = self.store.inventory();
        let mut all: BTreeMap<AppName, &Descriptor> = inventory
            .apps
            .iter()
            .map(|(name, record)| (name.clone(), &record.descriptor))
            .collect();
        all.extend(read.iter().map(|(descriptor, _)| (descriptor.name().clone(), descriptor)));
        for (descriptor, file) in &read {
            let bytes = file.content.as_bytes();
            diagnostics.extend(descriptor::check_graph(
                &file.name,
                bytes,
                descriptor,
                &all,
                self.bundles.own(),
            ));
        }
        read
    }

    async fn plan_app(&self, planned: &mut Planned, descriptor: Descriptor, file: ApplyFile) -> Result<()> {
        let inventory = self.store.inventory();
        let before = match inventory.app(descriptor.name()) {
            Some(record) if record.descriptor == descriptor => {
                planned.view.unchanged += 1;
                return Ok(());
            }
            Some(_) => {
                let versions = self.store.app_versions(descriptor.name()).await?;
                versions
                    .into_iter()
                    .next()
                    .and_then(|version| version.source)
                    .unwrap_or_default()
            }
            None => String::new(),
        };
        let action = if before.is_empty() { "create" } else { "change" };
        planned.add(action, "app", descriptor.name().as_str(), &file.name, &before, &file.content);
        planned.changes.push(Change::App(Box::new(descriptor), file.content));
        Ok(())
    }
}

impl Planned {
    // The inventory as it would be.
    fn inventory(&self, present: &Inventory) -> Inventory {
        let mut wanted = present.clone();
        for change in &self.changes {
            match change {
                Change::App(descriptor, _) => put_app(&mut wanted, (**descriptor).clone()),
                Change::Object(object) => put(&mut wanted, (**object).clone()),
                Change::Remove(kind, name) => take(&mut wanted, *kind, name),
            }
        }
        wanted
    }

    fn add(&mut self, action: &str, kind: &str, name: &str, file: &str, before: &str, after: &str) {
        let diff = TextDiff::from_lines(before, after)
            .unified_diff()
            .header("what is saved now", if file.is_empty() { "nothing" } else { file })
            .to_string();
        self.view.changes.push(ChangeView {
            action: action.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            file: file.to_owned(),
            diff,
        });
    }
}

// What stays must not name what goes.
fn check_left(planned: &Planned, described: &BTreeSet<(ObjectKind, String)>) -> Result<()> {
    for change in &planned.changes {
        let Change::Object(object) = change else { continue };
        let gone = |kind: ObjectKind, name: &str| !described.contains(&(kind, name.to_owned()));
        let missing = match object.as_ref() {
            Object::Node(node) => {
                let spec = &node.spec;
                gone(ObjectKind::Datacenter, spec.datacenter.as_str())
                    || gone(ObjectKind::Environment, spec.environment.as_str())
                    || spec.roles.iter().any(|role| gone(ObjectKind::Role, role.as_str()))
            }
            Object::Role(role) => role.spec.roles.iter().any(|role| gone(ObjectKind::Role, role.as_str())),
            Object::Datacenter(datacenter) => {
                let standby = &datacenter.spec.standby_for;
                standby
                    .as_ref()
                    .is_some_and(|other| gone(ObjectKind::Datacenter, other.as_str()))
            }
            Object::Environment(environment) => {
                let mut datacenters = environment.spec.datacenters.keys();
                datacenters.any(|datacenter| gone(ObjectKind::Datacenter, datacenter.as_str()))
            }
        };
        if missing {
            let why = format!("{} {} names an object that no file describes", object.kind(), object.name());
            return Err(ControlError::field("prune", why));
        }
    }
    Ok(())
}

fn is_app(file: &ApplyFile) -> bool {
    let document: Option<serde_json::Value> = serde_json::from_str(&file.content).ok();
    document.is_some_and(|document| document["kind"] == "App")
}

async fn apply(tx: &mut Tx, change: &Change, seen: &Inventory, actor: &Actor) -> crate::store::Result<()> {
    let actor = actor.to_string();
    // Between the plan and now, nobody may have changed it.
    let unseen = |what: &str| Err(StoreError::Taken(what.to_owned()));
    match change {
        Change::App(descriptor, source) => {
            let present = tx.app_version(descriptor.name()).await?;
            let known = seen.app(descriptor.name()).map(|record| record.version);
            if present.filter(|(_, removed)| !removed).map(|(version, _)| version) != known {
                return unseen(descriptor.name().as_str());
            }
            let version = present.map_or(1, |(version, _)| version + 1);
            tx.save_app(descriptor, source, version, &actor, "applied").await
        }
        Change::Object(object) => {
            let present = tx.object_version(object.kind(), object.name()).await?;
            let known = view(seen, object.kind(), object.name()).map(|view| view.version);
            if present.filter(|(_, removed)| !removed).map(|(version, _)| version) != known {
                return unseen(object.name());
            }
            let version = present.map_or(1, |(version, _)| version + 1);
            tx.put_object(object, version, &actor, "applied").await
        }
        Change::Remove(kind, name) => match tx.object_version(*kind, name).await? {
            Some((version, false)) => tx.remove_object(*kind, name, version + 1, &actor).await,
            _ => unseen(name),
        },
    }
}
