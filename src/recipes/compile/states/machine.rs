//! Decoding the state types that need a whole machine, and refusing them where there is none.

use super::{Decoder, seconds};
use crate::model::configuration::{
    Absent, AptRepository, Archive, Cron, DatabaseRestore, DatabaseUser, Download, EnvValue, Group, HostsEntry, Install, Link,
    ServerDatabase, StateBody, SystemService, Timer, User, WaitFor,
};
use crate::recipes::tree::{Findings, Kind, Node};

const ADVICE: &str =
    "launch with a provider whose servers are whole machines, such as Docker or EC2, or leave it out with `when`";

/// What a state does, for people.
pub(super) fn title(body: &StateBody) -> String {
    let either = |present: bool, yes: &str, no: &str| if present { yes.to_owned() } else { no.to_owned() };
    match body {
        StateBody::Package { name, install, .. } => {
            let install = install.clone().unwrap_or_default();
            let all: Vec<&str> = std::iter::once(name.as_str())
                .chain(install.also.iter().map(String::as_str))
                .collect();
            let verb = if matches!(install.state.as_str(), "absent" | "purged") {
                "Remove"
            } else {
                "Install"
            };
            format!("{verb} {}", all.join(", "))
        }
        StateBody::Link(link) => format!("Link {} to {}", link.path, link.to),
        StateBody::Absent(absent) => format!("Remove {}", absent.path),
        StateBody::SystemService(service) => match (service.running, service.enabled) {
            (Some(true), _) => format!("Keep {} running", service.name),
            (Some(false), _) => format!("Keep {} stopped", service.name),
            (None, Some(false)) => format!("Keep {} from starting with the machine", service.name),
            _ => format!("Set up {}", service.name),
        },
        StateBody::User(user) => format!("{} the account {}", either(user.present, "Make", "Remove"), user.name),
        StateBody::Group(group) => format!("{} the group {}", either(group.present, "Make", "Remove"), group.name),
        StateBody::Cron(cron) => format!("{} {} by cron", either(cron.present, "Run", "Do not run"), cron.name),
        StateBody::Timer(timer) => format!("{} {} by the clock", either(timer.present, "Run", "Do not run"), timer.name),
        StateBody::Download(download) => format!("Download {}", download.path),
        StateBody::Archive(archive) => format!("Unpack {}", archive.path),
        StateBody::AptRepository(known) => format!("{} the packages of {}", either(known.present, "Use", "Forget"), known.name),
        StateBody::HostsEntry(entry) => format!("Name {} {}", entry.address, entry.names.join(" ")),
        StateBody::ServerDatabase(database) => format!("Make the database {}", database.name),
        StateBody::DatabaseUser(user) => format!("{} the database role {}", either(user.present, "Make", "Remove"), user.name),
        StateBody::DatabaseRestore(restore) => format!("Fill the database {}", restore.database),
        StateBody::WaitFor(wait) => match (&wait.port, &wait.http, &wait.file) {
            (Some(port), ..) => format!("Wait for {}:{port}", wait.host),
            (_, Some(url), _) => format!("Wait for {url}"),
            (.., file) => format!("Wait for {}", file.as_deref().unwrap_or_default()),
        },
        other => other.type_name().to_owned(),
    }
}

