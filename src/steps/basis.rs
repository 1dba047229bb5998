//! What the configuration of a node rests on, as one number: cheap enough to be asked of every node after each change of the
//! inventory, so that only those nodes are compiled again which the change may concern.
//!
//! It goes over the versions of objects rather than over what they say. Facts are not part of it: who stores a node's facts
//! looks at that node.

use super::fleet::Fleet;
use super::production::{self, Commits};
use crate::model::inventory::Node;
use crate::model::name::RoleName;
use crate::recipes::Searched;
use crate::store::inventory::Record;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the configuration of this node rests on. It stays the same as long as nothing has changed that the compile of the node
/// read in the inventory; `searches` are those that the compile asked.
pub fn of_node(fleet: &Fleet, node: &Record<Node>, commits: &Commits, searches: &[Searched]) -> u64 {
    let inventory = fleet.inventory();
    let spec = &node.body.spec;
    let mut hasher = DefaultHasher::new();
    (node.version, node.updated_at).hash(&mut hasher);
    let environment = inventory.environments.get(&spec.environment);
    environment
        .map(|record| (record.version, record.updated_at))
        .hash(&mut hasher);
    let datacenter = inventory.datacenters.get(&spec.datacenter);
    datacenter.map(|record| (record.version, record.updated_at)).hash(&mut hasher);

    let mut seen = BTreeSet::new();
    let mut next: Vec<&RoleName> = spec.roles.iter().collect();
    while let Some(name) = next.pop() {
        if seen.insert(name) {
            let record = inventory.roles.get(name);
            (name, record.map(|record| (record.version, record.updated_at))).hash(&mut hasher);
            next.extend(record.iter().flat_map(|record| &record.body.spec.roles));
        }
    }
    if !spec.apps.is_empty() {
        // Apps are told where those are that they need, and that may be any node.
        fleet.placement().hash(&mut hasher);
        for wanted in production::revisions(inventory, &node.body) {
            commits.get(&wanted).hash(&mut hasher);
            wanted.hash(&mut hasher);
        }
    }
    for searched in searches {
        fleet.answer(&searched.kind, &searched.query).hash(&mut hasher);
    }
    hasher.finish()
}
