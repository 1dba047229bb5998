//! What the recipes see of a node of the inventory: a machine that stands in a datacenter and belongs to an environment.
//!
//! Pure: an inventory, the commits of revisions and the node's facts in, a view out. It is the counterpart of [`super::view`],
//! which does the same for stacks; the recipes cannot tell them apart but by what they are given.

use crate::model::configuration::Layout;
use crate::model::descriptor::Descriptor;
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::inventory::{Environment, Node, Role, Values};
use crate::model::name::{AppName, RoleName};
use crate::model::stack::DataChoice;
use crate::recipes::run_list::{self, RunList};
use crate::recipes::values::{self, Layer, LayerKind};
use crate::recipes::view::{AppView, DatacenterView, DependencyView, NodeView, Release, ResourceEngine, ResourceView, View};
use crate::store::inventory::Inventory;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The commits of revisions, by app and revision; what is wrong where one cannot be told.
pub type Commits = BTreeMap<(AppName, String), Result<String, String>>;

// Ports of apps whose descriptors give no number, in the order of their names.
const FIRST_PORT: u16 = 8001;

/// The apps of a node with the revisions that they should be at: the node's word, else the environment's, else the app's.
pub fn revisions(inventory: &Inventory, node: &Node) -> Vec<(AppName, String)> {
    let environment = environment(inventory, node);
    let revision = |app: &AppName, own: Option<String>| {
        let settings = environment.and_then(|environment| environment.spec.apps.get(app));
        let of_environment = settings
            .and_then(|settings| settings.revision.as_ref())
            .map(ToString::to_string);
        let of_app = || inventory.app(app).map(|record| record.descriptor.spec.default_ref.clone());
        own.or(of_environment).or_else(of_app).unwrap_or_default()
    };
    let apps = node.spec.apps.iter();
    apps.map(|on| {
        (
            on.app.clone(),
            revision(&on.app, on.revision.as_ref().map(ToString::to_string)),
        )
    })
    .collect()
}

/// The bundle that the node's environment points at.
pub fn bundle<'i>(inventory: &'i Inventory, node: &Node) -> Option<&'i str> {
    environment(inventory, node)?.spec.bundle.as_deref()
}

/// What the recipes see of a node of the inventory.
///
/// # Errors
/// All that is missing or goes in a circle, each finding naming the object.
pub fn of_node(inventory: &Inventory, node: &Node, facts: Value, commits: &Commits) -> Result<View, Vec<Diagnostic>> {
    let mut findings = Vec::new();
    let object = format!("node {}", node.name());
    let environment = environment(inventory, node);
    let datacenter = inventory.datacenters.get(&node.spec.datacenter).map(|record| &record.body);
    if environment.is_none() {
        let message = format!("the environment `{}` is not there", node.spec.environment);
        findings.push(finding(&object, "environment-missing", "spec.environment", message));
    }
    if datacenter.is_none() {
        let message = format!("the datacenter `{}` is not there", node.spec.datacenter);
        findings.push(finding(&object, "datacenter-missing", "spec.datacenter", message));
    }
    let run_list = run_list(inventory, node).unwrap_or_else(|errors| {
        findings.extend(errors);
        RunList::default()
    });
    let layers = layers(inventory, node, &run_list);
    let ports = ports(inventory, node);
    let mut apps = Vec::new();
    for (name, revision) in in_order(inventory, revisions(inventory, node), &object, &mut findings) {
        let Some(record) = inventory.app(&name) else {
            let message = format!("the app `{name}` is not registered");
            findings.push(finding(&object, "app-missing", "spec.apps", message));
            continue;
        };
        let commit = match commits.get(&(name.clone(), revision.clone())) {
            Some(Ok(commit)) => commit.clone(),
            Some(Err(why)) => {
                let message = format!("{name} has no commit for `{revision}`: {why}");
                findings.push(finding(&object, "revision-not-found", "spec.apps", message));
                continue;
            }
            None => {
                let message = format!("it is not known which commit `{revision}` of {name} is");
                findings.push(finding(&object, "revision-not-found", "spec.apps", message));
                continue;
            }
        };
        let descriptor = &record.descriptor;
        apps.push(AppView {
            release: Release {
                commit,
                revision,
                repository: descriptor.spec.repository.to_string(),
            },
            ports: ports.get(&name).cloned().unwrap_or_default(),
            address: node.address().to_owned(),
            deps: dependencies(inventory, node, descriptor),
            resources: resources(descriptor, &layers, &object, &mut findings),
            descriptor: descriptor.clone(),
        });
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    Ok(View {
        node: NodeView {
            name: node.name().as_str().to_owned(),
            provider: "inventory".to_owned(),
            layout: Layout::of_servers(),
            confined_to: None,
            installs_packages: true,
            addresses: node.spec.addresses.clone(),
            labels: node.metadata.labels.clone(),
        },
        environment: node.spec.environment.as_str().to_owned(),
        restorable: environment.is_some_and(|environment| environment.spec.restorable),
        audit: node.spec.audit,
        datacenter: datacenter.map(|datacenter| DatacenterView {
            name: datacenter.name().as_str().to_owned(),
            standby_for: datacenter.spec.standby_for.as_ref().map(ToString::to_string),
        }),
        stack: None,
        run_list,
        layers,
        facts,
        apps,
    })
}

/// The layers that roles and places give a node.
///
/// # Errors
/// Roles that are missing or go in a circle.
pub fn node_layers(inventory: &Inventory, node: &Node) -> Result<Vec<Layer>, Vec<Diagnostic>> {
    let run_list = run_list(inventory, node)?;
    Ok(layers(inventory, node, &run_list))
}

/// The layers that an environment gives the nodes that stand nowhere: those of stacks.
pub fn environment_layers(environment: &Environment) -> Vec<Layer> {
    let object = format!("environment {}", environment.name());
    let mut layers: Vec<Layer> = layer(LayerKind::Environment, &object, "spec.values", &environment.spec.values)
        .into_iter()
        .collect();
    for (app, settings) in &environment.spec.apps {
        let path = format!("spec.apps.{app}.values");
        layers.extend(
            layer(LayerKind::AppEnvironment, &object, &path, &settings.values).map(|layer| Layer {
                app: Some(app.as_str().to_owned()),
                ..layer
            }),
        );
    }
    layers
}

fn environment<'i>(inventory: &'i Inventory, node: &Node) -> Option<&'i Environment> {
    inventory.environments.get(&node.spec.environment).map(|record| &record.body)
}

