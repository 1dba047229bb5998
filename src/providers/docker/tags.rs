//! What everything of ours is called and labelled by: found again by these alone.

use super::NodeSpec;
use crate::model::id::NodeId;
use std::collections::HashMap;

/// The node that a thing is for.
pub(super) const NODE: &str = "greenroom.node";
/// The server that made it: engines may be shared.
pub(super) const SERVER: &str = "greenroom.server";
/// What an image was baked for.
pub(super) const KEY: &str = "greenroom.key";
/// The agent's program that an image holds, by its hash.
pub(super) const PROGRAM: &str = "greenroom.program";
/// All of ours start with this.
pub(super) const OURS: &str = "greenroom.";

/// Labels of a thing.
pub(super) type Labels = HashMap<String, String>;

/// The name of a node's container, network and volume.
pub(super) fn name(node: &NodeId) -> String {
    format!("greenroom-{node}")
}

/// The labels of everything that is made for this node.
pub(super) fn of_node(spec: &NodeSpec, server: &str) -> Labels {
    let own = [
        (NODE, spec.node.as_str()),
        (SERVER, server),
        ("greenroom.stack", spec.stack.as_str()),
        ("greenroom.stack-name", &spec.stack_name),
    ];
    let given = spec
        .labels
        .iter()
        .map(|(name, value)| (format!("{OURS}{name}"), value.clone()));
    given
        .chain(own.map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect()
}

/// A filter by one label.
pub(super) fn filter(label: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{label}={value}")])])
}

/// The node that these labels name.
pub(super) fn node_of(labels: &Labels) -> Option<NodeId> {
    labels.get(NODE)?.parse().ok()
}
