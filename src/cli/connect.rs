//! Which server, and as whom: flags, then the environment, then what `greenroom login` kept.

use crate::client::Client;
use crate::model::fault::Fault;
use crate::wire::problem::Problem;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

const DEFAULT_SERVER: &str = "http://127.0.0.1:7400";

/// Where the server is and how to prove oneself.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Address of the server [default: the one of `greenroom login`, else http://127.0.0.1:7400]
    #[arg(
        long,
        env = "GREENROOM_SERVER",
        hide_env_values = true,
        global = true,
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub server: Option<String>,

    /// API token [default: the one of `greenroom login`]
    #[arg(
        long,
        env = "GREENROOM_TOKEN",
        global = true,
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    pub token: Option<String>,
}

/// What `greenroom login` keeps.
#[derive(Clone, Serialize, Deserialize)]
pub struct Login {
    /// The server's address.
    pub server: String,
    /// The token, for that server only.
    pub token: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Connection {
    /// A client of the chosen server.
    ///
    /// # Errors
    /// Where the address is none, or the kept login cannot be read.
    pub fn client(&self) -> Result<Client, Box<Problem>> {
        let kept = load()?;
        let chosen = self.server.clone().filter(|server| !server.is_empty());
        let same = |login: &&Login| {
            chosen
                .as_ref()
                .is_none_or(|server| server.trim_end_matches('/') == login.server.trim_end_matches('/'))
        };
        // A token is never sent to another server than the one it was given for.
        let token = self.token.clone().filter(|token| !token.is_empty());
        let token = token.or_else(|| kept.as_ref().filter(same).map(|login| login.token.clone()));
        let server = chosen.or_else(|| kept.map(|login| login.server));
        Client::new(server.as_deref().unwrap_or(DEFAULT_SERVER), token)
    }
}

/// Where the login is kept.
///
/// # Errors
/// Where the account has no home.
pub fn login_file() -> Result<PathBuf, Box<Problem>> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    config
        .map(|config| config.join("greenroom").join("login.json"))
        .ok_or_else(|| {
            let fault = Fault::new("not-found", "There is no folder for your settings").why("HOME is not set");
            Box::new(fault.next("Set HOME, or give --server and --token").into())
        })
}

fn load() -> Result<Option<Login>, Box<Problem>> {
    let Ok(file) = login_file() else { return Ok(None) };
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(&file, &error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| unusable(&file, &error))
}

/// Keeps a login, readable by its owner only.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep(login: &Login) -> Result<PathBuf, Box<Problem>> {
    let file = login_file()?;
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = file.with_extension("new");
        let _ = std::fs::remove_file(&beside);
        let mut options = std::fs::OpenOptions::new();
        let mut out = options.write(true).create_new(true).mode(0o600).open(&beside)?;
        out.write_all(serde_json::to_string_pretty(login).unwrap_or_default().as_bytes())?;
        out.sync_all()?;
        std::fs::rename(&beside, &file)
    };
    write().map_err(|error| unusable(&file, &error))?;
    Ok(file)
}

fn unusable(file: &std::path::Path, why: &dyn std::fmt::Display) -> Box<Problem> {
    let fault = Fault::new("internal", format!("The login in {} cannot be used", file.display())).why(why);
    let next = format!("Remove {} and use `greenroom login` again", file.display());
    Box::new(fault.turn(crate::model::fault::Turn::You).next(next).into())
}
