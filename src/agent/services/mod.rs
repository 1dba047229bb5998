//! The services of a node: each is kept running by a task of its own until it is no longer wanted.
//!
//! | state | what |
//! |---|---|
//! | `starting` | its process runs and is not ready yet |
//! | `running` | its process runs and was ready |
//! | `backoff` | it ended and is started again after a pause |
//! | `failed` | it ended too often, or cannot be started |
//! | `stopped` | it ended and its policy lets it |
//!
//! A service's process is written down as soon as it runs. Whoever starts one first ends everything that is left of it, so two
//! processes of one service never run, whenever the agent was killed.

mod process;
mod ready;
mod unit;

use super::folder::Folder;
use super::logs::Logs;
use super::program::Surroundings;
use super::secrets::Secrets;
use crate::machine::processes::Process;
use crate::model::configuration::{EnvValue, Readiness, RestartPolicy, StateBody};
use crate::model::fault::Fault;
use crate::wire::agent::ServiceReport;
pub(super) use process::sweep_tasks;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};
use unit::{Order, Unit};

// A service without a readiness probe counts as started once it has lived this long and come to rest; one that never rests,
// after the second time. On a busy machine a program may take long to get to where it fails.
const SETTLED: Duration = Duration::from_millis(300);
const RESTLESS: Duration = Duration::from_secs(3);

/// A service as the configuration wants it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// Its name on the node.
    pub(super) name: String,
    /// Program and arguments.
    pub(super) command: Vec<String>,
    /// As whom; as the agent where absent.
    pub(super) user: Option<String>,
    /// Where.
    pub(super) cwd: PathBuf,
    /// Its environment.
    pub(super) env: BTreeMap<String, EnvValue>,
    /// Folders searched for programs before the node's own.
    pub(super) path: Vec<String>,
    /// When it is restarted.
    pub(super) restart: RestartPolicy,
    /// When it is ready.
    pub(super) ready: Option<Readiness>,
    /// How long a stop may take.
    pub(super) stop: Duration,
    /// Changes with whatever needs a restart.
    pub(super) revision: String,
}

impl Wanted {
    /// The service of this state, if it is one.
    pub(super) fn of(body: &StateBody) -> Option<Self> {
        let StateBody::Service {
            name,
            command,
            cwd,
            env,
            path,
            restart,
            ready,
            stop_timeout_s,
            revision,
            user,
        } = body
        else {
            return None;
        };
        Some(Self {
            name: name.clone(),
            command: command.clone(),
            user: user.clone(),
            cwd: PathBuf::from(cwd),
            env: env.clone(),
            path: path.clone(),
            restart: restart.clone(),
            ready: ready.clone(),
            stop: Duration::from_secs(*stop_timeout_s),
            revision: revision.clone(),
        })
    }

    /// Names all that a running process cannot be told later; two that are equal need no restart.
    fn identity(&self) -> String {
        let mut parts = serde_json::json!([self.command, self.cwd, self.env, self.path, self.revision]);
        if let (Some(user), Some(parts)) = (&self.user, parts.as_array_mut()) {
            parts.push(user.as_str().into());
        }
        crate::model::secret::hash(&parts.to_string())
    }
}

/// The services that an agent with this folder has started and that run.
pub(super) fn recorded(folder: &std::path::Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("services")).into_iter().flatten().flatten();
    let records = files.filter_map(|file| serde_json::from_slice::<Record>(&std::fs::read(file.path()).ok()?).ok());
    let runs = |record: &Record| Process::look(record.pid).is_some_and(|process| process.ticks == record.ticks);
    let mut names: Vec<String> = records.filter(runs).map(|record| record.name).collect();
    names.sort();
    names
}

/// What is written down of a running service, in `services/NAME.json`. The sandbox provider reads `pid` and `ticks`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    name: String,
    pid: u32,
    ticks: u64,
    identity: String,
    restarts: u32,
    ready: bool,
}

/// How a service is, as its task publishes it.
#[derive(Debug, Clone)]
struct Status {
    state: &'static str,
    pid: Option<u32>,
    restarts: u32,
    identity: String,
    // When the present process started.
    since: Instant,
    // How the last process ended, and what the last probe said.
    ended: Option<String>,
    probed: Option<String>,
    fault: Option<Fault>,
}

