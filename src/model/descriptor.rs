//! The typed descriptor of an app: what the JSON file says, once it has passed the one validator.
//!
//! The accepted shape, its messages and its JSON Schema are in [`crate::recipes::descriptor`]; these types are what a
//! valid document decodes to. Field names are the document's (camelCase).

use super::name::{AppName, RepositoryUrl};
use super::stack::DataChoice;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An app's descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// `greenroom/v1`.
    pub api_version: String,
    /// `App`.
    pub kind: String,
    /// Name and words about it.
    pub metadata: Metadata,
    /// What it is.
    pub spec: Spec,
}

/// Name and words about an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Unique name.
    pub name: AppName,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// One or two sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For queries.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// For other tools.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<MetadataLink>,
}

/// Where to read more about an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetadataLink {
    /// The address.
    pub url: String,
    /// What is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// What an app is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// `website`, `service`, `worker`, `library`, ...: free, for people.
    #[serde(rename = "type")]
    pub kind: String,
    /// `experimental`, `production`, `deprecated`.
    #[serde(default = "production")]
    pub lifecycle: String,
    /// The two owners.
    pub owners: Owners,
    /// The larger system it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Its git repository.
    pub repository: RepositoryUrl,
    /// The revision that is taken where nobody picks one.
    #[serde(default = "main_ref")]
    pub default_ref: String,
    /// Its folder in the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The recipes that build its server, in order.
    pub recipes: Vec<RecipeRef>,
    /// Values for templates and the recipes' parameters, below those of every place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, serde_json::Value>,
    /// The apps it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// How it is built from a checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// What it runs, by process name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub processes: BTreeMap<String, Process>,
    /// Where it listens, by port name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, Port>,
    /// When it is ready to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// Its environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, EnvVar>,
    /// The databases it needs, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resources: BTreeMap<String, Resource>,
    /// Whom it may call outside the stack; nobody by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Outbound>,
    /// What it runs by the clock; off in staging unless said otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schedules: BTreeMap<String, Schedule>,
    /// Pages that must answer before a stack counts as ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

fn production() -> String {
    "production".to_owned()
}

fn main_ref() -> String {
    "main".to_owned()
}

/// Who answers for an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Owners {
    /// Whoever changes its code.
    pub dev: String,
    /// Whoever is called at night.
    pub ops: String,
}

/// A recipe and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeRef {
    /// The recipe's name.
    pub name: String,
    /// Values for its parameters.
    #[serde(default, rename = "with", skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, serde_json::Value>,
}

/// An app that this one needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// The app.
    pub app: AppName,
    /// A stack may be launched without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// How an app is built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Program and arguments, run in the checkout.
    pub command: Vec<String>,
    /// A file that is there once it is built, relative to the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// Time limit such as `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// A process of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments, run in the checkout.
    pub command: Vec<String>,
}

/// A port of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The port in production; a stack gets one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `http` or `tcp`.
    #[serde(default = "http")]
    pub protocol: String,
    /// Whether people open it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// What to call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

fn http() -> String {
    "http".to_owned()
}

/// When a service is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Ask a page of one of its ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
    /// Run a program in the checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// How long it may take, such as `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// A page to ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpGet {
    /// The path, starting with `/`.
    pub path: String,
    /// The port's name; the only one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

/// An environment variable of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its value: a template over `node app env deps resources ports release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its value in staging, where production's must not be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging_value: Option<String>,
    /// Never shown; never inherited from production.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    /// `secret`: made up at random for each stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
}

/// A database that an app needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// `sqlite` or `postgres`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A variant that the platform offers, such as a server class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Apps that name the same type, class and id share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the type needs to know.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, serde_json::Value>,
    /// What it may start with.
    #[serde(default)]
    pub data: ResourceData,
}

/// What a database may start with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceData {
    /// SQL file in the repository that makes the tables, run first whatever the choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// SQL file in the repository with test data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixture: Option<String>,
    /// `empty` or `fixture`; the fixture where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// Whom an app may call outside the stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outbound {
    /// Host names.
    #[serde(default)]
    pub allow: Vec<String>,
}

/// What an app runs by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Five fields of cron.
    pub cron: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether it also runs in staging.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_staging: bool,
}

/// A page that must answer before a stack counts as ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What to call it.
    pub name: String,
    /// The page.
    pub http_get: HttpGet,
    /// Text that the page must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

impl ResourceData {
    /// What the database starts with where nobody picks: the default, or the fixture where there is one.
    pub fn initial(&self) -> DataChoice {
        match self.default.as_deref() {
            Some("empty") => DataChoice::Empty,
            Some("fixture") => DataChoice::Fixture,
            _ if self.fixture.is_some() => DataChoice::Fixture,
            _ => DataChoice::Empty,
        }
    }

    /// What a person may choose.
    pub fn choices(&self) -> Vec<DataChoice> {
        let fixture = self.fixture.is_some().then_some(DataChoice::Fixture);
        std::iter::once(DataChoice::Empty).chain(fixture).collect()
    }
}

impl Descriptor {
    /// The app's name.
    pub fn name(&self) -> &AppName {
        &self.metadata.name
    }

    /// What people call it: its title, or its name.
    pub fn title(&self) -> &str {
        self.metadata.title.as_deref().unwrap_or(self.metadata.name.as_str())
    }

    /// The port that the readiness probe or a check means: the named one, or the only or first one.
    pub fn port_name<'a>(&'a self, named: Option<&'a str>) -> Option<&'a str> {
        named.or_else(|| self.spec.ports.keys().next().map(String::as_str))
    }

    /// The port that the app's address leads to: the first that people open, else the first that speaks HTTP.
    pub fn front_port(&self) -> Option<&str> {
        let http = || self.spec.ports.iter().filter(|(_, port)| port.protocol == "http");
        let found = http().find(|(_, port)| port.public).or_else(|| http().next());
        found.map(|(name, _)| name.as_str())
    }

    /// The process that the readiness probe is about: the one named as the probe's port, or `web`, or the first.
    pub fn probed_process(&self) -> Option<&str> {
        let probe = self.spec.readiness_probe.as_ref()?;
        let port = probe.http_get.as_ref().and_then(|get| self.port_name(get.port.as_deref()));
        let names = &self.spec.processes;
        port.filter(|name| names.contains_key(*name))
            .or_else(|| names.contains_key("web").then_some("web"))
            .or_else(|| names.keys().next().map(String::as_str))
    }
}
