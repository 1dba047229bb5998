//! User-data for cloud-init: what its own keys mean exactly as we do is said with them, the rest is one script.
//!
//! Cloud-init works in stages of its own: groups, users, packages, files, then commands. A state is said with a key only where
//! all states before it have taken effect by then; from the first one where that is not so, the order is the script's. Its
//! `runcmd` goes on after a command that failed, so there is exactly one.

use super::quote::{base64, is_block, scalar};
use super::script::script;
use super::steps::bits;
use super::{Target, about, states_for};
use crate::model::configuration::{NodeConfiguration, State, StateBody};
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::id::NodeId;
use std::fmt::Write as _;
use std::io::Write as _;

/// The most bytes of user-data that EC2 takes, before any encoding.
pub const USER_DATA_LIMIT: usize = 16_384;
/// Where the script is kept on the node, to be run again.
const SCRIPT: &str = "/var/lib/greenroom/configure";
/// Where the token is until the node has registered.
const TOKEN: &str = "/etc/greenroom/token";

/// As whom a machine registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Newcomer {
    /// As the node of this name in the inventory.
    Named(String),
    /// As the server of a stack, which has its id from its provider.
    Given(NodeId),
}

/// How a node gets its configuration from the server where user-data has no room for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stub {
    /// The server's address, as the node reaches it.
    pub server: String,
    /// Who it will be.
    pub newcomer: Newcomer,
    /// The token with which it fetches the program and registers, good for one machine.
    pub token: String,
    /// Where the agent's program is.
    pub program: String,
    /// The hash of the program, 64 hexadecimal digits.
    pub program_sha256: String,
}

/// User-data, and what had to be done to make it fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How it fits.
    pub form: Form,
}

/// How user-data fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Compressed.
    Compressed,
    /// Only what fetches the agent, which gets the configuration from the server.
    Stub,
}

/// The user-data of a configuration that has nothing which cannot be in it.
///
/// # Errors
/// That it is too long where there is no stub.
pub fn user_data(configuration: &NodeConfiguration, stub: Option<&Stub>) -> Result<UserData, Vec<Diagnostic>> {
    let whole = document(configuration).into_bytes();
    if whole.len() <= USER_DATA_LIMIT {
        return Ok(UserData {
            bytes: whole,
            form: Form::Plain,
        });
    }
    let compressed = compress(&whole);
    if compressed.len() <= USER_DATA_LIMIT {
        return Ok(UserData {
            bytes: compressed,
            form: Form::Compressed,
        });
    }
    match stub {
        Some(stub) => Ok(UserData {
            bytes: stub_user_data(stub).into_bytes(),
            form: Form::Stub,
        }),
        None => Err(vec![too_long(configuration, compressed.len())]),
    }
}

fn too_long(configuration: &NodeConfiguration, length: usize) -> Diagnostic {
    let message = format!("the user-data has {length} bytes when it is compressed, and {USER_DATA_LIMIT} are the most");
    let mut finding = match configuration.states.first() {
        Some(state) => about(state, "user-data-too-long", message),
        None => Diagnostic {
            severity: Severity::Error,
            code: "user-data-too-long".to_owned(),
            message,
            file: String::new(),
            line: 0,
            column: 0,
            path: String::new(),
            help: None,
            snippet: None,
        },
    };
    finding.help = Some("give a server: then it only fetches the agent, which gets the configuration from there".to_owned());
    finding
}

// The same bytes for the same text: no time, no name.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), flate2::Compression::best());
    // Writing into memory does not fail; if it did, the text would be too long and refused.
    if encoder.write_all(bytes).is_err() {
        return bytes.to_vec();
    }
    encoder.finish().unwrap_or_else(|_| bytes.to_vec())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Packages,
    Files,
}

// The stage of cloud-init that makes a state true exactly as we do, if one does.
fn stage(state: &State) -> Option<Stage> {
    if !state.guards.is_empty() || state.audit || state.notify.iter().any(|n| n.now) {
        return None;
    }
    match &state.body {
        // A version, removal and what upgrades leave alone cannot be asked for.
        StateBody::Package {
            min_version: None,
            install: None,
            ..
        } => Some(Stage::Packages),
        StateBody::Package {
            install: Some(install), ..
        } if install.state == "installed" && install.version.is_none() && !install.hold => Some(Stage::Packages),
        // Files that are deferred are written after users and packages.
        StateBody::File {
            path,
            owner,
            group,
            validate,
            ..
        } if validate.is_empty()
            && owner.is_some() == group.is_some()
            && !path.starts_with("/run/")
            && !path.starts_with("/tmp/") =>
        {
            Some(Stage::Files)
        }
        _ => None,
    }
}

// Folders that are only made keep nothing from being true.
fn is_plain_folder(state: &State) -> bool {
    state.guards.is_empty() && matches!(state.body, StateBody::Directory { .. })
}

