//! Decoding: one rendered state becomes a typed one, checked against its shape and the node's limits.

mod machine;

use super::owner::Owner;
use super::scope::{Scope, holds_secret};
use crate::model::configuration::{
    DatabaseEngine, EnvValue, Guards, Notification, Readiness, RestartPolicy, State, StateBody, Target,
};
use crate::model::time::parse_length;
use crate::recipes::rules;
use crate::recipes::shape::{Record, Shape, Strictness, check, choices};
use crate::recipes::tree::{Findings, Kind, Node, did_you_mean, shown};
use crate::recipes::view::{ResourceEngine, View};
use std::collections::BTreeMap;

/// Makes one state of its rendered properties.
pub struct Decoder<'a> {
    /// The view.
    pub view: &'a View,
    /// Whose state it is.
    pub owner: Owner<'a>,
    /// The owner's namespaces.
    pub scope: &'a Scope,
    /// The state's type.
    pub record: &'static Record,
    /// Where its type is written.
    pub at: usize,
    /// Its rendered properties.
    pub body: &'a Node,
}

impl Decoder<'_> {
    /// The state; nothing where findings say why. `content` is the rendered text of a template state.
    pub fn decode(&self, content: Option<String>, findings: &mut Findings<'_>) -> Option<State> {
        let kind = self.record.name;
        check(self.body, &Shape::Record(self.record), Strictness::Yaml, kind, findings);
        if findings.has_errors() {
            return None;
        }
        self.no_secret_in_clear(self.body, kind, findings);
        if content.as_deref().is_some_and(holds_secret) {
            self.secret_found(self.at, kind, findings);
        }
        let body = self.state_body(content, findings)?;
        self.confine(findings);
        if findings.has_errors() {
            return None;
        }
        let reference = |id: &str| self.owner.id(id);
        Some(State {
            id: self.owner.id(&format!("{kind}/{}", self.id())),
            title: self.text("title").unwrap_or_else(|| self.title(&body)),
            app: self.owner.app_name().map(str::to_owned),
            origin: findings.source.origin(self.at),
            guards: Guards {
                only_if: self.list("only_if"),
                not_if: self.list("not_if"),
                creates: self.text("creates"),
                changed: self.text("changed").as_deref().map(reference),
                removes: self.text("removes"),
                file_exists: self.text("file_exists"),
                port_open: self.number("port_open"),
                safe_in_plan: self.flag("safe_in_plan"),
            },
            restarts: self
                .list("restarts")
                .unwrap_or_default()
                .iter()
                .map(|id| reference(id))
                .collect(),
            targets: self
                .list("targets")
                .unwrap_or_default()
                .iter()
                .filter_map(|name| Target::named(name))
                .collect(),
            notify: self.notifications(&reference, findings),
            audit: self.flag("audit"),
            body,
        })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.body.get(name).and_then(Node::scalar).map(str::to_owned)
    }

    fn list(&self, name: &str) -> Option<Vec<String>> {
        self.body.get(name).map(Node::texts)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    fn flag(&self, name: &str) -> bool {
        self.body.get(name).is_some_and(Node::is_true)
    }

    fn notifications(&self, reference: &dyn Fn(&str) -> String, findings: &mut Findings<'_>) -> Vec<Notification> {
        let mut all = Vec::new();
        for item in self.body.get("notify").map(Node::items).unwrap_or_default() {
            let verbs = ["restart", "reload", "run"];
            let mut given = verbs.iter().filter_map(|verb| Some((*verb, item.get(verb)?.scalar()?)));
            let (Some((verb, id)), None) = (given.next(), given.next()) else {
                let path = format!("{}.notify", self.record.name);
                findings.error(
                    item.at,
                    "invalid-value",
                    &path,
                    "exactly one of `restart`, `reload` and `run` is needed",
                );
                continue;
            };
            all.push(Notification {
                verb: verb.to_owned(),
                state: reference(id),
                now: item.get("now").is_some_and(Node::is_true),
            });
        }
        let to = self.list("subscribe").unwrap_or_default();
        all.extend(to.iter().map(|id| Notification {
            verb: super::SUBSCRIBES.to_owned(),
            state: reference(id),
            now: false,
        }));
        let after = self.list("after").unwrap_or_default();
        all.extend(after.iter().map(|id| Notification {
            verb: super::AFTER.to_owned(),
            state: reference(id),
            now: false,
        }));
        all
    }

    fn required(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn mode(&self, default: &str) -> String {
        self.text("mode")
            .and_then(|text| rules::mode(&text))
            .unwrap_or_else(|| default.to_owned())
    }

    fn id(&self) -> String {
        if let Some(id) = self.text("id") {
            return id;
        }
        let last = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
        match self.record.name {
            "package" => self.names("name").into_iter().next().unwrap_or_default(),
            "database" => self.text("resource").unwrap_or_else(|| self.required("name")),
            "hosts_entry" => self
                .list("names")
                .and_then(|names| names.into_iter().next())
                .unwrap_or_default(),
            "database_restore" => self.required("database"),
            "wait_for" => ["port", "http", "file"]
                .iter()
                .find_map(|name| self.text(name))
                .unwrap_or_default(),
            _ if self.body.get("name").is_some() => self.required("name"),
            "execute" => last(self.list("command").and_then(|c| c.into_iter().next()).unwrap_or_default()),
            _ => last(self.required("path")),
        }
    }

    fn title(&self, body: &StateBody) -> String {
        let line = match body {
            StateBody::Package {
                program, install: None, ..
            } => format!("Find the program {program}"),
            StateBody::File { path, .. } => format!("Write {path}"),
            StateBody::Directory { path, .. } => format!("Make the folder {path}"),
            StateBody::Git { path, commit, .. } => match self.owner.app() {
                Some(app) => format!("Check out {} at {}", app.descriptor.name(), app.release.revision),
                None => format!("Check out {commit} in {path}"),
            },
            StateBody::Execute { command, .. } => format!("Run {}", command.join(" ")),
            StateBody::Service { name, .. } => format!("Keep {name} running"),
            StateBody::Database { name, .. } => format!("Provide the database {name}"),
            other => machine::title(other),
        };
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(120).collect()
    }

    fn state_body(&self, content: Option<String>, findings: &mut Findings<'_>) -> Option<StateBody> {
        let revision = || self.text("revision").unwrap_or_else(|| self.owner.commit().to_owned());
        let cwd = || self.text("cwd").unwrap_or_else(|| self.scope.dir.clone());
        Some(match self.record.name {
            "package" => self.package(findings),
            "file" | "template" | "directory" if self.is_absent() => self.absent(),
            "file" | "template" => {
                if content.is_none() && self.body.get("content").is_none() {
                    findings.error(self.at, "missing-field", "file.content", "`content` is needed");
                    return None;
                }
                StateBody::File {
                    path: self.required("path"),
                    content: content.unwrap_or_else(|| self.required("content")),
                    mode: self.mode("0644"),
                    secret: self.flag("secret"),
                    owner: self.account("owner", findings),
                    group: self.account("group", findings),
                    validate: self.list("validate").unwrap_or_default(),
                }
            }
            "directory" => StateBody::Directory {
                path: self.required("path"),
                mode: self.mode("0755"),
                owner: self.account("owner", findings),
                group: self.account("group", findings),
            },
            "git" => StateBody::Git {
                path: self.required("path"),
                repository: self.required("repository"),
                commit: self.required("commit"),
                user: self.account("user", findings),
            },
            "execute" => StateBody::Execute {
                command: self.list("command")?,
                cwd: cwd(),
                env: self.env(findings),
                path: self.list("path").unwrap_or_default(),
                timeout_s: seconds(self.body, "timeout", 600),
                failure: self.text("failure").unwrap_or_else(|| "state-failed".to_owned()),
                user: self.account("user", findings),
                exit_codes: self.names("exit_codes").iter().filter_map(|code| code.parse().ok()).collect(),
                refresh_only: self.flag("refresh_only"),
            },
            "service" if self.body.get("command").is_none() => self.system_service(findings)?,
            "service" => StateBody::Service {
                name: self.required("name"),
                command: self.list("command")?,
                cwd: cwd(),
                env: self.env(findings),
                path: self.list("path").unwrap_or_default(),
                restart: self.restart(),
                ready: self.ready(findings),
                stop_timeout_s: seconds(self.body, "stop_timeout", 10),
                revision: revision(),
                user: self.account("user", findings),
            },
            "database" if self.body.get("resource").is_none() => self.server_database(findings)?,
            "database" => self.database(revision(), findings)?,
            _ => self.machine_state(findings)?,
        })
    }

    fn restart(&self) -> RestartPolicy {
        let node = self.body.get("restart");
        let field = |name: &str| node.and_then(|n| n.get(name)).and_then(Node::scalar);
        RestartPolicy {
            policy: field("policy").unwrap_or("always").to_owned(),
            limit: field("limit").and_then(|text| text.parse().ok()).unwrap_or(5),
        }
    }

    fn ready(&self, findings: &mut Findings<'_>) -> Option<Readiness> {
        let node = self.body.get("ready")?;
        let http = node.get("http").and_then(Node::scalar).map(str::to_owned);
        let exec = node.get("exec").map(Node::texts);
        if http.is_some() == exec.is_some() {
            findings.error(
                node.at,
                "invalid-probe",
                "service.ready",
                "exactly one of `http` and `exec` is needed",
            );
            return None;
        }
        Some(Readiness {
            http,
            exec,
            timeout_s: seconds(node, "timeout", 30),
        })
    }

    fn env(&self, findings: &mut Findings<'_>) -> BTreeMap<String, EnvValue> {
        let mut env = BTreeMap::new();
        for (key, node) in self.body.get("env").map(Node::entries).unwrap_or_default() {
            let value = match &node.kind {
                Kind::Text(text) | Kind::Number(text) => self.scope.env_value(text),
                Kind::Bool(value) => Ok(EnvValue::Text(value.to_string())),
                Kind::Null => continue,
                Kind::Map(_) if node.entries().len() == 1 && node.get("secret").is_some_and(|n| n.text().is_some()) => {
                    let name = node.get("secret").and_then(Node::text).unwrap_or_default();
                    self.scope.secret(name)
                }
                _ => Err("text or `{secret: NAME}` was expected".to_owned()),
            };
            match value {
                Ok(value) => {
                    env.insert(key.name.clone(), value);
                }
                Err(message) => {
                    let path = format!("{}.env.{}", self.record.name, key.name);
                    findings.error(node.at, "invalid-value", &path, message);
                }
            }
        }
        env
    }

    fn database(&self, revision: String, findings: &mut Findings<'_>) -> Option<StateBody> {
        let node = self.body.get("resource")?;
        let resource = node.scalar()?;
        let app = self.owner.shown();
        let resources = self.owner.app().map(|app| &app.resources);
        let Some(view) = resources.and_then(|all| all.get(resource)) else {
            let names: Vec<&str> = resources.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let message = format!("{app} has no resource {}", shown(resource));
            let help = did_you_mean(resource, names.iter().copied()).unwrap_or_else(|| choices(&names));
            findings.error_help(node.at, "unknown-resource", "database.resource", message, help);
            return None;
        };
        let engine = match &view.engine {
            ResourceEngine::Sqlite { path } => {
                self.inside(path, node.at, "database.resource", findings);
                DatabaseEngine::Sqlite { path: path.clone() }
            }
            ResourceEngine::Postgres {
                host,
                port,
                database,
                user,
                password_secret,
            } => DatabaseEngine::Postgres {
                host: host.clone(),
                port: *port,
                database: database.clone(),
                user: user.clone(),
                password: EnvValue::Secret {
                    secret: password_secret.clone(),
                },
            },
        };
        Some(StateBody::Database {
            name: format!("{app}/{resource}"),
            engine,
            schema: self.text("schema"),
            fixture: self.text("fixture"),
            revision,
        })
    }

    fn confine(&self, findings: &mut Findings<'_>) {
        let kind = self.record.name;
        for field in ["path", "cwd", "creates", "removes", "schema", "fixture"] {
            let Some(node) = self.body.get(field) else { continue };
            if let Some(path) = node.scalar() {
                self.inside(path, node.at, &format!("{kind}.{field}"), findings);
            }
        }
    }

    fn inside(&self, path: &str, at: usize, place: &str, findings: &mut Findings<'_>) {
        let Some(root) = &self.view.node.confined_to else { return };
        let below = path
            .strip_prefix(root.trim_end_matches('/'))
            .is_some_and(|rest| rest.starts_with('/'));
        if below && !path.split('/').any(|part| part == "..") {
            return;
        }
        let message = format!("the path {} is outside this server's own folder {root}", shown(path));
        let help = "use the folders in `dirs`, or launch with a provider whose servers are whole machines: Docker or EC2";
        findings.error_help(at, "configuration-refused", place, message, help);
    }

    fn no_secret_in_clear(&self, node: &Node, path: &str, findings: &mut Findings<'_>) {
        match &node.kind {
            Kind::Text(text) if holds_secret(text) => self.secret_found(node.at, path, findings),
            Kind::List(items) => items.iter().for_each(|item| self.no_secret_in_clear(item, path, findings)),
            Kind::Map(entries) => {
                for (key, value) in entries.iter().filter(|(key, _)| key.name != "env") {
                    self.no_secret_in_clear(value, &format!("{path}.{}", key.name), findings);
                }
            }
            _ => {}
        }
    }

    fn secret_found(&self, at: usize, path: &str, findings: &mut Findings<'_>) {
        let message = format!("a secret of {} would stand here in clear", self.owner.shown());
        let help = "secrets may only be used in `env`, where they travel by reference";
        findings.error_help(at, "secret-in-clear", path, message, help);
    }
}

fn seconds(of: &Node, name: &str, default: u64) -> u64 {
    of.get(name)
        .and_then(Node::scalar)
        .and_then(|text| parse_length(text).ok())
        .and_then(|millis| u64::try_from(millis / 1000).ok())
        .unwrap_or(default)
}
