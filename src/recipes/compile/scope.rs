//! What the templates of one app, or of the node itself, see: the namespaces, built once from the view.

use super::about_app;
use super::owner::Owner;
use super::render::Renderer;
use crate::model::configuration::EnvValue;
use crate::model::descriptor::{Descriptor, EnvVar};
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::stack::DataChoice;
use crate::recipes::template::identifier;
use crate::recipes::view::{AppView, ResourceEngine, View};
use minijinja::value::{Serde, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;

// Marks a secret inside rendered text. Only names that the app owns are taken out of the marks again.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

/// The namespaces of one owner.
pub struct Scope {
    /// All but `params`.
    pub base: Value,
    /// Where the owner's programs run: an app's folder in the checkout.
    pub dir: String,
    /// Names of the secrets that it may use.
    secrets: BTreeSet<String>,
    // Whether it may also name secrets that people gave the server: the node's own recipes, which no stack has.
    names_any: bool,
}

impl Scope {
    /// Builds the namespaces, and renders the app's environment and commands, which are templates themselves.
    pub fn new<'t>(
        view: &'t View,
        owner: Owner<'t>,
        values: &Map<String, Json>,
        renderer: &mut Renderer<'_, 't>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut base = shared(view, owner, values);
        let Some(app) = owner.app() else {
            return Ok(Self {
                base: Value::from(Serde(&base)),
                dir: view.node.confined_to.clone().unwrap_or_else(|| "/".to_owned()),
                secrets: view.apps.iter().flat_map(passwords).collect(),
                names_any: view.stack.is_none(),
            });
        };
        let descriptor = &app.descriptor;
        let name = descriptor.name().as_str();
        let layout = &view.node.layout;
        let root = format!("{}/{name}/releases/{}", layout.apps, app.release.commit);
        let dir = descriptor
            .spec
            .path
            .as_ref()
            .map_or_else(|| root.clone(), |path| format!("{root}/{path}"));
        base["release"] = json!({
            "commit": app.release.commit, "revision": app.release.revision,
            "repository": app.release.repository, "root": root, "dir": dir,
        });
        base["ports"] = both_spellings(app.ports.iter().map(|(k, v)| (k.as_str(), json!(v))));
        base["deps"] = both_spellings(app.deps.iter().map(|(k, v)| (k.as_str(), json!(v))));
        base["app"] = json!({ "name": name, "title": descriptor.title() });
        let mut secrets = BTreeSet::new();
        base["resources"] = resources(app, &mut secrets);
        let context = Value::from(Serde(&base));
        let mut rendering = Rendering {
            app: name,
            renderer,
            context,
            problems: missing_resources(app),
        };
        let env = environment(view, descriptor, &mut rendering, &mut secrets);
        let processes = processes(app, &dir, &mut rendering);
        let build = build(descriptor, &mut rendering);
        let problems = rendering.problems;
        if !problems.is_empty() {
            return Err(problems);
        }
        base["app"] = json!({
            "name": name, "title": descriptor.title(), "description": descriptor.metadata.description,
            "type": descriptor.spec.kind, "env": env, "processes": processes, "build": build,
            "databases": databases(app, &dir),
        });
        let own = descriptor.spec.env.iter().filter(|(_, variable)| variable.secret);
        base["secrets"] = own
            .map(|(key, _)| (key.clone(), json!(mark(&format!("{name}/env/{key}")))))
            .collect();
        Ok(Self {
            base: Value::from(Serde(&base)),
            dir,
            secrets,
            names_any: false,
        })
    }

    /// The namespaces with parameters and further names.
    pub fn with(&self, params: &Value, more: Option<(&str, Value)>) -> Value {
        let own = Value::from_pairs(std::iter::once(("params", params.clone())).chain(more));
        minijinja::value::merge_maps([own, self.base.clone()])
    }

    /// A rendered text as a value of the environment: marked secrets become references.
    pub fn env_value(&self, text: &str) -> Result<EnvValue, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let Some((secret, tail)) = after.split_once(CLOSE) else {
                return Err("the value holds a character that is kept for secrets (U+E000)".to_owned());
            };
            if !before.is_empty() {
                pieces.push(EnvValue::Text(before.to_owned()));
            }
            pieces.push(self.secret(secret)?);
            rest = tail;
        }
        if pieces.is_empty() {
            return Ok(EnvValue::Text(rest.to_owned()));
        }
        if !rest.is_empty() {
            pieces.push(EnvValue::Text(rest.to_owned()));
        }
        match pieces.pop() {
            Some(only) if pieces.is_empty() => Ok(only),
            Some(last) => {
                pieces.push(last);
                Ok(EnvValue::Joined { join: pieces })
            }
            None => Ok(EnvValue::Text(String::new())),
        }
    }

    /// A reference to a secret: one of this app's own, or for the node's own recipes one that people gave the server.
    pub fn secret(&self, name: &str) -> Result<EnvValue, String> {
        if self.secrets.contains(name) || self.names_any && crate::model::secret::is_name(name) {
            return Ok(EnvValue::Secret { secret: name.to_owned() });
        }
        Err(format!("there is no secret {} here", crate::recipes::tree::shown(name)))
    }
}

