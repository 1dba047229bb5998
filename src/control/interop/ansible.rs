//! Ansible's dynamic inventory: <https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html>.
//!
//! Groups are `env_`, `dc_`, `role_`, `app_` and `status_maintenance`. Ansible takes only identifiers as names of groups, so
//! `-` becomes `_`.
//! `_meta.hostvars` holds every host's variables, so the script runs once and not once a host.

use super::facts_of;
use crate::model::inventory::Node;
use crate::model::time::Timestamp;
use crate::store::inventory::Inventory;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

// Names hold letters, digits and `-`, so no two of them become the same group.
fn group_name(prefix: &str, name: &str) -> String {
    format!("{prefix}_{}", name.replace('-', "_"))
}

/// These nodes as a dynamic inventory.
pub(super) fn inventory(inventory: &Inventory, nodes: &[&Node], now: Timestamp) -> Value {
    let mut groups: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut add = |prefix: &str, name: &str, host| groups.entry(group_name(prefix, name)).or_default().insert(host);
    let mut variables = Map::new();
    for node in nodes {
        let host = node.name().as_str();
        let facts = facts_of(inventory, node, now);
        add("env", node.spec.environment.as_str(), host);
        add("dc", node.spec.datacenter.as_str(), host);
        for role in strings(&facts, "roles") {
            add("role", role, host);
        }
        for on in &node.spec.apps {
            add("app", on.app.as_str(), host);
        }
        if node.is_in_maintenance(now) {
            add("status", "maintenance", host);
        }
        // The node's own values first: what the inventory says of it cannot be overridden by a value of the same name.
        let mut host_variables: Map<String, Value> = node.spec.values.clone().into_iter().collect();
        if !node.spec.addresses.is_empty() {
            host_variables.insert("ansible_host".into(), json!(node.address()));
        }
        host_variables.extend(facts.into_iter().map(|(name, value)| (format!("greenroom_{name}"), value)));
        variables.insert(host.to_owned(), Value::Object(host_variables));
    }
    let mut document = Map::new();
    document.insert("_meta".into(), json!({ "hostvars": variables }));
    let mut children: Vec<&str> = groups.keys().map(String::as_str).collect();
    children.push("ungrouped");
    document.insert(
        "all".into(),
        json!({ "children": children, "vars": { "greenroom_revision": inventory.revision } }),
    );
    for (group, hosts) in &groups {
        document.insert(group.clone(), json!({ "hosts": hosts }));
    }
    document.insert("ungrouped".into(), json!({ "hosts": [] }));
    Value::Object(document)
}

fn strings<'a>(facts: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a str> {
    let items = facts.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str)
}
