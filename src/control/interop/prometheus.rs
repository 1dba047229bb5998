//! Prometheus' HTTP service discovery: <https://prometheus.io/docs/prometheus/latest/http_sd/>.
//!
//! The client wants the whole list with status 200 each time and takes a 304 for an error; label values must be texts. There is
//! one group for each distinct set of labels.

use super::facts_of;
use crate::control::{ControlError, Result};
use crate::model::descriptor::Descriptor;
use crate::model::inventory::Node;
use crate::model::name::AppName;
use crate::model::time::Timestamp;
use crate::store::inventory::Inventory;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

// Where Prometheus' own exporter for machines listens.
const NODE_EXPORTER: u16 = 9100;

/// What is scraped on the nodes.
#[derive(Debug, Clone, Default)]
pub struct TargetsOf {
    /// Only nodes that run this app, at its port.
    pub app: Option<String>,
    /// A port number, or the name of one of the app's ports; the app's `metrics` port or else its first, or 9100 for nodes.
    pub port: Option<String>,
}

/// These nodes as groups of targets.
pub(super) fn targets(inventory: &Inventory, nodes: &[&Node], of: &TargetsOf, now: Timestamp) -> Result<Value> {
    let app = of.app.as_deref().map(|name| find_app(inventory, name)).transpose()?;
    let port = match (of.port.as_deref(), app) {
        (None, None) => NODE_EXPORTER,
        (Some(text), None) => text
            .parse()
            .map_err(|_| ControlError::field("port", "give a port number; names of ports belong to an app"))?,
        (text, Some(app)) => app_port(app, text)?,
    };
    let mut groups: BTreeMap<BTreeMap<String, String>, Vec<String>> = BTreeMap::new();
    for node in nodes {
        if app.is_some_and(|app| node.spec.apps.iter().all(|on| on.app != *app.name())) {
            continue;
        }
        let mut labels = labels(inventory, node, now);
        if let Some(app) = app {
            labels.insert("__meta_greenroom_app".into(), app.name().to_string());
        }
        let address = node.address();
        // An IPv6 address needs its brackets beside a port.
        let target = if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        };
        groups.entry(labels).or_default().push(target);
    }
    let groups = groups
        .into_iter()
        .map(|(labels, targets)| json!({ "targets": targets, "labels": labels }));
    Ok(groups.collect())
}

fn find_app<'a>(inventory: &'a Inventory, name: &str) -> Result<&'a Descriptor> {
    let known = name.parse::<AppName>().ok().and_then(|name| inventory.app(&name));
    known
        .map(|app| &app.descriptor)
        .ok_or_else(|| ControlError::not_found("app", name))
}

fn app_port(app: &Descriptor, text: Option<&str>) -> Result<u16> {
    if let Some(number) = text.and_then(|text| text.parse().ok()) {
        return Ok(number);
    }
    let ports = &app.spec.ports;
    let found = match text {
        Some(name) => ports.get(name),
        None => ports.get("metrics").or_else(|| ports.values().next()),
    };
    found.and_then(|port| port.port).ok_or_else(|| {
        let asked = text.map_or_else(String::new, |name| format!(" `{name}`"));
        ControlError::field(
            "port",
            format!("`{}` has no port{asked} with a number in its descriptor", app.name()),
        )
    })
}

// Lists are written `,a,b,`, as Prometheus' own discoveries write them, so that a relabelling rule can match `.*,a,.*`.
fn labels(inventory: &Inventory, node: &Node, now: Timestamp) -> BTreeMap<String, String> {
    let facts: Map<String, Value> = facts_of(inventory, node, now);
    let mut labels = BTreeMap::from([("__meta_greenroom_node".to_owned(), node.name().to_string())]);
    for (name, value) in &facts {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(items) => list(items.iter().filter_map(Value::as_str)),
            Value::Object(map) if name == "apps" => list(map.keys().map(String::as_str)),
            Value::Bool(flag) => flag.to_string(),
            _ => continue,
        };
        labels.insert(format!("__meta_greenroom_{name}"), text);
    }
    for (name, value) in &node.metadata.labels {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        labels.insert(format!("__meta_greenroom_label_{name}"), value.clone());
    }
    labels
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<&str> = items.collect();
    if items.is_empty() {
        String::new()
    } else {
        format!(",{},", items.join(","))
    }
}
