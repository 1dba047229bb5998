//! What a compile knows of the world: the node and where it stands, its roles and values, and each app's release, ports,
//! dependencies and resources. A stack's node and a production node have the same view.
//!
//! Staging and production differ in this data and in nothing else.

use crate::model::configuration::Layout;
use crate::model::descriptor::Descriptor;
use crate::model::name::AppName;
use crate::model::stack::DataChoice;
use crate::recipes::run_list::RunList;
use crate::recipes::values::Layer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything that one compile reads besides recipes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The node.
    pub node: NodeView,
    /// `staging`, `production`, ...
    pub environment: String,
    /// Whether databases of this environment may be restored over what they hold.
    #[serde(default)]
    pub restorable: bool,
    /// Whether the node's agent only looks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// The datacenter; a stack's node may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacenter: Option<DatacenterView>,
    /// The stack, where the node is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackView>,
    /// What the node does: its roles, and their recipes in order.
    #[serde(default)]
    pub run_list: RunList,
    /// Values by layer. The organisation's own are in the bundle, defaults in its recipes.
    #[serde(default)]
    pub layers: Vec<Layer>,
    /// What the node reported of itself.
    #[serde(default = "no_facts")]
    pub facts: Value,
    /// The apps of the node, each after what it needs: the order of the configuration.
    pub apps: Vec<AppView>,
}

fn no_facts() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The datacenter as recipes see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatacenterView {
    /// Its name.
    pub name: String,
    /// The datacenter whose work it takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby_for: Option<String>,
}

/// The node as recipes see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeView {
    /// Its id.
    pub name: String,
    /// Where it comes from.
    pub provider: String,
    /// Where things go on it.
    pub layout: Layout,
    /// Where set, states may only write below this folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confined_to: Option<String>,
    /// Whether packages can be installed, rather than only checked for.
    pub installs_packages: bool,
    /// Where it is reached, by network: `private`, `public`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, String>,
    /// For queries and templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The stack as recipes see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// An app of the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppView {
    /// Its descriptor.
    pub descriptor: Descriptor,
    /// What is checked out.
    pub release: Release,
    /// The port that each of its named ports got.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Where its ports are reached, such as `127.0.0.1`.
    pub address: String,
    /// Where the apps that it needs are; an optional one that is not in the stack is absent.
    #[serde(default)]
    pub deps: BTreeMap<String, DependencyView>,
    /// Its databases; every resource of the descriptor is here.
    #[serde(default)]
    pub resources: BTreeMap<String, ResourceView>,
}

/// The release of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The full commit.
    pub commit: String,
    /// What a person picked, such as `v1.1`.
    pub revision: String,
    /// The repository as the node reaches it.
    pub repository: String,
}

/// Where an app that is needed is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependencyView {
    /// Its address with scheme, at its first port; absent where it has none.
    #[serde(default)]
    pub url: Option<String>,
    /// Its host.
    pub host: String,
    /// The port of `url`.
    #[serde(default)]
    pub port: Option<u16>,
    /// All its ports by name.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// All hosts that it is reached at, the nearest first; `host` is the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// A database of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceView {
    /// Which and where.
    #[serde(flatten)]
    pub engine: ResourceEngine,
    /// What it starts with.
    pub data: DataChoice,
}

/// Which database, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
pub enum ResourceEngine {
    /// A file.
    Sqlite {
        /// Where; below the node's data folder.
        path: String,
    },
    /// A database in a server.
    Postgres {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// The database.
        database: String,
        /// The role.
        user: String,
        /// Name of the secret that holds its password, such as `storefront/database/db`.
        password_secret: String,
    },
}