fn run_list(inventory: &Inventory, node: &Node) -> Result<RunList, Vec<Diagnostic>> {
    let role = |name: &str| -> Option<&Role> { name.parse::<RoleName>().ok().and_then(|name| inventory.role(&name)) };
    let all: Vec<&str> = inventory.roles.keys().map(RoleName::as_str).collect();
    let roles: Vec<&str> = node.spec.roles.iter().map(RoleName::as_str).collect();
    run_list::expand(&roles, &role, &all).map_err(|errors| {
        let object = format!("node {}", node.name());
        let one = |error: &run_list::RunListError| finding(&object, error.code(), "spec.roles", error.to_string());
        errors.iter().map(one).collect()
    })
}

fn layers(inventory: &Inventory, node: &Node, run_list: &RunList) -> Vec<Layer> {
    let mut layers = Vec::new();
    for name in &run_list.expanded {
        if let Some(role) = name.parse::<RoleName>().ok().and_then(|name| inventory.role(&name)) {
            layers.extend(values::role(role));
        }
    }
    if let Some(record) = inventory.datacenters.get(&node.spec.datacenter) {
        let object = format!("datacenter {}", record.body.name());
        layers.extend(layer(LayerKind::Datacenter, &object, "spec.values", &record.body.spec.values));
    }
    if let Some(environment) = environment(inventory, node) {
        layers.extend(environment_layers(environment));
        let here = &node.spec.datacenter;
        if let Some(settings) = environment.spec.datacenters.get(here) {
            let (object, path) = (
                format!("environment {}", environment.name()),
                format!("spec.datacenters.{here}.values"),
            );
            layers.extend(layer(LayerKind::EnvironmentDatacenter, &object, &path, &settings.values));
        }
    }
    layers.extend(layer(
        LayerKind::Node,
        &format!("node {}", node.name()),
        "spec.values",
        &node.spec.values,
    ));
    layers
}

fn layer(kind: LayerKind, object: &str, path: &str, values: &Values) -> Option<Layer> {
    (!values.is_empty()).then(|| Layer {
        kind,
        object: object.to_owned(),
        path: path.to_owned(),
        app: None,
        recipe: None,
        values: values.clone().into_iter().collect(),
    })
}

// The apps of a node, each after those of the same node that it needs.
fn in_order(
    inventory: &Inventory,
    revisions: Vec<(AppName, String)>,
    object: &str,
    findings: &mut Vec<Diagnostic>,
) -> Vec<(AppName, String)> {
    let mut revisions = revisions;
    let mut ordered: Vec<(AppName, String)> = Vec::new();
    while !revisions.is_empty() {
        let here: Vec<AppName> = revisions.iter().map(|(name, _)| name.clone()).collect();
        let waits = |(name, _): &(AppName, String)| {
            let needs = inventory.app(name).map(|record| &record.descriptor.spec.depends_on);
            needs.is_some_and(|needs| needs.iter().any(|need| &need.app != name && here.contains(&need.app)))
        };
        let (waiting, ready): (Vec<_>, Vec<_>) = revisions.into_iter().partition(waits);
        if ready.is_empty() {
            let message = format!("the apps {here:?} need each other in a circle");
            findings.push(finding(object, "dependency-cycle", "spec.apps", message));
            return ordered;
        }
        ordered.extend(ready);
        revisions = waiting;
    }
    ordered
}

