//! What a change of recipes or of the inventory would change on which nodes, before it is made and without asking any node.

use super::super::{Control, ControlError, Result};
use super::{Configuration, Ingredients};
use crate::model::actor::Actor;
use crate::model::configuration::NodeConfiguration;
use crate::model::descriptor::Descriptor;
use crate::model::diagnostic::Diagnostic;
use crate::model::inventory::{Node, Object, ObjectKind};
use crate::model::time::Timestamp;
use crate::plans::fleet::Fleet;
use crate::plans::production;
use crate::recipes::bundle::Bundle;
use crate::recipes::changes::{self, Changes};
use crate::store::inventory::{AppRecord, Inventory, Record};
use crate::wire::configurations::{BrokenNode, FleetGroup, FleetPlanRequest, FleetPlanView};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

// A longer difference helps nobody; the nodes still count.
const MAX_DIFF: usize = 64 * 1024;
const MAX_OBJECTS: usize = 1_000;

type Outcome = std::result::Result<Option<Arc<Configuration>>, Vec<Diagnostic>>;

// One side of the comparison.
struct Side {
    fleet: Arc<Fleet>,
    // In place of what environments point at.
    replaced: Option<(String, Arc<Bundle>)>,
    only: Option<String>,
}

impl Control {
    /// What a change would touch: every node's present configuration beside the one it would have, those with the same
    /// difference together.
    ///
    /// # Errors
    /// `recipe-invalid` for recipes with errors; `invalid-request`, `not-found`.
    pub async fn plan_fleet(&self, _actor: &Actor, request: &FleetPlanRequest) -> Result<FleetPlanView> {
        let now = Side {
            fleet: self.fleet_now(),
            replaced: None,
            only: None,
        };
        let then = Side {
            fleet: match request.objects.as_slice() {
                [] => Arc::clone(&now.fleet),
                objects => Arc::new(Fleet::new(with_objects(now.fleet.inventory(), objects)?)),
            },
            replaced: self.replaced(request).await?,
            only: request.environment.clone(),
        };
        if then.replaced.is_none() && request.objects.is_empty() {
            return Err(ControlError::field(
                "bundle",
                "give a bundle, files or objects to compare with",
            ));
        }
        self.compare(&now, &then).await
    }

    /// What it would touch if the inventory were this one.
    ///
    /// # Errors
    /// The store's.
    pub(in crate::control) async fn plan_inventory(&self, wanted: Inventory) -> Result<FleetPlanView> {
        let side = |fleet| Side {
            fleet,
            replaced: None,
            only: None,
        };
        let (now, then) = (side(self.fleet_now()), side(Arc::new(Fleet::new(wanted))));
        self.compare(&now, &then).await
    }

