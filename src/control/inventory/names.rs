//! Who names whom.

use crate::control::Control;
use crate::model::inventory::ObjectKind;
use crate::recipes::inventory::Known;
use crate::store::inventory::Inventory;

impl Control {
    // The names that objects may use of each other now.
    pub(super) fn known_names(&self) -> Known {
        let inventory = self.store.inventory();
        Known {
            apps: inventory.apps.keys().map(ToString::to_string).collect(),
            datacenters: inventory.datacenters.keys().map(ToString::to_string).collect(),
            environments: inventory.environments.keys().map(ToString::to_string).collect(),
            roles: inventory
                .roles
                .iter()
                .map(|(name, role)| {
                    let within = role.body.spec.roles.iter().map(ToString::to_string).collect();
                    (name.to_string(), within)
                })
                .collect(),
            // Of every bundle, for environments may be built from different ones.
            recipes: Some(self.bundles.recipe_names().into_iter().collect()),
        }
    }
}

/// The first object that names this one, in words.
pub(super) fn user_of(inventory: &Inventory, kind: ObjectKind, name: &str) -> Option<String> {
    let nodes = || inventory.nodes.iter();
    match kind {
        ObjectKind::Node => None,
        ObjectKind::Datacenter => nodes()
            .find(|(_, node)| node.body.spec.datacenter.as_str() == name)
            .map(|(node, _)| format!("the node {node}"))
            .or_else(|| {
                let standby = inventory
                    .datacenters
                    .iter()
                    .find(|(_, other)| other.body.spec.standby_for.as_ref().is_some_and(|for_| for_.as_str() == name));
                standby.map(|(other, _)| format!("the datacenter {other}"))
            })
            .or_else(|| {
                let environment = inventory
                    .environments
                    .iter()
                    .find(|(_, e)| e.body.spec.datacenters.keys().any(|datacenter| datacenter.as_str() == name));
                environment.map(|(environment, _)| format!("the environment {environment}"))
            }),
        ObjectKind::Environment => nodes()
            .find(|(_, node)| node.body.spec.environment.as_str() == name)
            .map(|(node, _)| format!("the node {node}")),
        ObjectKind::Role => nodes()
            .find(|(_, node)| node.body.spec.roles.iter().any(|role| role.as_str() == name))
            .map(|(node, _)| format!("the node {node}"))
            .or_else(|| {
                let role = inventory
                    .roles
                    .iter()
                    .find(|(_, role)| role.body.spec.roles.iter().any(|within| within.as_str() == name));
                role.map(|(role, _)| format!("the role {role}"))
            }),
    }
}