/// What the tasks share.
#[derive(Debug)]
struct Shared {
    folder: Folder,
    logs: Logs,
    secrets: Secrets,
    surroundings: Surroundings,
    http: reqwest::Client,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    status: watch::Receiver<Status>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Services {
    shared: Arc<Shared>,
    handles: Mutex<BTreeMap<String, Handle>>,
}

impl Services {
    /// No services yet.
    pub(super) fn new(folder: Folder, logs: Logs, secrets: Secrets, surroundings: Surroundings) -> Result<Self, Fault> {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| Fault::new("internal", "The agent cannot make connections").why(e))?;
        let shared = Shared {
            folder,
            logs,
            secrets,
            surroundings,
            http,
            changed: Arc::new(Notify::new()),
        };
        Ok(Self {
            shared: Arc::new(shared),
            handles: Mutex::default(),
        })
    }

    /// Woken whenever one of them changes.
    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.changed)
    }

    /// Takes over what an earlier agent left running and is still wanted, and ends the rest. Where all was well before, those
    /// that have died since are started again.
    pub(super) async fn take_over(&self, wanted: &[Wanted], restart: bool) {
        let names: Vec<&str> = wanted.iter().map(|w| w.name.as_str()).collect();
        for record in self.records() {
            if !names.contains(&record.name.as_str()) {
                self.end_record(&record).await;
            }
        }
        for wanted in wanted {
            let record = self.record(&wanted.name);
            let found = record.filter(|r| process::Running::find(r.pid, r.ticks).is_some());
            if found.is_some() || restart {
                self.spawn(wanted.clone(), found).await;
            }
        }
    }

    /// What making it run as wanted would do, if anything.
    pub(super) fn would(&self, wanted: &Wanted) -> Option<String> {
        let record = self.record(&wanted.name);
        match record.filter(|r| process::Running::find(r.pid, r.ticks).is_some()) {
            Some(record) if record.identity == wanted.identity() => None,
            Some(_) => Some(format!("restarted {}", wanted.name)),
            None => Some(format!("started {}", wanted.name)),
        }
    }

    /// Makes a service run as wanted; what was done, if anything.
    ///
    /// # Errors
    /// The fault of a service that cannot be started.
    pub(super) async fn put(&self, wanted: &Wanted) -> Result<Option<String>, Fault> {
        let identity = wanted.identity();
        let before = self.status(&wanted.name).await;
        match before {
            Some(status) if status.identity == identity && matches!(status.state, "running" | "starting" | "backoff") => {
                self.order(&wanted.name, |_| Order::Update(Box::new(wanted.clone()))).await;
                Ok(None)
            }
            Some(_) => {
                self.order(&wanted.name, |done| Order::Replace(Box::new(wanted.clone()), done))
                    .await;
                Ok(Some(self.described(&wanted.name, "restarted").await))
            }
            None => {
                let record = self.record(&wanted.name);
                let found = record.filter(|r| process::Running::find(r.pid, r.ticks).is_some());
                let same = found.as_ref().is_some_and(|r| r.identity == identity);
                self.spawn(wanted.clone(), found).await;
                if same {
                    return Ok(None);
                }
                self.order(&wanted.name, |done| Order::Replace(Box::new(wanted.clone()), done))
                    .await;
                Ok(Some(self.described(&wanted.name, "started").await))
            }
        }
    }

    /// Restarts a service that was not started since.
    pub(super) async fn restart(&self, name: &str, changed_at: Instant) -> bool {
        match self.status(name).await {
            Some(status) if status.since < changed_at => self.order(name, Order::Restart).await,
            _ => false,
        }
    }

    /// Stops the services that are not among these.
    pub(super) async fn keep_only(&self, names: &[String]) -> Vec<String> {
        let unwanted: Vec<String> = {
            let handles = self.handles.lock().await;
            handles.keys().filter(|name| !names.contains(name)).cloned().collect()
        };
        for name in &unwanted {
            self.order(name, Order::Stop).await;
            self.handles.lock().await.remove(name);
        }
        for record in self.records() {
            if !names.contains(&record.name) {
                self.end_record(&record).await;
            }
        }
        unwanted
    }

    /// Waits until a service is ready.
    ///
    /// # Errors
    /// `service-exited`, `service-unhealthy`, or why it could not be started.
    pub(super) async fn wait_ready(&self, name: &str, patience: Duration) -> Result<(), Fault> {
        let Some(mut status) = self.handles.lock().await.get(name).map(|h| h.status.clone()) else {
            return Ok(());
        };
        let deadline = Instant::now() + patience;
        loop {
            let now = status.borrow_and_update().clone();
            match now.state {
                "running" => return Ok(()),
                "failed" | "stopped" => return Err(self.exited(name, &now)),
                _ => {}
            }
            match timeout_at(deadline, status.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(()),
                Err(_) if now.state == "backoff" => return Err(self.exited(name, &now)),
                Err(_) => {
                    let why = now
                        .probed
                        .unwrap_or_else(|| "its readiness probe was never answered".to_owned());
                    let what = format!("The service {name} is not ready after {} s", patience.as_secs());
                    let fault = Fault::new("service-unhealthy", what).why(why);
                    return Err(fault.log_tail(self.shared.logs.last_lines(name)));
                }
            }
        }
    }

    /// Waits until each of these, which have no readiness probe, has lived for a moment.
    ///
    /// # Errors
    /// `service-exited`, or why it could not be started.
    pub(super) async fn wait_settled(&self, names: &[String]) -> Result<(), Fault> {
        for name in names {
            let mut rested = 0;
            loop {
                let Some(status) = self.status(name).await else { break };
                let lived = status.since.elapsed();
                match status.state {
                    "failed" | "stopped" => return Err(self.exited(name, &status)),
                    "running" if lived < SETTLED => sleep(SETTLED.saturating_sub(lived)).await,
                    "running" if rested == 3 || lived > RESTLESS => break,
                    "running" => {
                        let process = status.pid.and_then(Process::look);
                        rested = if process.is_some_and(|p| p.rests) { rested + 1 } else { 0 };
                        sleep(Duration::from_millis(15)).await;
                    }
                    _ => sleep(Duration::from_millis(20)).await,
                }
            }
        }
        Ok(())
    }

    /// How all of them are.
    pub(super) async fn report(&self) -> Vec<ServiceReport> {
        let handles = self.handles.lock().await;
        handles
            .iter()
            .map(|(name, handle)| {
                let status = handle.status.borrow();
                ServiceReport {
                    name: name.clone(),
                    state: status.state.to_owned(),
                    restarts: status.restarts,
                    pid: status.pid,
                }
            })
            .collect()
    }

    /// The fault of the first service that has been given up.
    pub(super) async fn fault(&self) -> Option<Fault> {
        let handles = self.handles.lock().await;
        let found = handles.iter().find_map(|(name, handle)| {
            let status = handle.status.borrow().clone();
            (status.state == "failed").then(|| (name.clone(), status))
        });
        found.map(|(name, status)| self.exited(&name, &status))
    }

    fn exited(&self, name: &str, status: &Status) -> Fault {
        if let Some(fault) = &status.fault {
            return fault.clone();
        }
        let times = if status.restarts > 0 {
            format!(" after {} restarts", status.restarts)
        } else {
            String::new()
        };
        Fault::new("service-exited", format!("The service {name} does not stay up{times}"))
            .why(status.ended.as_deref().unwrap_or("it ended"))
            .log_tail(self.shared.logs.last_lines(name))
    }

    async fn described(&self, name: &str, done: &str) -> String {
        match self.status(name).await.and_then(|s| s.pid) {
            Some(pid) => format!("{done} {name} as process {pid}"),
            None => format!("{done} {name}"),
        }
    }

    async fn status(&self, name: &str) -> Option<Status> {
        let handles = self.handles.lock().await;
        handles.get(name).map(|h| h.status.borrow().clone())
    }

    // Gives an order and waits until it has been carried out.
    async fn order(&self, name: &str, order: impl FnOnce(oneshot::Sender<()>) -> Order) -> bool {
        let (done, waiting) = oneshot::channel();
        let given = {
            let handles = self.handles.lock().await;
            handles.get(name).is_some_and(|h| h.orders.send(order(done)).is_ok())
        };
        if given {
            // Dropped without a word by an order that nobody needs to wait for.
            let _ = waiting.await;
        }
        given
    }

    async fn spawn(&self, wanted: Wanted, found: Option<Record>) {
        let name = wanted.name.clone();
        let (orders, receiver) = mpsc::unbounded_channel();
        let (unit, status) = Unit::new(Arc::clone(&self.shared), wanted, found);
        tokio::spawn(unit.run(receiver));
        self.handles.lock().await.insert(name, Handle { orders, status });
    }

    fn records(&self) -> Vec<Record> {
        let entries = std::fs::read_dir(self.shared.folder.file("services")).into_iter().flatten();
        entries
            .filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.ok()?.path()).ok()?).ok())
            .collect()
    }

    fn record(&self, name: &str) -> Option<Record> {
        self.shared.folder.load(&unit::record_name(name))
    }

    async fn end_record(&self, record: &Record) {
        if let Some(running) = process::Running::find(record.pid, record.ticks) {
            running.stop(Duration::from_secs(5)).await;
        }
        process::sweep(&self.shared.surroundings, &record.name).await;
        self.shared.folder.forget(&unit::record_name(&record.name));
        self.shared.logs.close(&record.name);
    }
}