    async fn compare(&self, now: &Side, then: &Side) -> Result<FleetPlanView> {
        let all = [now, then].map(|side| side.fleet.inventory().nodes.keys());
        let names: BTreeSet<String> = all.into_iter().flatten().map(|name| name.as_str().to_owned()).collect();
        let mut groups: BTreeMap<String, (Changes, Vec<String>)> = BTreeMap::new();
        let (mut unchanged, mut reported, mut broken) = (0, 0, Vec::new());
        for name in &names {
            let before = self.side(now, name).await?;
            let after = self.side(then, name).await?;
            match (before, after) {
                (Ok(before), Ok(after)) => match self.touch(name, before.as_deref(), after.as_deref()).await? {
                    None => unchanged += 1,
                    Some((changes, has_reported)) => {
                        reported += usize::from(has_reported);
                        let group = groups.entry(changes.diff.clone());
                        group.or_insert_with(|| (changes, Vec::new())).1.push(name.clone());
                    }
                },
                (before, Err(diagnostics)) => broken.push(BrokenNode {
                    node: name.clone(),
                    already: before.is_err(),
                    diagnostics,
                }),
                // It compiles again: everything about it is new.
                (Err(_), Ok(after)) => {
                    if let Some((changes, has_reported)) = self.touch(name, None, after.as_deref()).await? {
                        reported += usize::from(has_reported);
                        let group = groups.entry(changes.diff.clone());
                        group.or_insert_with(|| (changes, Vec::new())).1.push(name.clone());
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(answer((names.len(), unchanged, reported), groups, broken))
    }

    // What a change does to a node that it concerns: from what the node last reported to be, where it has reported, else from
    // what it is asked to be now. Says which of the two.
    async fn touch(
        &self,
        name: &str,
        before: Option<&Configuration>,
        after: Option<&Configuration>,
    ) -> Result<Option<(Changes, bool)>> {
        if before.map(|c| &c.hash) == after.map(|c| &c.hash) {
            return Ok(None);
        }
        let agent = self.store.agent_named(name).await?;
        let applied = agent.and_then(|agent| agent.applied);
        let body = match &applied {
            Some(applied) => self.store.configuration(applied).await?,
            None => None,
        };
        let last: Option<NodeConfiguration> = body.and_then(|body| serde_json::from_str(&body).ok());
        let empty = NodeConfiguration::empty(false);
        let asked = before.map_or(&empty, |c| &c.compiled.configuration);
        let wanted = after.map_or(&empty, |c| &c.compiled.configuration);
        let changes = difference(last.as_ref().unwrap_or(asked), wanted);
        Ok(changes.map(|changes| (changes, last.is_some())))
    }

    async fn replaced(&self, request: &FleetPlanRequest) -> Result<Option<(String, Arc<Bundle>)>> {
        if let Some(bundle) = &request.bundle {
            if !request.files.is_empty() {
                return Err(ControlError::field("bundle", "give either a bundle or files"));
            }
            let hash = self.find_bundle(bundle).await?.hash;
            let bundle = self.bundles.get(Some(&hash)).await?;
            return Ok(Some((hash, bundle)));
        }
        if request.files.is_empty() {
            return Ok(None);
        }
        let (hash, _, bundle) = self.candidate(&request.files, true)?;
        Ok(Some((hash, Arc::new(bundle))))
    }

    // The configuration of a node on one side; nothing where the node is not there.
    async fn side(&self, side: &Side, name: &str) -> Result<Outcome> {
        let inventory = side.fleet.inventory();
        let Some(node) = name
            .parse()
            .ok()
            .and_then(|name| inventory.node(&name))
            .map(|record| &record.body)
        else {
            return Ok(Ok(None));
        };
        let (bundle_hash, bundle) = match self.bundle_of(side, inventory, node).await {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.diagnostics)),
        };
        let commits = self.commits(inventory, [node]).await;
        let ingredients = Ingredients {
            fleet: Arc::clone(&side.fleet),
            bundle,
            bundle_hash,
            facts: self.facts_of(name).await?,
        };
        Ok(self.build(&ingredients, node, &commits).map(Some))
    }

    async fn bundle_of(&self, side: &Side, inventory: &Inventory, node: &Node) -> Result<(String, Arc<Bundle>)> {
        let here = side.only.as_deref().is_none_or(|only| node.spec.environment.as_str() == only);
        if let Some((hash, bundle)) = side.replaced.as_ref().filter(|_| here) {
            return Ok((hash.clone(), Arc::clone(bundle)));
        }
        let pointer = production::bundle(inventory, node);
        let bundle = self.bundles.get(pointer).await?;
        Ok((pointer.unwrap_or(self.bundles.own_hash()).to_owned(), bundle))
    }
}

fn difference(before: &NodeConfiguration, after: &NodeConfiguration) -> Option<Changes> {
    let mut changes = changes::between(before, after);
    if changes.diff.is_empty() {
        return None;
    }
    if changes.diff.len() > MAX_DIFF {
        let end = (0..=MAX_DIFF)
            .rev()
            .find(|at| changes.diff.is_char_boundary(*at))
            .unwrap_or_default();
        changes.diff.truncate(end);
        changes.diff.push_str("\n… and more\n");
    }
    Some(changes)
}

fn answer(
    (nodes, unchanged, reported): (usize, usize, usize),
    groups: BTreeMap<String, (Changes, Vec<String>)>,
    broken: Vec<BrokenNode>,
) -> FleetPlanView {
    let mut groups: Vec<FleetGroup> = groups
        .into_iter()
        .map(|(diff, (changes, nodes))| FleetGroup {
            nodes,
            added: changes.added,
            removed: changes.removed,
            changed: changes.changed,
            diff,
        })
        .collect();
    groups.sort_by(|a, b| b.nodes.len().cmp(&a.nodes.len()).then_with(|| a.nodes.cmp(&b.nodes)));
    let touched = groups.iter().map(|group| group.nodes.len()).sum();
    let newly = broken.iter().filter(|node| !node.already).count();
    let mut summary = match touched {
        0 => format!("this change touches none of {}", count(nodes, "node")),
        _ => format!(
            "this change touches {}, {}",
            count(touched, "node"),
            count(groups.len(), "distinct diff")
        ),
    };
    if newly > 0 {
        summary = format!("{summary}; {} would not compile any more", count(newly, "node"));
    }
    FleetPlanView {
        summary,
        nodes,
        touched,
        unchanged,
        reported,
        groups,
        broken,
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

// The inventory as it would be with these objects.
fn with_objects(inventory: &Inventory, objects: &[Value]) -> Result<Inventory> {
    if objects.len() > MAX_OBJECTS {
        return Err(ControlError::field(
            "objects",
            format!("at most {MAX_OBJECTS} objects are taken"),
        ));
    }
    let mut wanted = inventory.clone();
    for (index, document) in objects.iter().enumerate() {
        let refuse = |why: String| ControlError::field(format!("objects[{index}]"), why);
        let kind = document["kind"].as_str().and_then(ObjectKind::of);
        let kind = kind.ok_or_else(|| refuse("its kind must be Node, Datacenter, Environment or Role".to_owned()))?;
        let object = Object::from_json(kind, &document.to_string()).map_err(|e| refuse(e.to_string()))?;
        put(&mut wanted, object);
    }
    Ok(wanted)
}

/// Puts an object that is not saved into an inventory.
pub(in crate::control) fn put(wanted: &mut Inventory, object: Object) {
    match object {
        Object::Node(node) => {
            Arc::make_mut(&mut wanted.nodes).insert(node.name().clone(), record(node));
        }
        Object::Datacenter(datacenter) => {
            Arc::make_mut(&mut wanted.datacenters).insert(datacenter.name().clone(), record(datacenter));
        }
        Object::Environment(environment) => {
            Arc::make_mut(&mut wanted.environments).insert(environment.name().clone(), record(environment));
        }
        Object::Role(role) => {
            Arc::make_mut(&mut wanted.roles).insert(role.name().clone(), record(role));
        }
    }
}

/// Puts an app that is not saved into an inventory.
pub(in crate::control) fn put_app(wanted: &mut Inventory, descriptor: Descriptor) {
    let never = Timestamp(0);
    let record = AppRecord {
        descriptor,
        version: 0,
        created_at: never,
        updated_at: never,
    };
    Arc::make_mut(&mut wanted.apps).insert(record.descriptor.name().clone(), Arc::new(record));
}

/// Takes an object out of an inventory that is not saved.
pub(in crate::control) fn take(wanted: &mut Inventory, kind: ObjectKind, name: &str) {
    match kind {
        ObjectKind::Node => Arc::make_mut(&mut wanted.nodes).retain(|known, _| known.as_str() != name),
        ObjectKind::Datacenter => Arc::make_mut(&mut wanted.datacenters).retain(|known, _| known.as_str() != name),
        ObjectKind::Environment => Arc::make_mut(&mut wanted.environments).retain(|known, _| known.as_str() != name),
        ObjectKind::Role => Arc::make_mut(&mut wanted.roles).retain(|known, _| known.as_str() != name),
    }
}

// An object that is not saved.
fn record<T>(body: T) -> Arc<Record<T>> {
    let never = Timestamp(0);
    Arc::new(Record {
        body,
        version: 0,
        created_at: never,
        updated_at: never,
    })
}
