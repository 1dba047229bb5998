//! A node configuration: what compiling recipes for one node yields. An ordered list of states, named by the hash of its
//! canonical JSON, so equal configurations are one configuration wherever they were compiled.

pub mod blobs;
mod machine;
mod texts;

pub use machine::{
    Absent, AptRepository, Archive, Cron, DatabaseRestore, DatabaseUser, Download, Group, HostsEntry, Install, Link,
    ServerDatabase, SystemService, Timer, User, WaitFor,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What a node should be: states in the order they are applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeConfiguration {
    /// Format of this document.
    pub format: u32,
    /// Whether databases of the node's environment may be restored over what they hold. An agent refuses to restore without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restorable: bool,
    /// Whether everything is only looked at: what differs is reported and left as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// The states, in written order.
    pub states: Vec<State>,
}

impl NodeConfiguration {
    /// The present format.
    pub const FORMAT: u32 = 1;

    /// One that asks for nothing.
    pub const fn empty(restorable: bool) -> Self {
        Self {
            restorable,
            audit: false,
            format: Self::FORMAT,
            states: Vec::new(),
        }
    }

    /// Whether the configuration of this hash asks for nothing.
    pub fn asks_nothing(hash: &str) -> bool {
        let is_it = |restorable| Self::empty(restorable).hash().is_ok_and(|empty| empty == hash);
        is_it(false) || is_it(true)
    }

    /// The bytes the hash is of: compact JSON with fields in declared order and maps sorted by key.
    ///
    /// # Errors
    /// Only where a value cannot be JSON, which these types exclude.
    pub fn canonical(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// `sha256:` and 64 hexadecimal digits of the canonical bytes: the configuration's name and ETag.
    ///
    /// # Errors
    /// As [`Self::canonical`].
    pub fn hash(&self) -> Result<String, serde_json::Error> {
        Ok(super::secret::hex("sha256:", &Sha256::digest(self.canonical()?)))
    }
}

/// Before an app's name: the repository of a git state whose commits the agent asks its server for, where the node can reach
/// neither the server's mirrors nor, without anyone's credentials, the repository itself.
pub const SOURCE: &str = "source:";

/// Where things go on a node; what differs between a sandbox and a server is here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Checkouts and builds: `/srv/apps`.
    pub apps: String,
    /// Data that outlives a release: `/var/lib/apps`.
    pub data: String,
    /// Configuration files: `/etc/apps`.
    pub config: String,
    /// Log files of programs that insist on them: `/var/log/apps`.
    pub logs: String,
}

impl Layout {
    /// Where things go on a server of its own.
    pub fn of_servers() -> Self {
        Self {
            apps: "/srv/apps".to_owned(),
            data: "/var/lib/apps".to_owned(),
            config: "/etc/apps".to_owned(),
            logs: "/var/log/apps".to_owned(),
        }
    }
}

/// One thing that should be true on the node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Unique on the node: `storefront/git/code`.
    pub id: String,
    /// What it does, for people: "Check out storefront at v1.1".
    pub title: String,
    /// The app it is for, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Where it was written: `recipes/python-app.yaml:12:5`.
    pub origin: String,
    /// Conditions, checked just before it is applied.
    #[serde(default, skip_serializing_if = "Guards::is_empty")]
    pub guards: Guards,
    /// Ids of services to restart once at the end if this state changed something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<String>,
    /// What it is meant for; everything where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// What else happens once if this state changed something, at the end unless it says now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Notification>,
    /// Whether it is only looked at: what differs is reported and left as it is. Agents may still hold configurations that
    /// say it in the older word.
    #[serde(default, alias = "report_only", skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
    /// What should be true.
    #[serde(flatten)]
    pub body: StateBody,
}

impl State {
    /// Whether it is meant for this target.
    pub fn is_for(&self, target: Target) -> bool {
        self.targets.is_empty() || self.targets.contains(&target)
    }
}

