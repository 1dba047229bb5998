//! `greenroom inventory`: answers other tools call for. Ansible and Puppet run a program at each of their own runs, so what was
//! answered last is kept on disk: a server that says "as it was" is not asked for more, and one that is down stops nobody.

use super::connect::Connection;
use super::output::Output;
use super::{Result, offline};
use crate::client::{Client, Fetched};
use crate::model::diagnostic::has_errors;
use crate::model::fault::Fault;
use crate::model::secret::hex;
use crate::recipes::backstage::{Defaults, Imported, import};
use crate::wire::problem::Problem;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `inventory`.
#[derive(Debug, Args)]
pub struct InventoryArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: InventoryCommand,
}

#[derive(Debug, Subcommand)]
enum InventoryCommand {
    /// Answer as an inventory script of Ansible: `--list` or `--host NAME`
    Ansible {
        /// Print every group and host
        #[arg(long, required_unless_present = "host", conflicts_with = "host")]
        list: bool,
        /// Print the variables of one host
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// Only nodes that this query finds, such as `role:web AND datacenter:dc1`
        #[arg(long, env = "GREENROOM_QUERY", value_name = "QUERY")]
        query: Option<String>,
    },
    /// Answer as an external node classifier of Puppet
    Enc {
        /// The node
        certname: String,
    },
    /// Print targets as Prometheus' http_sd gives them
    Prometheus {
        /// Only nodes that this query finds
        #[arg(long, value_name = "QUERY")]
        query: Option<String>,
        /// Only nodes that run this app, at its port
        #[arg(long)]
        app: Option<String>,
        /// A port's number, or its name in the app's descriptor
        #[arg(long)]
        port: Option<String>,
    },
    /// Print all apps as Backstage's catalogue
    Backstage,
    /// Turn a catalogue of Backstage into descriptors, to be looked at and then added; needs no server
    ImportBackstage {
        /// The catalogue
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where the descriptors go, one file an app
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// The ops owner of apps that name none
        #[arg(long, value_name = "TEAM")]
        ops_owner: Option<String>,
        /// The recipe of apps that name none
        #[arg(long, value_name = "RECIPE")]
        recipe: Option<String>,
    },
}

/// Does what was asked.
///
/// # Errors
/// The server's problem where nothing was kept either.
pub async fn run(args: InventoryArgs, output: Output) -> Result {
    let connect = || args.connection.client();
    match args.command {
        InventoryCommand::Ansible { list: _, host, query } => {
            let query: Vec<(&str, &str)> = query.as_deref().map(|q| ("q", q)).into_iter().collect();
            let whole = kept(&connect()?, &["ansible"], &query, output).await?;
            match host {
                None => output.text(whole),
                Some(name) => {
                    let whole: Value = serde_json::from_str(&whole).unwrap_or_default();
                    let host = whole["_meta"]["hostvars"].get(&name).cloned();
                    output.text(format!("{}\n", host.unwrap_or_else(|| json!({}))));
                }
            }
        }
        InventoryCommand::Enc { certname } => {
            let node = kept(&connect()?, &["puppet", &certname], &[], output).await?;
            output.text(format!("---\n{node}\n"));
        }
        InventoryCommand::Prometheus { query, app, port } => {
            let query = [("q", query), ("app", app), ("port", port)];
            let query: Vec<(&str, &str)> = query.iter().filter_map(|(k, v)| Some((*k, v.as_deref()?))).collect();
            if let Fetched::New { body, .. } = connect()?.interop(&["prometheus"], &query, None).await? {
                output.text(format!("{body}\n"));
            }
        }
        InventoryCommand::Backstage => {
            if let Fetched::New { body, .. } = connect()?.interop(&["backstage.yaml"], &[], None).await? {
                output.text(body);
            }
        }
        InventoryCommand::ImportBackstage {
            file,
            out,
            ops_owner,
            recipe,
        } => {
            let imported = read_catalogue(&file, &Defaults { ops_owner, recipe })?;
            return offline(output, |text| write_descriptors(&imported, &out, text));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize, Deserialize)]
struct Kept {
    etag: Option<String>,
    body: String,
}

// The server's answer, or the last one where it is still the same or the server does not answer.
async fn kept(client: &Client, path: &[&str], query: &[(&str, &str)], output: Output) -> Result<String> {
    let file = cache_file(client.server(), path, query);
    let known: Option<Kept> = file
        .as_ref()
        .and_then(|file| std::fs::read(file).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let etag = known.as_ref().and_then(|kept| kept.etag.as_deref());
    match (client.interop(path, query, etag).await, known) {
        (Ok(Fetched::New { etag, body }), _) => {
            let kept = Kept { etag, body };
            // Not being able to keep it costs the next run a little; this one has its answer.
            if let Some(file) = file {
                let _ = keep(&file, &kept);
            }
            Ok(kept.body)
        }
        (Ok(Fetched::Known), Some(kept)) => Ok(kept.body),
        (Err(problem), Some(kept))
            if matches!(problem.code.as_str(), "server-unreachable" | "store-unavailable" | "too-busy") =>
        {
            output.note(format!("{}: this is what it said last", problem.title));
            Ok(kept.body)
        }
        (Ok(Fetched::Known), None) => Err(Box::new(
            Fault::new("internal", "The server says that its answer is known, and it is not").into(),
        )),
        (Err(problem), _) => Err(problem),
    }
}

fn cache_file(server: &str, path: &[&str], query: &[(&str, &str)]) -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    let asked = json!([server, path, query]).to_string();
    let name = hex("", &Sha256::digest(asked.as_bytes()));
    Some(cache.join("greenroom").join("inventory").join(format!("{name}.json")))
}

fn keep(file: &Path, kept: &Kept) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let _ = std::fs::remove_file(&beside);
    let mut options = std::fs::OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    out.write_all(&serde_json::to_vec(kept)?)?;
    std::fs::rename(&beside, file)
}

fn read_catalogue(file: &Path, defaults: &Defaults) -> Result<Vec<Imported>> {
    let refuse = |code: &'static str, why: &dyn std::fmt::Display| -> Box<Problem> {
        let fault = Fault::new(code, format!("The catalogue {} cannot be read", file.display())).why(why);
        Box::new(fault.next("Check its name and that it is YAML").into())
    };
    let text = std::fs::read_to_string(file).map_err(|error| refuse("not-found", &error))?;
    import(&text, defaults).map_err(|error| refuse("invalid-request", &error))
}

// True where every descriptor can be added as it is. What is there already is never overwritten.
fn write_descriptors(imported: &[Imported], folder: &Path, out: &mut dyn Write) -> std::io::Result<bool> {
    std::fs::create_dir_all(folder)?;
    let mut good = true;
    for one in imported {
        match one {
            Imported::Skipped { entity, why } => writeln!(out, "skipped  {entity}: {why}")?,
            Imported::App { name, text, findings } => {
                let file = folder.join(format!("{name}.json"));
                match std::fs::File::create_new(&file) {
                    Ok(mut new) => {
                        new.write_all(text.as_bytes())?;
                        writeln!(out, "wrote    {}", file.display())?;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                        good = false;
                        writeln!(out, "kept     {}: it is there already", file.display())?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                good &= !has_errors(findings);
                for finding in findings {
                    writeln!(out, "         {}: {}", finding.path, finding.message)?;
                }
            }
        }
    }
    Ok(good)
}
