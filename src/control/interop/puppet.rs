//! Puppet's external node classifier: <https://www.puppet.com/docs/puppet/7/nodes_external.html>.
//!
//! Classes are what the value `puppet_classes` of the node, its datacenter, environment and roles says (a map from class to
//! parameters, or a list of classes), because only whoever wrote the modules knows their names. Everything the inventory knows
//! arrives as top-scope variables `$greenroom_…`.

use super::facts_of;
use crate::model::inventory::{Node, Values, expanded_roles};
use crate::model::time::Timestamp;
use crate::store::inventory::Inventory;
use serde_json::{Map, Value, json};

const CLASSES: &str = "puppet_classes";

/// A node's classes, parameters and environment.
pub(super) fn classify(inventory: &Inventory, node: &Node, now: Timestamp) -> Value {
    let spec = &node.spec;
    let mut classes = Map::new();
    let roles = expanded_roles(&spec.roles, &|name| inventory.role(name)).0;
    let roles = roles.iter().filter_map(|name| inventory.role(&name.parse().ok()?));
    for role in roles {
        add_classes(&mut classes, &role.spec.values);
    }
    if let Some(datacenter) = inventory.datacenters.get(&spec.datacenter) {
        add_classes(&mut classes, &datacenter.body.spec.values);
    }
    if let Some(environment) = inventory.environments.get(&spec.environment) {
        let settings = &environment.body.spec;
        add_classes(&mut classes, &settings.values);
        if let Some(here) = settings.datacenters.get(&spec.datacenter) {
            add_classes(&mut classes, &here.values);
        }
    }
    add_classes(&mut classes, &spec.values);
    let facts = facts_of(inventory, node, now).into_iter();
    let parameters: Map<String, Value> = facts.map(|(name, value)| (format!("greenroom_{name}"), value)).collect();
    json!({ "environment": spec.environment, "classes": classes, "parameters": parameters })
}

// A later layer wins, parameter by parameter.
fn add_classes(classes: &mut Map<String, Value>, values: &Values) {
    match values.get(CLASSES) {
        Some(Value::Array(names)) => {
            for name in names.iter().filter_map(Value::as_str) {
                classes.entry(name).or_insert_with(|| json!({}));
            }
        }
        Some(Value::Object(given)) => {
            for (name, parameters) in given {
                let known = classes.entry(name).or_insert_with(|| json!({}));
                if let (Some(known), Some(parameters)) = (known.as_object_mut(), parameters.as_object()) {
                    known.extend(parameters.clone());
                }
            }
        }
        _ => {}
    }
}
