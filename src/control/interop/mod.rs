//! What other tools ask of the inventory, in their own formats: Ansible, Puppet, Prometheus, Backstage.
//!
//! Each format is a pure function over the inventory in memory; nothing here is a second copy of the truth. The same
//! inventory always gives the same bytes, so an answer's hash is its `ETag`.

mod ansible;
mod prometheus;
mod puppet;

use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::inventory::{Node, expanded_roles};
use crate::model::name::NodeName;
use crate::model::time::Timestamp;
use crate::recipes::backstage;
use crate::store::inventory::Inventory;
pub use prometheus::TargetsOf;
use serde_json::{Map, Value, json};

/// Which nodes a tool asks about.
#[derive(Debug, Clone, Default)]
pub struct NodesOf {
    /// A query in the search grammar over nodes; all of them where absent.
    pub query: Option<String>,
}

impl Control {
    /// The inventory as Ansible's dynamic inventory: groups by environment, datacenter, role, app and maintenance.
    ///
    /// # Errors
    /// A query that is none, or the store's.
    pub async fn ansible_inventory(&self, actor: &Actor, of: &NodesOf) -> Result<Value> {
        let inventory = self.store.inventory();
        let nodes = self.nodes_of(actor, &inventory, of).await?;
        Ok(ansible::inventory(&inventory, &nodes, self.now()))
    }

    /// A node for Puppet's external node classifier.
    ///
    /// # Errors
    /// `not-found` where there is no such node.
    pub async fn puppet_node(&self, _actor: &Actor, certname: &str) -> Result<Value> {
        let inventory = self.store.inventory();
        let node = find_node(&inventory, certname)?;
        Ok(puppet::classify(&inventory, &node, self.now()))
    }

    /// The nodes, or an app on them, as targets for Prometheus' `http_sd`.
    ///
    /// # Errors
    /// A query that is none, an app or port that there is not, or the store's.
    pub async fn prometheus_targets(&self, actor: &Actor, of: &NodesOf, targets: &TargetsOf) -> Result<Value> {
        let inventory = self.store.inventory();
        let nodes = self.nodes_of(actor, &inventory, of).await?;
        prometheus::targets(&inventory, &nodes, targets, self.now())
    }

    /// Every app with its databases as Backstage's catalogue: YAML documents.
    ///
    /// # Errors
    /// None today; the contract of every verb.
    pub async fn backstage_catalogue(&self, _actor: &Actor) -> Result<String> {
        let inventory = self.store.inventory();
        let apps = inventory.apps.values().map(|app| &app.descriptor);
        Ok(backstage::export(apps, &self.public_url()))
    }

    // The nodes that a question is about, by name. Stacks' own nodes are not machines that other tools should manage.
    async fn nodes_of<'a>(&self, actor: &Actor, inventory: &'a Inventory, of: &NodesOf) -> Result<Vec<&'a Node>> {
        let all = inventory.nodes.values().map(|record| &record.body);
        let Some(query) = of.query.as_deref().filter(|query| !query.trim().is_empty()) else {
            return Ok(all.collect());
        };
        let found = self.found_names(actor, "node", query).await?;
        Ok(all.filter(|node| found.contains(node.name().as_str())).collect())
    }
}

fn find_node(inventory: &Inventory, name: &str) -> Result<Node> {
    let known = name.parse::<NodeName>().ok().and_then(|name| inventory.node(&name).cloned());
    known
        .map(|record| record.body.clone())
        .ok_or_else(|| ControlError::not_found("node", name))
}

// What every tool is told of a node, under one name each.
fn facts_of(inventory: &Inventory, node: &Node, now: Timestamp) -> Map<String, Value> {
    let spec = &node.spec;
    let (roles, recipes) = expanded_roles(&spec.roles, &|name| inventory.role(name));
    let settings = inventory.environments.get(&spec.environment);
    let apps: Map<String, Value> = spec
        .apps
        .iter()
        .map(|on| {
            let here = settings.and_then(|record| record.body.spec.apps.get(&on.app));
            let revision = on.revision.as_ref().or_else(|| here.and_then(|here| here.revision.as_ref()));
            let default = || inventory.app(&on.app).map(|app| app.descriptor.spec.default_ref.clone());
            let revision = revision.map(ToString::to_string).or_else(default);
            (on.app.to_string(), json!(revision))
        })
        .collect();
    let Value::Object(facts) = json!({
        "environment": spec.environment,
        "datacenter": spec.datacenter,
        "roles": roles,
        "recipes": recipes,
        "apps": apps,
        "addresses": spec.addresses,
        "labels": node.metadata.labels,
        "maintenance": node.is_in_maintenance(now),
    }) else {
        return Map::new();
    };
    facts
}
