//! States of a whole machine: packages, accounts, system services, schedules, downloads, repositories, databases of its own
//! server. A sandbox is no whole machine; the compiler refuses most of them there.

use super::EnvValue;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the package manager should have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// `installed`, `latest`, `absent` or `purged`.
    pub state: String,
    /// Exactly this version of the first package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether upgrades leave it alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hold: bool,
    /// Further packages that are treated alike, in the same run of the package manager.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

/// A symbolic link leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Where it is.
    pub path: String,
    /// Where it leads.
    pub to: String,
}

/// There is nothing at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Where.
    pub path: String,
    /// Whether a folder goes with all that is in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recursive: bool,
}

/// A service of the operating system, as its service manager knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemService {
    /// Its name without `.service`.
    pub name: String,
    /// The text of its unit file, where it brings none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Whether it runs; not looked at where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<bool>,
    /// Whether it starts with the machine; not looked at where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// An account of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Whether there is one; `false` removes it.
    pub present: bool,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Its own group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The other groups it is in; not looked at where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Its home folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Its shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
    /// Words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it is one of the system's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub system: bool,
    /// All SSH keys that may sign in; not looked at where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<Vec<String>>,
}

/// A group of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Whether there is one.
    pub present: bool,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Whether it is one of the system's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub system: bool,
}

/// Cron runs a command: a file in `/etc/cron.d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// The file's name.
    pub name: String,
    /// Whether there is one.
    pub present: bool,
    /// Five fields.
    pub schedule: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// As whom.
    pub user: String,
    /// Its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// systemd runs a command by the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Name of the timer and of its service.
    pub name: String,
    /// Whether there is one.
    pub present: bool,
    /// When, as `OnCalendar` takes it.
    pub calendar: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// As whom.
    pub user: String,
    /// Whether a run that was missed while the machine was off is made up for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub persistent: bool,
}

/// A file holds what is at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Download {
    /// Where.
    pub path: String,
    /// The address.
    pub url: String,
    /// 64 hexadecimal digits; what is anything else is not kept.
    pub sha256: String,
    /// Permission bits.
    pub mode: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// A folder holds what an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archive {
    /// The folder.
    pub path: String,
    /// The archive: a path on the node or an address.
    pub source: String,
    /// 64 hexadecimal digits of the archive.
    pub sha256: String,
    /// How many leading folders of names are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub strip: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// apt knows a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AptRepository {
    /// Name of its files.
    pub name: String,
    /// Whether it is known.
    pub present: bool,
    /// Its addresses.
    pub uris: Vec<String>,
    /// Its suites, such as `bookworm`.
    pub suites: Vec<String>,
    /// Its components, such as `main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// The key it is signed with, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `/etc/hosts` knows names of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsEntry {
    /// The address.
    pub address: String,
    /// Its names, the main one first.
    pub names: Vec<String>,
    /// Whether it is known.
    pub present: bool,
}

/// A database of the machine's own PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerDatabase {
    /// Its name.
    pub name: String,
    /// The role it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A role of the machine's own PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseUser {
    /// Its name.
    pub name: String,
    /// Whether there is one.
    pub present: bool,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<EnvValue>,
    /// What it may besides signing in: `createdb`, `createrole`, `replication`, `superuser`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may: Vec<String>,
}

/// An empty database of the machine's own PostgreSQL server is filled from a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseRestore {
    /// The database.
    pub database: String,
    /// The dump: SQL text, or `pg_dump`'s custom format where it ends with `.dump`.
    pub source: String,
}

/// Something else has to be there first. Exactly one of `port`, `http` and `file` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitFor {
    /// Host of `port`.
    pub host: String,
    /// A port that takes connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// An address that answers with a status below 400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// A file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// How long it may take, in seconds.
    pub timeout_s: u64,
}
