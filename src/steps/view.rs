//! What the recipes see of a stack: the one place where staging differs from production. Pure but for reading descriptors.

use crate::engine::kind::StepError;
use crate::git::Mirrors;
use crate::model::configuration::{Layout, SOURCE};
use crate::model::descriptor::{Descriptor, Resource};
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::name::AppName;
use crate::model::stack::{DataChoice, Link, Stack, StackApp, StackSpec};
use crate::providers::postgres::DatabaseServer;
use crate::providers::{Capabilities, NodeHandle};
use crate::recipes::run_list::{RunItem, RunList};
use crate::recipes::values::{Layer, LayerKind};
use crate::recipes::view::{AppView, DependencyView, NodeView, Release, ResourceEngine, ResourceView, StackView, View};
use crate::store::Store;
use crate::store::inventory::Inventory;
use serde_json::json;
use std::collections::BTreeMap;

// The recipe that makes a server for databases.
const POSTGRESQL: &str = "postgresql";

/// The environment that stacks belong to.
pub const STAGING: &str = "staging";

/// The values that the environment of stacks gives them, where the inventory has one.
pub fn layers(inventory: &Inventory) -> Vec<Layer> {
    let staging = inventory.environments.iter().find(|(name, _)| name.as_str() == STAGING);
    staging.map_or_else(Vec::new, |(_, record)| super::production::environment_layers(&record.body))
}

/// The descriptors of a stack's apps at the versions it was planned from, in its order.
///
/// # Errors
/// A fault where one is not stored.
pub async fn descriptors(store: &Store, spec: &StackSpec) -> Result<Vec<Descriptor>, Fault> {
    let mut all = Vec::with_capacity(spec.apps.len());
    for app in &spec.apps {
        let found = store.app_descriptor(&app.app, app.descriptor_version).await?;
        all.push(found.ok_or_else(|| {
            Fault::new(
                "internal",
                format!("Version {} of {} is not stored", app.descriptor_version, app.app),
            )
        })?);
    }
    Ok(all)
}

/// Name of the database, and of its role, that a `postgres` resource of a stack gets: unique, and short enough for
/// PostgreSQL's 63 bytes.
pub fn database_name(stack: &StackId, app: &AppName, resource: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '_'
                }
            })
            .take(18)
            .collect()
    };
    format!("gr_{}_{}_{}", &stack.as_str()[4..24], plain(app.as_str()), plain(resource))
}

/// `app/port` of every port of these apps.
pub fn ports(descriptors: &[Descriptor]) -> Vec<String> {
    descriptors
        .iter()
        .flat_map(|d| d.spec.ports.keys().map(move |port| format!("{}/{port}", d.name())))
        .collect()
}

/// What the recipes see of a real node.
pub fn of_node(
    stack: &Stack,
    node: &NodeId,
    descriptors: &[Descriptor],
    handle: &NodeHandle,
    can: &Capabilities,
    mirrors: &Mirrors,
    postgres: Option<&DatabaseServer>,
) -> View {
    let place = Place {
        layout: handle.layout.clone(),
        confined_to: handle.confined_to.clone(),
        address: handle.inner_address().to_owned(),
        port: Box::new(|key| handle.inner_port(key).unwrap_or_default()),
    };
    build(
        &stack.id,
        stack.name.as_str(),
        &stack.provider,
        node.as_str(),
        &stack.spec,
        descriptors,
        &place,
        can,
        mirrors,
        postgres,
    )
}

/// What the recipes will roughly see of a node that is not there yet: enough to find their errors before anything starts.
pub fn preview(
    spec: &StackSpec,
    descriptors: &[Descriptor],
    provider: &str,
    can: &Capabilities,
    mirrors: &Mirrors,
    postgres: Option<&DatabaseServer>,
) -> View {
    let root = if can.whole_machine { "" } else { "/sandbox" };
    let layout = Layout {
        apps: format!("{root}/srv/apps"),
        data: format!("{root}/var/lib/apps"),
        config: format!("{root}/etc/apps"),
        logs: format!("{root}/var/log/apps"),
    };
    let keys = ports(descriptors);
    let place = Place {
        layout,
        confined_to: (!can.whole_machine).then(|| root.to_owned()),
        address: "127.0.0.1".into(),
        port: Box::new(move |key| {
            20_000
                + keys
                    .iter()
                    .position(|k| k == key)
                    .and_then(|i| u16::try_from(i).ok())
                    .unwrap_or_default()
        }),
    };
    build(
        &StackId::from_bits(0),
        "preview",
        provider,
        "preview",
        spec,
        descriptors,
        &place,
        can,
        mirrors,
        postgres,
    )
}