// The ports of all apps of a node: the number of the descriptor, or the next free one.
fn ports(inventory: &Inventory, node: &Node) -> BTreeMap<AppName, BTreeMap<String, u16>> {
    let mut apps: Vec<&Descriptor> = node
        .spec
        .apps
        .iter()
        .filter_map(|on| inventory.app(&on.app).map(|record| &record.descriptor))
        .collect();
    apps.sort_by_key(|descriptor| descriptor.name());
    let fixed = apps.iter().flat_map(|d| d.spec.ports.values().filter_map(|port| port.port));
    let mut taken: Vec<u16> = fixed.collect();
    let mut all = BTreeMap::new();
    for descriptor in apps {
        let mut own = BTreeMap::new();
        for (name, port) in &descriptor.spec.ports {
            let number = port.port.unwrap_or_else(|| {
                let free = (FIRST_PORT..u16::MAX)
                    .find(|number| !taken.contains(number))
                    .unwrap_or(FIRST_PORT);
                taken.push(free);
                free
            });
            own.insert(name.clone(), number);
        }
        all.insert(descriptor.name().clone(), own);
    }
    all
}

// Where each app that is needed is reached from this node: on the node itself, else in its datacenter, else in another one
// of its environment. Nodes that somebody works on stay in the list, for whoever compiles has no clock.
fn dependencies(inventory: &Inventory, node: &Node, descriptor: &Descriptor) -> BTreeMap<String, DependencyView> {
    let mut found = BTreeMap::new();
    for need in &descriptor.spec.depends_on {
        let mut runs: Vec<&Node> = inventory
            .nodes
            .values()
            .map(|record| &record.body)
            .filter(|other| {
                other.spec.environment == node.spec.environment && other.spec.apps.iter().any(|on| on.app == need.app)
            })
            .collect();
        let far = |other: &Node| (other.name() != node.name(), other.spec.datacenter != node.spec.datacenter);
        runs.sort_by(|a, b| far(a).cmp(&far(b)).then_with(|| a.name().cmp(b.name())));
        let (Some(first), Some(record)) = (runs.first(), inventory.app(&need.app)) else {
            continue;
        };
        let ports = ports(inventory, first).remove(&need.app).unwrap_or_default();
        let port = record.descriptor.port_name(None).and_then(|name| ports.get(name)).copied();
        let host = first.address().to_owned();
        // Only those of the nearest place: another datacenter is for when there is none here.
        let place = &first.spec.datacenter;
        let hosts = runs.iter().filter(|other| &other.spec.datacenter == place);
        found.insert(
            need.app.as_str().to_owned(),
            DependencyView {
                url: port.map(|port| format!("http://{host}:{port}")),
                hosts: hosts.map(|other| other.address().to_owned()).collect(),
                host,
                port,
                ports,
            },
        );
    }
    found
}

// Databases of production are there already: where, is a value of the app in its environment.
fn resources(
    descriptor: &Descriptor,
    layers: &[Layer],
    object: &str,
    findings: &mut Vec<Diagnostic>,
) -> BTreeMap<String, ResourceView> {
    let name = descriptor.name().as_str();
    let mut own = values::of_app(descriptor);
    own.extend(layers.iter().cloned());
    let merged = values::merge(&values::in_order(&own, Some(name)));
    let nothing = Map::new();
    let mut found = BTreeMap::new();
    for (key, resource) in &descriptor.spec.resources {
        let given = values::find(&merged, &["resources", key])
            .and_then(Value::as_object)
            .unwrap_or(&nothing);
        let text = |field: &str| given.get(field).and_then(Value::as_str).map(str::to_owned);
        let engine = if resource.kind == "postgres" {
            let Some(host) = text("host") else {
                let message = format!("it is not known where the database `{key}` of {name} is");
                let mut missing = finding(object, "view-incomplete", &format!("values.resources.{key}.host"), message);
                missing.help = Some(format!(
                    "give `resources.{key}.host` as a value of the app in its environment: `spec.apps.{name}.values`"
                ));
                findings.push(missing);
                continue;
            };
            let plain = |text: &str| text.replace('-', "_");
            let port = given
                .get("port")
                .and_then(Value::as_u64)
                .and_then(|port| u16::try_from(port).ok());
            ResourceEngine::Postgres {
                host,
                port: port.unwrap_or(5432),
                database: text("database").unwrap_or_else(|| plain(name)),
                user: text("user").unwrap_or_else(|| plain(name)),
                password_secret: format!("{name}/database/{key}"),
            }
        } else {
            ResourceEngine::Sqlite {
                path: text("path").unwrap_or_else(|| format!("{}/{name}/{key}.sqlite", Layout::of_servers().data)),
            }
        };
        // What production holds is its own; nothing is ever loaded into it.
        let data = DataChoice::Empty;
        found.insert(key.clone(), ResourceView { engine, data });
    }
    found
}

fn finding(object: &str, code: &str, path: &str, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: code.to_owned(),
        message,
        file: object.to_owned(),
        line: 0,
        column: 0,
        path: path.to_owned(),
        help: None,
        snippet: None,
    }
}
