//! One convergence without a server: of a file that someone gives, or of the last good configuration.
//!
//! The same states are made true by the same code; only where the configuration comes from and who hears of it differs.

use super::blobs::Blobs;
use super::converge::{Assigned, converge};
use super::folder::{Folder, Taken, io_fault};
use super::journal::Journal;
use super::link::{Link, Polled};
use super::logs::Logs;
use super::options::{AgentOptions, Echo, Given};
use super::plan::{self, Scratch};
use super::reports::Reports;
use super::secrets::{Secrets, Veil};
use super::services::{self, Services};
use super::sources::Sources;
use super::states::{Hands, Packages};
use super::{Confines, Outcome, Surroundings};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::wire::agent::Registered;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

// What a configuration may come to.
const MOST: u64 = 256 * 1024 * 1024;

/// Converges once.
///
/// # Errors
/// Where the configuration cannot be read, or another run holds the folder.
pub(super) async fn run(options: &AgentOptions, cancel: CancellationToken) -> Result<Outcome, Fault> {
    let folder = match Folder::take(&options.folder, "lock")? {
        Taken::Ours(folder) => folder,
        Taken::By(holder) => return Err(holder.fault()),
    };
    let assigned = assigned(options, &folder)?;
    options.limits.apply()?;
    let hands = hands(options, &folder, &folder)?;
    services::sweep_tasks(&hands.surroundings).await;
    let reports = Reports::unheard(folder);
    tokio::select! {
        _ = converge(&hands, &reports, &assigned, || false) => {}
        () = cancel.cancelled() => {}
    }
    Ok(Outcome::of(Journal::load(&hands.folder)))
}

/// Says what a convergence would do: of a file, of what the server wants now, or without either of the last good configuration.
/// Another run may hold the folder meanwhile.
///
/// # Errors
/// Where the configuration cannot be had.
pub(super) async fn plan(options: &AgentOptions) -> Result<Outcome, Fault> {
    let folder = Folder::look(&options.folder)?;
    let assigned = if options.offline {
        assigned(options, &folder)?
    } else {
        asked(options, &folder).await?
    };
    let scratch = Scratch::new();
    let hands = hands(options, &folder, &scratch.folder()?)?;
    Ok(plan::plan(&hands, &assigned).await)
}

// What the server wants now.
async fn asked(options: &AgentOptions, folder: &Folder) -> Result<Assigned, Fault> {
    let server = folder.load::<Registered>(Registered::NAME).ok_or_else(|| {
        let fault = Fault::new("not-signed-in", "This node is not registered");
        fault.next("Start the agent with a token once, or give a configuration with --offline --configuration FILE")
    })?;
    let link = Link::new(
        &options.server_url,
        &server.node,
        folder.identity()?.key,
        options.longest_pause,
    )?;
    let away = |why: String| Fault::new("server-unreachable", "The server was not asked").why(why);
    match link.configuration(None, Duration::ZERO).await {
        Ok(Polled::New(delivery)) => {
            let blobs = Blobs::of(folder);
            Assigned::believe(&server, &delivery, 0)?;
            blobs.fetch(&link, &delivery.body).await?;
            Assigned::check(&server, &delivery, 0, &blobs)
        }
        Ok(_) => Err(Fault::new("not-found", "This node has no configuration yet")),
        Err(error) => Err(away(error.to_string())),
    }
}

fn hands(options: &AgentOptions, folder: &Folder, written: &Folder) -> Result<Hands, Fault> {
    let identity = written.identity()?;
    let veil = Veil::default();
    let echo = options
        .echo
        .clone()
        .unwrap_or_else(|| Echo::new(|line| tracing::info!("{line}")));
    let logs = Logs::open(written, &identity.writer, veil.clone(), Some(echo))?;
    let secrets = Secrets::given(secrets(options)?, veil.clone());
    let node = options.node.clone().unwrap_or_else(|| NodeId::from_bits(0));
    let surroundings = Surroundings::new(&node, folder.path());
    veil.add_given(surroundings.given());
    Ok(Hands {
        confines: Confines::new(options.confined_to.as_deref(), folder.path()),
        services: Services::new(folder.clone(), logs.clone(), secrets.clone(), surroundings.clone())?,
        sources: Sources::of(None, folder),
        folder: folder.clone(),
        logs,
        secrets,
        veil,
        surroundings,
        packages: Packages::default(),
        overlay: Mutex::default(),
        diff: Mutex::default(),
    })
}

fn assigned(options: &AgentOptions, folder: &Folder) -> Result<Assigned, Fault> {
    match &options.configuration {
        Some(Given::Bytes(text)) => Ok(Assigned::new("offline", text)),
        Some(Given::File(path)) => {
            let text = read(path).map_err(|e| io_fault(&format!("The configuration {} cannot be read", path.display()), &e))?;
            Ok(Assigned::new("offline", &text))
        }
        None => Assigned::load(folder).ok_or_else(|| {
            let fault = Fault::new("not-found", "This node has no configuration yet");
            fault.next("Give one with --configuration FILE, or let the agent reach its server once")
        }),
    }
}

fn secrets(options: &AgentOptions) -> Result<BTreeMap<String, String>, Fault> {
    let Some(path) = &options.secrets else {
        return Ok(BTreeMap::new());
    };
    let what = || format!("The secrets of {} cannot be read", path.display());
    let text = read(path).map_err(|e| io_fault(&what(), &e))?;
    // Serde's own message could quote a value.
    serde_json::from_slice(&text).map_err(|e| {
        let why = format!("it is not a JSON object of texts, at line {} column {}", e.line(), e.column());
        Fault::new("invalid-request", what()).why(why)
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(MOST).read_to_end(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(MOST).read_to_end(&mut text)?;
    }
    Ok(text)
}