// The namespaces that apps and the node itself share.
fn shared(view: &View, owner: Owner<'_>, values: &Map<String, Json>) -> Json {
    let layout = &view.node.layout;
    let folder = |of: &str| owner.app_name().map_or_else(|| of.to_owned(), |app| format!("{of}/{app}"));
    let mut base = json!({
        "node": {
            "name": view.node.name, "provider": view.node.provider,
            "address": owner.app().map_or_else(|| address(view), |app| app.address.clone()),
            "addresses": view.node.addresses, "labels": view.node.labels, "roles": view.run_list.expanded,
            "installs_packages": view.node.installs_packages, "confined_to": view.node.confined_to,
        },
        "env": { "name": view.environment, "restorable": view.restorable },
        "facts": view.facts,
        "values": values,
        "dirs": {
            "app": folder(&layout.apps), "data": folder(&layout.data),
            "config": folder(&layout.config), "logs": folder(&layout.logs),
        },
    });
    if let Some(datacenter) = &view.datacenter {
        base["dc"] = json!({ "name": datacenter.name, "standby_for": datacenter.standby_for });
    }
    if let Some(stack) = &view.stack {
        base["stack"] = json!({ "name": stack.name, "id": stack.id });
    }
    base
}

fn address(view: &View) -> String {
    let addresses = &view.node.addresses;
    let found = addresses.get("private").or_else(|| addresses.values().next());
    found.unwrap_or(&view.node.name).clone()
}

/// Whether a rendered text holds a secret.
pub fn holds_secret(text: &str) -> bool {
    text.contains(OPEN)
}

fn mark(secret: &str) -> String {
    format!("{OPEN}{secret}{CLOSE}")
}

// `deps.catalog_api` beside `deps["catalog-api"]`: in a template a dash is a minus sign.
fn both_spellings<'a>(entries: impl Iterator<Item = (&'a str, Json)>) -> Json {
    let mut map = Map::new();
    for (name, value) in entries {
        if name.contains('-') {
            map.insert(identifier(name), value.clone());
        }
        map.insert(name.to_owned(), value);
    }
    Json::Object(map)
}

// A server for databases that is on the node itself is told the passwords of their owners.
fn passwords(app: &AppView) -> impl Iterator<Item = String> {
    app.resources.values().filter_map(|resource| match &resource.engine {
        ResourceEngine::Postgres { password_secret, .. } => Some(password_secret.clone()),
        ResourceEngine::Sqlite { .. } => None,
    })
}

fn resources(app: &AppView, secrets: &mut BTreeSet<String>) -> Json {
    both_spellings(app.resources.iter().map(|(key, resource)| {
        let value = match &resource.engine {
            ResourceEngine::Sqlite { path } => {
                json!({ "engine": "sqlite", "url": format!("sqlite://{path}"), "path": path })
            }
            ResourceEngine::Postgres {
                host,
                port,
                database,
                user,
                password_secret,
            } => {
                secrets.insert(password_secret.clone());
                let password = mark(password_secret);
                json!({
                    "engine": "postgres", "host": host, "port": port, "database": database, "user": user,
                    "url": format!("postgres://{user}:{password}@{host}:{port}/{database}"), "password": password,
                })
            }
        };
        (key.as_str(), value)
    }))
}

fn missing_resources(app: &AppView) -> Vec<Diagnostic> {
    let name = app.descriptor.name().as_str();
    let resources = app.descriptor.spec.resources.keys();
    let ports = app.descriptor.spec.ports.keys();
    let problem = |what: &str, key: &str| {
        let message = format!("the view gives {name} no {what} `{key}`");
        about_app(
            name,
            Severity::Error,
            "view-incomplete",
            &format!("spec.{what}s.{key}"),
            message,
            None,
        )
    };
    resources
        .filter(|key| !app.resources.contains_key(*key))
        .map(|key| problem("resource", key))
        .chain(
            ports
                .filter(|key| !app.ports.contains_key(*key))
                .map(|key| problem("port", key)),
        )
        .collect()
}

struct Rendering<'r, 'e, 't> {
    app: &'t str,
    renderer: &'r mut Renderer<'e, 't>,
    context: Value,
    problems: Vec<Diagnostic>,
}