impl Decoder<'_> {
    // A list, or one text as a list of it.
    pub(super) fn names(&self, name: &str) -> Vec<String> {
        match self.body.get(name) {
            None => Vec::new(),
            Some(node) => node.scalar().map_or_else(|| node.texts(), |text| vec![text.to_owned()]),
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        self.text("state").as_deref() == Some("absent")
    }

    pub(super) fn absent(&self) -> StateBody {
        StateBody::Absent(Absent {
            path: self.required("path"),
            recursive: self.flag("recursive"),
        })
    }

    /// An account that something belongs to or runs as; other accounts than its own are nothing a sandbox has.
    pub(super) fn account(&self, name: &str, findings: &mut Findings<'_>) -> Option<String> {
        let node = self.body.get(name)?;
        self.whole_machine(node.at, name, &format!("`{name}`"), findings);
        node.scalar().map(str::to_owned)
    }

    fn whole_machine(&self, at: usize, field: &str, what: &str, findings: &mut Findings<'_>) {
        if self.view.node.confined_to.is_some() {
            let message = format!("{what} needs a machine of its own, and this server is a sandbox");
            let place = format!("{}.{field}", self.record.name);
            findings.error_help(at, "configuration-refused", &place, message, ADVICE);
        }
    }

    pub(super) fn package(&self, findings: &mut Findings<'_>) -> StateBody {
        let mut names = self.names("name").into_iter();
        let name = names.next().unwrap_or_default();
        let state = self.text("state").unwrap_or_else(|| "installed".to_owned());
        let install = if self.view.node.installs_packages {
            Some(Install {
                state,
                version: self.text("version"),
                hold: self.flag("hold"),
                also: names.collect(),
            })
        } else {
            // Looking for a program says nothing about these.
            for field in ["version", "hold"] {
                if let Some(node) = self.body.get(field) {
                    self.whole_machine(node.at, field, &format!("`{field}` of a package"), findings);
                }
            }
            if state != "installed" {
                self.whole_machine(self.at, "state", &format!("a package that is to be {state}"), findings);
            }
            None
        };
        StateBody::Package {
            program: self.text("program").unwrap_or_else(|| name.clone()),
            name,
            min_version: self.text("min_version"),
            version_args: self.list("version_args").unwrap_or_default(),
            install,
        }
    }

    pub(super) fn system_service(&self, findings: &mut Findings<'_>) -> Option<StateBody> {
        let service = SystemService {
            name: self.required("name"),
            unit: self.text("unit"),
            running: self.text("state").map(|state| state == "running"),
            enabled: self.body.get("enabled").map(Node::is_true),
        };
        for field in ["env", "path", "restart", "ready", "stop_timeout", "user", "cwd"] {
            if let Some(node) = self.body.get(field) {
                let message = format!("`{field}` belongs to a process with `command`; a unit says it in its own text");
                findings.error(node.at, "invalid-value", &format!("service.{field}"), message);
            }
        }
        if service.unit.is_none() && service.running.is_none() && service.enabled.is_none() {
            let message = "a service needs `command`, or one of `state`, `enabled` and `unit`";
            findings.error(self.at, "missing-field", "service.command", message);
            return None;
        }
        self.whole_machine(self.at, "name", "a service of the operating system", findings);
        Some(StateBody::SystemService(service))
    }

    pub(super) fn server_database(&self, findings: &mut Findings<'_>) -> Option<StateBody> {
        if self.body.get("name").is_none() {
            findings.error(
                self.at,
                "missing-field",
                "database.resource",
                "one of `resource` and `name` is needed",
            );
            return None;
        }
        self.whole_machine(self.at, "name", "a database server of its own", findings);
        Some(StateBody::ServerDatabase(ServerDatabase {
            name: self.required("name"),
            owner: self.text("owner"),
        }))
    }

    pub(super) fn machine_state(&self, findings: &mut Findings<'_>) -> Option<StateBody> {
        let kind = self.record.name;
        if !matches!(kind, "link" | "download" | "archive" | "wait_for") {
            self.whole_machine(self.at, "name", &format!("`{kind}`"), findings);
        }
        let present = !self.is_absent();
        Some(match kind {
            "link" if !present => self.absent(),
            "link" => StateBody::Link(Link {
                path: self.required("path"),
                to: self.needed("to", findings)?,
            }),
            "user" => StateBody::User(User {
                name: self.required("name"),
                present,
                uid: self.number("uid"),
                group: self.text("group"),
                groups: self.list("groups"),
                home: self.text("home"),
                shell: self.text("shell"),
                comment: self.text("comment"),
                system: self.flag("system"),
                ssh_keys: self.list("ssh_keys"),
            }),
            "group" => StateBody::Group(Group {
                name: self.required("name"),
                present,
                gid: self.number("gid"),
                system: self.flag("system"),
            }),
            "cron" => StateBody::Cron(Cron {
                name: self.required("name"),
                present,
                schedule: self.required("schedule"),
                command: self.one_line("command", findings)?,
                user: self.text("user").unwrap_or_else(|| "root".to_owned()),
                env: self.plain_env(),
            }),
            "timer" => StateBody::Timer(Timer {
                name: self.required("name"),
                present,
                calendar: self.required("calendar"),
                command: self.one_line("command", findings)?,
                user: self.text("user").unwrap_or_else(|| "root".to_owned()),
                persistent: self.flag("persistent"),
            }),
            "download" => StateBody::Download(Download {
                path: self.required("path"),
                url: self.required("url"),
                sha256: self.required("sha256"),
                mode: self.mode("0644"),
                owner: self.account("owner", findings),
                group: self.account("group", findings),
            }),
            "archive" => StateBody::Archive(Archive {
                path: self.required("path"),
                source: self.required("source"),
                sha256: self.required("sha256"),
                strip: self.number("strip").unwrap_or(0),
            }),
            "apt_repository" => StateBody::AptRepository(AptRepository {
                name: self.required("name"),
                present,
                uris: self.names("uris"),
                suites: self.names("suites"),
                components: self.names("components"),
                key: self.text("key"),
            }),
            "hosts_entry" => StateBody::HostsEntry(HostsEntry {
                address: self.required("address"),
                names: self.names("names"),
                present,
            }),
            "database_user" => StateBody::DatabaseUser(DatabaseUser {
                name: self.required("name"),
                present,
                password: self.password(findings),
                may: self.names("may"),
            }),
            "database_restore" => self.restore(findings),
            "wait_for" => self.wait_for(findings)?,
            _ => return None,
        })
    }

    fn needed(&self, field: &str, findings: &mut Findings<'_>) -> Option<String> {
        let text = self.text(field);
        if text.is_none() {
            let path = format!("{}.{field}", self.record.name);
            findings.error(self.at, "missing-field", &path, format!("`{field}` is needed"));
        }
        text
    }

    // A file of cron or of systemd has one line for a command.
    fn one_line(&self, field: &str, findings: &mut Findings<'_>) -> Option<Vec<String>> {
        let command = self.list(field)?;
        if command.iter().any(|argument| argument.contains(['\n', '\r'])) {
            let path = format!("{}.{field}", self.record.name);
            findings.error(self.at, "invalid-value", &path, "an argument must not hold a line break here");
            return None;
        }
        Some(command)
    }

    fn plain_env(&self) -> std::collections::BTreeMap<String, String> {
        let entries = self.body.get("env").map(Node::entries).unwrap_or_default();
        let pairs = entries
            .iter()
            .filter_map(|(key, node)| Some((key.name.clone(), node.scalar()?.to_owned())));
        pairs.collect()
    }

    fn password(&self, findings: &mut Findings<'_>) -> Option<EnvValue> {
        let node = self.body.get("password")?;
        let by_name = || match &node.kind {
            Kind::Map(_) if node.entries().len() == 1 => Some(self.scope.secret(node.get("secret")?.text()?)),
            _ => None,
        };
        match by_name() {
            Some(Ok(value)) => return Some(value),
            Some(Err(message)) => findings.error(node.at, "invalid-value", "database_user.password", message),
            None => {
                let message = "a password is given as `{secret: NAME}`, never in clear";
                findings.error(node.at, "secret-in-clear", "database_user.password", message);
            }
        }
        None
    }

    fn restore(&self, findings: &mut Findings<'_>) -> StateBody {
        if !self.view.restorable {
            let message = format!(
                "databases of the environment `{}` must not be restored",
                self.view.environment
            );
            let help = "only an environment with `restorable: true` takes dumps; production never has it";
            findings.error_help(self.at, "not-restorable", "database_restore", message, help);
        }
        StateBody::DatabaseRestore(DatabaseRestore {
            database: self.required("database"),
            source: self.required("source"),
        })
    }

    fn wait_for(&self, findings: &mut Findings<'_>) -> Option<StateBody> {
        let (port, http, file) = (self.number("port"), self.text("http"), self.text("file"));
        if [port.is_some(), http.is_some(), file.is_some()]
            .iter()
            .filter(|given| **given)
            .count()
            != 1
        {
            let message = "exactly one of `port`, `http` and `file` is needed";
            findings.error(self.at, "invalid-value", "wait_for", message);
            return None;
        }
        Some(StateBody::WaitFor(WaitFor {
            host: self.text("host").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port,
            http,
            file,
            timeout_s: seconds(self.body, "timeout", 30),
        }))
    }
}