// The states that are said with keys.
fn native<'a>(states: &[&'a State]) -> Vec<(Stage, &'a State)> {
    let mut reached = Stage::Packages;
    let mut found = Vec::new();
    for state in states {
        match stage(state) {
            Some(stage) if stage >= reached => {
                reached = stage;
                found.push((stage, *state));
            }
            _ if is_plain_folder(state) => {}
            _ => break,
        }
    }
    found
}

fn document(configuration: &NodeConfiguration) -> String {
    let states: Vec<&State> = states_for(configuration, Target::CloudInit).collect();
    let native = native(&states);
    let done: Vec<&str> = native.iter().map(|(_, state)| state.id.as_str()).collect();
    let mut text = format!(
        "#cloud-config\n# Made by Greenroom from the configuration {}.\n",
        configuration.hash().unwrap_or_default()
    );
    let packages: Vec<&str> = native
        .iter()
        .flat_map(|(_, state)| match &state.body {
            StateBody::Package { name, install, .. } => {
                let more = install.iter().flat_map(|install| install.also.iter().map(String::as_str));
                std::iter::once(name.as_str()).chain(more).collect()
            }
            _ => Vec::new(),
        })
        .collect();
    if !packages.is_empty() {
        text.push_str("package_update: true\npackages:\n");
        for name in packages {
            let _ = writeln!(text, "- {}", scalar(name));
        }
    }
    text.push_str("write_files:\n");
    for (_, state) in &native {
        if let StateBody::File {
            path,
            content,
            mode,
            owner,
            group,
            ..
        } = &state.body
        {
            let owner = super::machine::owner(owner.as_ref(), group.as_ref());
            let owner = owner.as_deref().unwrap_or("root:root");
            write_file(&mut text, path, content, &bits(mode), owner, true);
        }
    }
    write_file(
        &mut text,
        SCRIPT,
        &script(configuration, Target::CloudInit, &done),
        "700",
        "root:root",
        false,
    );
    // A status of 2 says that something was changed, which is no failure here.
    let _ = writeln!(
        text,
        "runcmd:\n- {}",
        scalar(&format!("bash {SCRIPT}; status=$?; [ $status = 0 ] || [ $status = 2 ]"))
    );
    text
}

fn write_file(out: &mut String, path: &str, content: &str, mode: &str, owner: &str, defer: bool) {
    let _ = write!(
        out,
        "- path: {}\n  owner: {}\n  permissions: \"{mode:0>4}\"\n",
        scalar(path),
        scalar(owner)
    );
    if defer {
        out.push_str("  defer: true\n");
    }
    if is_block(content) {
        // The number says how far it is indented, for a text may begin with blanks of its own.
        out.push_str("  content: |2\n");
        for line in content.lines() {
            if line.is_empty() {
                out.push('\n');
            } else {
                let _ = writeln!(out, "    {line}");
            }
        }
    } else {
        let _ = writeln!(out, "  encoding: b64\n  content: {}", base64(content.as_bytes()));
    }
}

/// User-data that fetches the agent's program, checks it, installs it and has it register; all else comes from the server.
pub fn stub_user_data(stub: &Stub) -> String {
    let mut text = String::from(
        "#cloud-config\n# Made by Greenroom. The agent gets what this node should be from the server.\nwrite_files:\n",
    );
    write_file(&mut text, TOKEN, &format!("{}\n", stub.token), "600", "root:root", false);
    write_file(&mut text, SCRIPT, &stub_script(stub), "700", "root:root", false);
    let _ = writeln!(text, "runcmd:\n- {}", scalar(&format!("bash {SCRIPT}")));
    text
}

// The token is no argument of any program, for those can be seen by everyone on the machine.
fn stub_script(stub: &Stub) -> String {
    use super::quote::word;
    format!(
        "#!/usr/bin/env bash\nset -euo pipefail\numask 022\n\
         command -v curl >/dev/null || {{ apt-get -q -y update; DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends ca-certificates curl; }}\n\
         program=$(mktemp)\n\
         printf 'header = \"Authorization: Bearer %s\"\\n' \"$(cat {TOKEN})\" |\n  \
           curl --config - --fail --silent --show-error --retry 8 --retry-all-errors --output \"$program\" -- {program}\n\
         printf '%s  %s\\n' {hash} \"$program\" | sha256sum --check --quiet\n\
         chmod 0755 -- \"$program\"\n\
         \"$program\" agent install --server {server} {who} --token-file {TOKEN}\n\
         rm -f -- \"$program\"\n",
        program = word(&stub.program),
        hash = word(&stub.program_sha256),
        server = word(&stub.server),
        who = match &stub.newcomer {
            Newcomer::Named(name) => format!("--name {}", word(name)),
            Newcomer::Given(node) => format!("--node {node}"),
        },
    )
}