impl<'e, 't: 'e> Rendering<'_, 'e, 't> {
    fn text(&mut self, text: &'t str, path: &str) -> String {
        if !crate::recipes::shape::is_template(text) {
            return text.to_owned();
        }
        match self.renderer.text(text, &self.context) {
            Ok(text) => text,
            Err(failure) => {
                let message = format!("the template failed: {}", failure.message);
                let problem = about_app(self.app, Severity::Error, "template-failed", path, message, None);
                self.problems.push(problem);
                String::new()
            }
        }
    }

    fn command(&mut self, command: &'t [String], path: &str) -> Vec<String> {
        let rendered: Vec<String> = command.iter().map(|argument| self.text(argument, path)).collect();
        if rendered.iter().any(|argument| holds_secret(argument)) {
            let message = "a secret must not be an argument, for every process can read arguments".to_owned();
            let help = Some("pass it as an environment variable".to_owned());
            let problem = about_app(self.app, Severity::Error, "secret-in-clear", path, message, help);
            self.problems.push(problem);
        }
        rendered
    }
}

fn environment<'t>(
    view: &View,
    descriptor: &'t Descriptor,
    rendering: &mut Rendering<'_, '_, 't>,
    secrets: &mut BTreeSet<String>,
) -> Json {
    let staging = view.environment != "production";
    let mut env = Map::new();
    for (key, variable) in &descriptor.spec.env {
        let path = format!("spec.env.{key}");
        if variable.secret {
            let name = format!("{}/env/{key}", descriptor.name());
            env.insert(key.clone(), json!(mark(&name)));
            secrets.insert(name);
        } else if let Some(text) = clear_value(variable, staging) {
            env.insert(key.clone(), json!(rendering.text(text, &path)));
        } else {
            let message = format!("{key} has no value for {}", view.environment);
            let problem = about_app(rendering.app, Severity::Error, "variable-without-value", &path, message, None);
            rendering.problems.push(problem);
        }
    }
    Json::Object(env)
}

fn clear_value(variable: &EnvVar, staging: bool) -> Option<&str> {
    let staged = variable.staging_value.as_deref().filter(|_| staging);
    staged.or(variable.value.as_deref())
}

fn processes<'t>(app: &'t AppView, dir: &str, rendering: &mut Rendering<'_, '_, 't>) -> Json {
    let descriptor = &app.descriptor;
    let probed = descriptor.probed_process();
    let list = descriptor.spec.processes.iter().map(|(name, process)| {
        let command = rendering.command(&process.command, &format!("spec.processes.{name}.command"));
        let ready = if probed == Some(name.as_str()) {
            readiness(app, rendering)
        } else {
            Json::Null
        };
        json!({
            "name": name, "service": format!("{}-{name}", descriptor.name()),
            "command": command, "ready": ready, "cwd": dir,
        })
    });
    Json::Array(list.collect())
}

fn readiness<'t>(app: &'t AppView, rendering: &mut Rendering<'_, '_, 't>) -> Json {
    let Some(probe) = &app.descriptor.spec.readiness_probe else {
        return Json::Null;
    };
    let timeout = probe.timeout.as_deref().unwrap_or("30s");
    if let Some(get) = &probe.http_get {
        let port = app
            .descriptor
            .port_name(get.port.as_deref())
            .and_then(|name| app.ports.get(name));
        return port.map_or(
            Json::Null,
            |port| json!({ "http": format!("http://{}:{port}{}", app.address, get.path), "timeout": timeout }),
        );
    }
    let exec = probe.exec.as_deref().unwrap_or_default();
    json!({ "exec": rendering.command(exec, "spec.readinessProbe.exec"), "timeout": timeout })
}

fn build<'t>(descriptor: &'t Descriptor, rendering: &mut Rendering<'_, '_, 't>) -> Json {
    descriptor.spec.build.as_ref().map_or(Json::Null, |build| {
        json!({
            "command": rendering.command(&build.command, "spec.build.command"),
            "artifact": build.artifact,
            "timeout": build.timeout.as_deref().unwrap_or("10m"),
        })
    })
}

fn databases(app: &AppView, dir: &str) -> Json {
    let list = app.resources.iter().filter_map(|(name, view)| {
        let data = &app.descriptor.spec.resources.get(name)?.data;
        let file = |path: &Option<String>| path.as_ref().map(|path| format!("{dir}/{path}"));
        let fixture = if view.data == DataChoice::Fixture {
            file(&data.fixture)
        } else {
            None
        };
        Some(json!({ "name": name, "schema": file(&data.schema), "fixture": fixture }))
    });
    Json::Array(list.collect())
}