/// What a configuration is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The configuration itself, as the agent applies it.
    Agent,
    /// A script that can be run again.
    Shell,
    /// User-data for cloud-init.
    CloudInit,
    /// What an image is built from.
    Image,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Shell, Self::CloudInit, Self::Image];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Shell => "shell",
            Self::CloudInit => "cloud-init",
            Self::Image => "image",
        }
    }

    /// The target of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a change leads to elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Notification {
    /// `restart` or `reload` a service, or `run` a program that is only run when asked to.
    pub verb: String,
    /// Id of the state.
    pub state: String,
    /// Whether at once rather than at the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
}

/// Conditions on a state. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Guards {
    /// A program that must end with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_if: Option<Vec<String>>,
    /// A program that must not end with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_if: Option<Vec<String>>,
    /// A file that must not be there yet; the state is meant to make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creates: Option<String>,
    /// Id of a state that must have changed something in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// A file or folder that must be there; the state is meant to remove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removes: Option<String>,
    /// A file or folder that must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_exists: Option<String>,
    /// A port of this node that must take connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_open: Option<u16>,
    /// Whether `only_if` and `not_if` may also be run when changes are only planned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub safe_in_plan: bool,
}

impl Guards {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A value of an environment variable: in clear, or a secret by reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// In clear.
    Text(String),
    /// Fetched by the agent at the moment of use; never part of a log, report or diff.
    Secret {
        /// The secret's name within the stack, such as `storefront/env/SESSION_KEY`.
        secret: String,
    },
    /// Pieces in clear and secrets, put together by the agent: a database's address with its password.
    Joined {
        /// The pieces in order.
        join: Vec<EnvValue>,
    },
}

impl EnvValue {
    /// Names of the secrets it needs.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Text(_) => Vec::new(),
            Self::Secret { secret } => vec![secret],
            Self::Joined { join } => join.iter().flat_map(Self::secrets).collect(),
        }
    }

    /// The value itself, with each secret looked up by name; nothing where one is unknown.
    pub fn resolve<'a>(&self, lookup: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Secret { secret } => lookup(secret).map(str::to_owned),
            Self::Joined { join } => join.iter().map(|piece| piece.resolve(lookup)).collect(),
        }
    }
}

