//! Settings: defaults compiled in, then a file, then the environment, then flags.
//!
//! `greenroom serve --print-settings` prints the defaults with their comments: that text is both the documentation and the
//! base layer. Unknown keys are errors.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The default settings, as a commented TOML file.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// Everything a server can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where it listens.
    pub server: Server,
    /// Where it keeps its state.
    pub data: Data,
    /// The addresses of stacks' apps.
    pub proxy: Proxy,
    /// How long stacks live.
    pub leases: Leases,
    /// Machines of the inventory and their agents.
    pub agents: Agents,
    /// The sandbox provider.
    pub sandbox: Sandbox,
    /// The Docker provider.
    pub docker: Docker,
    /// Previews of branches.
    pub previews: Previews,
    /// The EC2 provider.
    pub ec2: Ec2,
    /// Database servers that stacks may get databases in.
    pub databases: Databases,
    /// The organisation's files.
    pub organisation: Organisation,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Address and port; port 0 picks a free one.
    pub listen: String,
    /// The address people and agents use, where it differs (behind a proxy).
    pub public_url: String,
    /// Log filter, as in `info,greenroom=debug`.
    pub log: String,
    /// Log lines as JSON.
    pub log_json: bool,
}

/// Where the server keeps its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder of the database, git mirrors and sandboxes.
    pub folder: PathBuf,
    /// `postgres://…`; the embedded SQLite database in the folder where empty.
    pub database_url: String,
    /// File with the key that secrets in the database are sealed with; `secrets.key` in the folder where empty.
    pub key_file: PathBuf,
}

/// The addresses of stacks' apps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Where people reach them: `https://*.stage.example.org`.
    pub url: String,
    /// Address and port to serve them at, where that is not `server.listen`.
    pub listen: String,
    /// Proxies in front whose `X-Forwarded-For` is believed.
    pub trusted: Vec<std::net::IpAddr>,
}

/// How long stacks live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leases {
    /// Where nobody says.
    pub default: String,
    /// At most, from its creation.
    pub maximum: String,
}

/// Machines of the inventory and their agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agents {
    /// The address that machines reach the server at, where it is not the one that people use.
    pub url: String,
    /// Whether anyone may download the agent's program, rather than only who holds a token that machines register with.
    pub public_program: bool,
}

/// The sandbox provider.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// First port of the pool.
    pub first_port: u16,
    /// Last port of the pool.
    pub last_port: u16,
    /// `auto`: bubblewrap where it works, else plain processes. `plain`, `bubblewrap`: only that.
    pub isolation: String,
    /// Folders of programs that sandboxes may run, before the system's own; found by asking python3 and rustc where empty.
    pub path: Vec<PathBuf>,
    /// More environment variables of every program in a sandbox: a package index, a proxy, certificates.
    pub environment: BTreeMap<String, String>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("ports", &(self.first_port..=self.last_port))
            .field("isolation", &self.isolation)
            .field("path", &self.path)
            // Names only: an index or a proxy may be given with a password.
            .field("environment", &self.environment.keys())
            .finish()
    }
}

/// The Docker provider.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docker {
    /// Whether there is one.
    pub enabled: Enabled,
    /// The engine; where empty, what `DOCKER_HOST` names, or this machine's.
    pub host: String,
    /// The image that nodes start from.
    pub image: String,
    /// The pool that networks of stacks are taken from.
    pub networks: String,
    /// More environment variables of every program on a node: a package index, a proxy, certificates.
    pub environment: BTreeMap<String, String>,
}

impl std::fmt::Debug for Docker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Docker")
            .field("enabled", &self.enabled)
            .field("host", &self.host)
            .field("image", &self.image)
            .field("networks", &self.networks)
            // Names only: an index or a proxy may be given with a password.
            .field("environment", &self.environment.keys())
            .finish()
    }
}

/// Whether something is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enabled {
    /// Where it is there.
    Auto,
    /// Always; a server without it does not start.
    #[serde(rename = "true")]
    Yes,
    /// Never.
    #[serde(rename = "false")]
    No,
}