impl View {
    /// The view of one server that nobody keeps in an inventory, for recipes that are tried on it. It belongs to no stack and no
    /// datacenter, and its databases are not to be restored over.
    pub fn of_server(name: &str, facts: Value, run_list: RunList, layers: Vec<Layer>) -> Self {
        Self {
            node: NodeView {
                name: name.to_owned(),
                provider: "server".to_owned(),
                layout: Layout::of_servers(),
                confined_to: None,
                installs_packages: true,
                addresses: BTreeMap::new(),
                labels: BTreeMap::new(),
            },
            environment: "local".to_owned(),
            restorable: false,
            audit: false,
            datacenter: None,
            stack: None,
            run_list,
            layers,
            facts,
            apps: Vec::new(),
        }
    }

    /// The same on a machine of its own rather than in a sandbox.
    pub fn on_a_machine(mut self) -> Self {
        self.node.provider = "server".to_owned();
        self.node.layout = Layout::of_servers();
        self.node.confined_to = None;
        self.node.installs_packages = true;
        self
    }

    /// A view made up for one app alone: an ordinary sandbox, ports from 8001, databases with their default data, and
    /// each dependency as if it were there. For checking and rendering where no server is at hand; `others` says which
    /// ports the dependencies have, as far as it is known.
    pub fn example(descriptor: &Descriptor, others: &BTreeMap<AppName, &Descriptor>) -> Self {
        let ports: BTreeMap<String, u16> = descriptor.spec.ports.keys().cloned().zip(8001..).collect();
        let deps = descriptor
            .spec
            .depends_on
            .iter()
            .zip((0_u16..200).map(|index| 9001 + index * 50))
            .map(|(dependency, first)| {
                let ports: BTreeMap<String, u16> = match others.get(&dependency.app) {
                    Some(other) => other.spec.ports.keys().take(50).cloned().zip(first..).collect(),
                    None => BTreeMap::from([("web".to_owned(), first)]),
                };
                let port = ports.values().next().copied();
                let view = DependencyView {
                    url: port.map(|port| format!("http://127.0.0.1:{port}")),
                    host: "127.0.0.1".to_owned(),
                    port,
                    ports,
                    hosts: vec!["127.0.0.1".to_owned()],
                };
                (dependency.app.to_string(), view)
            })
            .collect();
        let name = descriptor.name().as_str();
        let resources = descriptor
            .spec
            .resources
            .iter()
            .map(|(key, resource)| {
                let engine = if resource.kind == "postgres" {
                    ResourceEngine::Postgres {
                        host: "127.0.0.1".to_owned(),
                        port: 5432,
                        database: format!("{name}_{key}"),
                        user: format!("{name}_{key}"),
                        password_secret: format!("{name}/database/{key}"),
                    }
                } else {
                    ResourceEngine::Sqlite {
                        path: format!("/sandbox/var/lib/apps/{name}/{key}.sqlite"),
                    }
                };
                (
                    key.clone(),
                    ResourceView {
                        engine,
                        data: resource.data.initial(),
                    },
                )
            })
            .collect();
        Self {
            node: NodeView {
                name: "example-node".to_owned(),
                provider: "sandbox".to_owned(),
                layout: Layout {
                    apps: "/sandbox/srv/apps".to_owned(),
                    data: "/sandbox/var/lib/apps".to_owned(),
                    config: "/sandbox/etc/apps".to_owned(),
                    logs: "/sandbox/var/log/apps".to_owned(),
                },
                confined_to: Some("/sandbox".to_owned()),
                installs_packages: false,
                addresses: BTreeMap::new(),
                labels: BTreeMap::new(),
            },
            environment: "staging".to_owned(),
            restorable: true,
            audit: false,
            datacenter: None,
            stack: Some(StackView {
                id: "stack-example".to_owned(),
                name: "example".to_owned(),
            }),
            run_list: RunList::default(),
            layers: Vec::new(),
            facts: no_facts(),
            apps: vec![AppView {
                release: Release {
                    commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                    revision: descriptor.spec.default_ref.clone(),
                    repository: descriptor.spec.repository.to_string(),
                },
                descriptor: descriptor.clone(),
                ports,
                address: "127.0.0.1".to_owned(),
                deps,
                resources,
            }],
        }
    }
}