struct Place<'a> {
    layout: Layout,
    confined_to: Option<String>,
    address: String,
    port: Box<dyn Fn(&str) -> u16 + 'a>,
}

#[expect(
    clippy::too_many_arguments,
    reason = "the view is made of exactly these, and there is one maker"
)]
fn build(
    stack: &StackId,
    stack_name: &str,
    provider: &str,
    node: &str,
    spec: &StackSpec,
    descriptors: &[Descriptor],
    place: &Place<'_>,
    can: &Capabilities,
    mirrors: &Mirrors,
    postgres: Option<&DatabaseServer>,
) -> View {
    let ports_of = |descriptor: &Descriptor| -> BTreeMap<String, u16> {
        descriptor
            .spec
            .ports
            .keys()
            .map(|port| (port.clone(), (place.port)(&format!("{}/{port}", descriptor.name()))))
            .collect()
    };
    let dependency = |descriptor: &Descriptor| -> DependencyView {
        let ports = ports_of(descriptor);
        let port = descriptor.port_name(None).and_then(|name| ports.get(name)).copied();
        DependencyView {
            url: port.map(|port| format!("http://{}:{port}", place.address)),
            host: place.address.clone(),
            port,
            ports,
            hosts: vec![place.address.clone()],
        }
    };
    let own_server = holds_databases(can);
    let of_app = |app: &StackApp, descriptor: &Descriptor| AppView {
        release: Release {
            commit: app.commit.as_str().to_owned(),
            revision: app.revision.clone(),
            // A sandbox reads the server's own mirror, a machine asks the server: no credentials on the node, and no network.
            repository: if can.whole_machine {
                format!("{SOURCE}{}", descriptor.name())
            } else {
                mirrors.path(&descriptor.spec.repository).display().to_string()
            },
        },
        ports: ports_of(descriptor),
        address: place.address.clone(),
        deps: descriptors
            .iter()
            .filter(|other| descriptor.spec.depends_on.iter().any(|d| &d.app == other.name()))
            .map(|other| (other.name().as_str().to_owned(), dependency(other)))
            .collect(),
        resources: descriptor
            .spec
            .resources
            .iter()
            .map(|(name, resource)| {
                let key = format!("{}/{name}", descriptor.name());
                let data = spec.data.get(&key).copied().unwrap_or(DataChoice::Empty);
                (
                    name.clone(),
                    ResourceView {
                        engine: engine(stack, descriptor, name, resource, place, postgres.filter(|_| !own_server)),
                        data,
                    },
                )
            })
            .collect(),
        descriptor: descriptor.clone(),
    };
    let databases = if own_server {
        databases_of(stack, descriptors)
    } else {
        Vec::new()
    };
    View {
        node: NodeView {
            name: node.to_owned(),
            provider: provider.to_owned(),
            layout: place.layout.clone(),
            confined_to: place.confined_to.clone(),
            installs_packages: can.installs_packages,
            addresses: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
        environment: STAGING.to_owned(),
        restorable: true,
        audit: false,
        datacenter: None,
        stack: Some(StackView {
            id: stack.as_str().to_owned(),
            name: stack_name.to_owned(),
        }),
        run_list: if databases.is_empty() {
            RunList::default()
        } else {
            run_list()
        },
        layers: database_layer(&databases).into_iter().collect(),
        facts: serde_json::Value::Object(serde_json::Map::new()),
        apps: spec
            .apps
            .iter()
            .filter_map(|app| {
                descriptors
                    .iter()
                    .find(|d| d.name() == &app.app)
                    .map(|descriptor| of_app(app, descriptor))
            })
            .collect(),
    }
}

/// Whether `postgres` resources are on the node itself, in a server that the production's recipe installs, rather than in one
/// that stacks share: whoever has a machine needs nobody else's.
pub fn holds_databases(can: &Capabilities) -> bool {
    can.whole_machine && can.installs_packages
}

// What the recipe `postgresql` is to make: a database and its owner for each resource, with the secret of the password.
fn databases_of(stack: &StackId, descriptors: &[Descriptor]) -> Vec<serde_json::Value> {
    let of = |descriptor: &Descriptor, resource: &String| {
        let name = database_name(stack, descriptor.name(), resource);
        json!({ "name": name, "owner": name, "secret": password_secret(descriptor.name(), resource) })
    };
    let resources = descriptors
        .iter()
        .flat_map(|d| d.spec.resources.iter().map(move |(name, r)| (d, name, r)));
    resources
        .filter(|(_, _, resource)| resource.kind == "postgres")
        .map(|(descriptor, name, _)| of(descriptor, name))
        .collect()
}

fn run_list() -> RunList {
    RunList {
        recipes: vec![RunItem {
            recipe: POSTGRESQL.to_owned(),
            role: "the stack's databases".to_owned(),
        }],
        ..RunList::default()
    }
}

fn database_layer(databases: &[serde_json::Value]) -> Option<Layer> {
    let values = json!({ POSTGRESQL: { "databases": databases } });
    let serde_json::Value::Object(values) = values else {
        return None;
    };
    (!databases.is_empty()).then(|| Layer {
        kind: LayerKind::Node,
        object: "the stack".to_owned(),
        path: String::new(),
        app: None,
        recipe: None,
        values,
    })
}

/// Name of the secret with the password of a database's owner.
pub fn password_secret(app: &AppName, resource: &str) -> String {
    format!("{app}/database/{resource}")
}

fn engine(
    stack: &StackId,
    descriptor: &Descriptor,
    name: &str,
    resource: &Resource,
    place: &Place<'_>,
    postgres: Option<&DatabaseServer>,
) -> ResourceEngine {
    if resource.kind == "postgres" {
        let database = database_name(stack, descriptor.name(), name);
        ResourceEngine::Postgres {
            host: postgres.map_or_else(|| "127.0.0.1".to_owned(), |server| server.host().to_owned()),
            port: postgres.map_or(5432, DatabaseServer::port),
            user: database.clone(),
            password_secret: password_secret(descriptor.name(), name),
            database,
        }
    } else {
        ResourceEngine::Sqlite {
            path: format!("{}/{}/{name}.sqlite", place.layout.data, descriptor.name()),
        }
    }
}

/// Where the apps of a stack are reached.
///
/// # Errors
/// Where the node or a descriptor is not stored.
pub async fn links(store: &Store, stack: &Stack) -> Result<Vec<Link>, StepError> {
    let node = match &stack.node {
        Some(node) => store.node(node).await.map_err(Fault::from)?,
        None => None,
    };
    let handle: Option<NodeHandle> = node
        .and_then(|row| row.handle)
        .and_then(|value| serde_json::from_value(value).ok());
    let Some(handle) = handle else {
        return Err(StepError::Final(Fault::new(
            "agent-lost",
            format!("{} has no server", stack.name),
        )));
    };
    let mut links = Vec::new();
    for descriptor in descriptors(store, &stack.spec).await? {
        for (port, spec) in &descriptor.spec.ports {
            if spec.protocol != "http" {
                continue;
            }
            let Some(number) = handle.ports.get(&format!("{}/{port}", descriptor.name())) else {
                continue;
            };
            links.push(Link {
                app: descriptor.name().clone(),
                port: port.clone(),
                label: spec.label.clone().unwrap_or_else(|| descriptor.title().to_owned()),
                url: format!("http://{}:{number}/", handle.address),
                direct: None,
                public: spec.public,
            });
        }
    }
    Ok(links)
}