/// Previews of branches.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previews {
    /// What webhooks are signed with; none is accepted where empty.
    pub secret: String,
    /// The account that previews belong to.
    pub owner: String,
    /// How long one lives after its branch last changed.
    pub lease: String,
    /// How much longer it lives once its pull request is closed.
    pub keep_closed: String,
    /// Whether branches in forks get previews too.
    pub forks: bool,
    /// A pull request with this label gets none.
    pub off_label: String,
    /// Tokens that links are posted with, by the forge's address.
    pub tokens: BTreeMap<String, String>,
}

impl std::fmt::Debug for Previews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Previews")
            .field("owner", &self.owner)
            .field("lease", &self.lease)
            .field("tokens", &self.tokens.keys())
            .finish_non_exhaustive()
    }
}

/// The EC2 provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ec2 {
    /// Whether there is one.
    pub enabled: bool,
    /// The region; what AWS's own settings say where empty.
    pub region: String,
    /// The profile in AWS's own files; the default one where empty.
    pub profile: String,
    /// Where EC2 answers, where that is not the region's usual address.
    pub endpoint: String,
    /// What everything of this server is tagged with; a name of its own where empty.
    pub owner: String,
    /// An image's id, or `OWNER/NAME` with stars in the name.
    pub image: String,
    /// Instance types of small nodes, in the order they are tried.
    pub types_small: Vec<String>,
    /// Instance types of medium nodes.
    pub types_medium: Vec<String>,
    /// Instance types of large nodes.
    pub types_large: Vec<String>,
    /// Subnets, in the order they are tried.
    pub subnets: Vec<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Key pair for SSH.
    pub key_pair: String,
    /// Instance profile.
    pub instance_profile: String,
    /// Gibibytes of the root volume.
    pub root_gb: i32,
    /// Type of the root volume.
    pub root_type: String,
    /// Whether spot instances are tried before others.
    pub spot: bool,
    /// `public`, `private` or `elastic`.
    pub address: String,
    /// Ports of apps begin here.
    pub first_port: u16,
}

/// Database servers that stacks may get databases in.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Databases {
    /// An account that may create databases and roles: `postgres://user:password@host:port/postgres`. Empty: none.
    pub postgres_url: String,
}

impl std::fmt::Debug for Databases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = if self.postgres_url.is_empty() { "" } else { "[redacted]" };
        f.debug_struct("Databases").field("postgres_url", &shown).finish()
    }
}

/// The organisation's files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Organisation {
    /// Folder of the organisation's own recipes, over the shipped ones of the same name. Empty: only the shipped ones.
    pub recipes: PathBuf,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {path} cannot be read: {why}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The cause.
        why: std::io::Error,
    },
    /// The file or a variable has an error.
    #[error("{place}: {why}")]
    Parse {
        /// Which file or variable.
        place: String,
        /// The cause, with line and column.
        why: String,
    },
}