/// What should be true, by type. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StateBody {
    /// A program is installed. Where packages cannot be installed it is only checked for.
    Package {
        /// The package's name.
        name: String,
        /// The program it brings, found on the node's `PATH`.
        program: String,
        /// The least version, as dotted numbers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min_version: Option<String>,
        /// Arguments that make the program print its version; `--version` where empty.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        version_args: Vec<String>,
        /// What the package manager does; only looked for where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        install: Option<Install>,
    },
    /// A file holds this text. Templates compile to it too.
    File {
        /// Where.
        path: String,
        /// The whole content.
        content: String,
        /// Permission bits, such as `0644`.
        mode: String,
        /// Whether the content stays out of logs and diffs.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        secret: bool,
        /// Whose it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Its group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// A program that must end with 0 before the file is put in place; `{}` in its arguments is the new file.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        validate: Vec<String>,
    },
    /// A folder is there.
    Directory {
        /// Where.
        path: String,
        /// Permission bits.
        mode: String,
        /// Whose it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// Its group.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// A folder holds a checkout of a commit.
    Git {
        /// Where.
        path: String,
        /// The repository, as this node reaches it.
        repository: String,
        /// The commit, never a branch.
        commit: String,
        /// As whom it is checked out; as the agent where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// A program is run, unless a guard says that it need not be.
    Execute {
        /// Program and arguments; no shell in between.
        command: Vec<String>,
        /// Where.
        cwd: String,
        /// Its environment besides the node's plain one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, EnvValue>,
        /// Folders that are searched for programs before the node's own `PATH`, such as a virtual environment's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Vec<String>,
        /// Time limit in seconds.
        timeout_s: u64,
        /// The fault code of a failure: `state-failed` or `build-failed`.
        failure: String,
        /// As whom it runs; as the agent where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The exit codes that are good, where not only 0.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exit_codes: Vec<i32>,
        /// Whether it is only run when a notification says so.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        refresh_only: bool,
    },
    /// A process is kept running.
    Service {
        /// Name on the node, such as `storefront-web`.
        name: String,
        /// Program and arguments; no shell in between.
        command: Vec<String>,
        /// Where.
        cwd: String,
        /// Its environment besides the node's plain one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, EnvValue>,
        /// Folders that are searched for programs before the node's own `PATH`, such as a virtual environment's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Vec<String>,
        /// When it is restarted after its end.
        restart: RestartPolicy,
        /// When it counts as ready; at once where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ready: Option<Readiness>,
        /// How long a stop may take, in seconds, before it is killed.
        stop_timeout_s: u64,
        /// Changes with whatever needs a restart, such as the checked-out commit.
        revision: String,
        /// As whom it runs; as the agent where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// A database is there, with its schema and its first data.
    Database {
        /// Name on the node, such as `catalogue/db`.
        name: String,
        /// Which and where.
        engine: DatabaseEngine,
        /// SQL file that makes the tables; run on each new commit, so it must be repeatable.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<String>,
        /// SQL file with first data, loaded once into the new database.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fixture: Option<String>,
        /// Changes when the schema file may have changed.
        revision: String,
    },
    /// A symbolic link leads there.
    Link(Link),
    /// There is nothing at a path.
    Absent(Absent),
    /// A service of the operating system.
    SystemService(SystemService),
    /// An account.
    User(User),
    /// A group.
    Group(Group),
    /// Cron runs a command.
    Cron(Cron),
    /// systemd runs a command by the clock.
    Timer(Timer),
    /// A file holds what is at an address.
    Download(Download),
    /// A folder holds what an archive holds.
    Archive(Archive),
    /// apt knows a repository.
    AptRepository(AptRepository),
    /// `/etc/hosts` knows names of an address.
    HostsEntry(HostsEntry),
    /// A database of the machine's own server.
    ServerDatabase(ServerDatabase),
    /// A role of the machine's own database server.
    DatabaseUser(DatabaseUser),
    /// An empty database is filled from a dump.
    DatabaseRestore(DatabaseRestore),
    /// Something else has to be there first.
    WaitFor(WaitFor),
}

impl NodeConfiguration {
    /// Names of the secrets that making it true needs.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.states.iter().flat_map(|state| state.body.secrets()).collect()
    }
}

impl StateBody {
    fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Execute { env, .. } | Self::Service { env, .. } => env.values().flat_map(EnvValue::secrets).collect(),
            Self::Database {
                engine: DatabaseEngine::Postgres { password, .. },
                ..
            }
            | Self::DatabaseUser(DatabaseUser {
                password: Some(password),
                ..
            }) => password.secrets(),
            _ => Vec::new(),
        }
    }

    /// The state type's name in recipes.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Package { .. } => "package",
            Self::File { .. } => "file",
            Self::Directory { .. } => "directory",
            Self::Git { .. } => "git",
            Self::Execute { .. } => "execute",
            Self::Service { .. } | Self::SystemService(_) => "service",
            Self::Database { .. } | Self::ServerDatabase(_) => "database",
            Self::Link(_) => "link",
            Self::Absent(_) => "absent",
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Cron(_) => "cron",
            Self::Timer(_) => "timer",
            Self::Download(_) => "download",
            Self::Archive(_) => "archive",
            Self::AptRepository(_) => "apt_repository",
            Self::HostsEntry(_) => "hosts_entry",
            Self::DatabaseUser(_) => "database_user",
            Self::DatabaseRestore(_) => "database_restore",
            Self::WaitFor(_) => "wait_for",
        }
    }
}

/// When a service is restarted after its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// `always`, `on_failure` or `never`.
    pub policy: String,
    /// Restarts within ten minutes before it is given up.
    pub limit: u32,
}

/// When a service counts as ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readiness {
    /// An address that must answer with a status below 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// A program that must end with 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<Vec<String>>,
    /// How long it may take, in seconds.
    pub timeout_s: u64,
}

/// Which database, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
pub enum DatabaseEngine {
    /// A file.
    Sqlite {
        /// Where.
        path: String,
    },
    /// A database in a server that is there already; made by the server side, loaded by the agent.
    Postgres {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// The database.
        database: String,
        /// The role.
        user: String,
        /// Its password.
        password: EnvValue,
    },
}