impl Settings {
    /// The defaults, under this file where given, under the environment (`GREENROOM_SERVER_LISTEN`, …, `DATABASE_URL`).
    ///
    /// # Errors
    /// Names the file and line, or the variable.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        let parse = |place: &str, text: &str| {
            text.parse::<toml::Table>().map_err(|e| SettingsError::Parse {
                place: place.to_owned(),
                why: e.to_string(),
            })
        };
        let mut table = parse("the built-in settings", DEFAULTS)?;
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|why| SettingsError::Read {
                path: path.to_owned(),
                why,
            })?;
            let place = path.display().to_string();
            // Checked against the types on its own first, so that a mistake is reported in the person's own file.
            let over = parse(&place, &text)?;
            let mut merged = table.clone();
            merge(&mut merged, over.clone());
            let checked: Result<Self, _> = merged.try_into();
            checked.map_err(|e: toml::de::Error| SettingsError::Parse {
                place,
                why: e.message().to_owned(),
            })?;
            merge(&mut table, over);
        }
        for (name, value) in env {
            if name == "DATABASE_URL" {
                set(&mut table, "data", "database_url", &value, &name)?;
            } else if let Some(rest) = name.strip_prefix("GREENROOM_") {
                let rest = rest.to_ascii_lowercase();
                if let Some((section, key)) = rest.split_once('_').filter(|(section, _)| table.contains_key(*section)) {
                    set(&mut table, section, key, &value, &name)?;
                }
            }
        }
        table.try_into().map_err(|e: toml::de::Error| SettingsError::Parse {
            place: "the settings".into(),
            why: e.message().to_owned(),
        })
    }

    /// The database's URL: the configured one, or the embedded database in the data folder.
    pub fn database_url(&self) -> String {
        if self.data.database_url.is_empty() {
            format!("sqlite:{}", self.data.folder.join("greenroom.db").display())
        } else {
            self.data.database_url.clone()
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the text is compiled in and a test reads it")]
        Self::load(None, []).expect("the built-in settings are valid")
    }
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

// A variable's text takes the type of the default it replaces.
fn set(table: &mut toml::Table, section: &str, key: &str, text: &str, name: &str) -> Result<(), SettingsError> {
    let bad = |why: String| SettingsError::Parse {
        place: format!("the environment variable {name}"),
        why,
    };
    let slot = table
        .get_mut(section)
        .and_then(toml::Value::as_table_mut)
        .and_then(|t| t.get_mut(key))
        .ok_or_else(|| bad(format!("there is no setting `{section}.{key}`")))?;
    *slot = match slot {
        toml::Value::Integer(_) => toml::Value::Integer(text.parse().map_err(|_| bad(format!("{text:?} is not a number")))?),
        toml::Value::Boolean(_) => toml::Value::Boolean(text.parse().map_err(|_| bad(format!("{text:?} is not true or false")))?),
        toml::Value::Array(_) => toml::Value::Array(
            text.split(':')
                .filter(|p| !p.is_empty())
                .map(|p| toml::Value::String(p.into()))
                .collect(),
        ),
        toml::Value::Table(_) => {
            // Not the parser's own words, which quote the text, and the text may hold a password.
            let read = format!("value = {text}").parse::<toml::Table>().ok();
            let value = read.and_then(|mut table| table.remove("value")).filter(toml::Value::is_table);
            value.ok_or_else(|| bad("it must be written like { NAME = \"value\" }".to_owned()))?
        }
        _ => toml::Value::String(text.to_owned()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_settings_listen_on_loopback_only() {
        assert!(Settings::default().server.listen.starts_with("127.0.0.1:"));
    }

    #[test]
    fn variables_of_sandboxes_are_read_and_their_values_are_never_shown() {
        let given = |text: &str| [("GREENROOM_SANDBOX_ENVIRONMENT".to_owned(), text.to_owned())];
        let settings = Settings::load(None, given(r#"{ PIP_INDEX_URL = "https://me:hunter2@host/simple" }"#)).unwrap();
        assert_eq!(
            settings.sandbox.environment["PIP_INDEX_URL"],
            "https://me:hunter2@host/simple"
        );
        let shown = format!("{settings:?}");
        assert!(shown.contains("PIP_INDEX_URL") && !shown.contains("hunter2"), "{shown}");
        for wrong in ["PIP_INDEX_URL=https://me:hunter2@host", "[\"hunter2\"]", "{ A = 'hunter2"] {
            let error = Settings::load(None, given(wrong)).unwrap_err().to_string();
            assert!(
                error.contains("GREENROOM_SANDBOX_ENVIRONMENT") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn the_environment_wins_over_the_file_and_a_wrong_key_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("greenroom.toml");
        std::fs::write(&file, "[server]\nlisten = \"127.0.0.1:1\"\n").unwrap();
        let env = [("GREENROOM_SERVER_LISTEN".to_owned(), "127.0.0.1:2".to_owned())];
        assert_eq!(Settings::load(Some(&file), env).unwrap().server.listen, "127.0.0.1:2");
        std::fs::write(&file, "[server]\nlissen = \"x\"\n").unwrap();
        let error = Settings::load(Some(&file), []).unwrap_err().to_string();
        assert!(error.contains("lissen"), "{error}");
    }
}
