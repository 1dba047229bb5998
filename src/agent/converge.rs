//! One convergence: the states of a configuration in written order, each noted in the journal, told in the log and reported.
//!
//! The first state that fails ends it; the ones after it are not tried. A newer configuration ends it after the state under
//! way. Whatever ends it, what earlier states changed and nobody has acted on yet stays owed to the next one.

use super::blobs::Blobs;
use super::drift::{CORRECTIVE, Enforced};
use super::folder::Folder;
use super::journal::Journal;
use super::link::Delivery;
use super::reports::Reports;
use super::services::Wanted;
use super::states::{Done, Hands};
use crate::clock::{Clock, Ids, SystemClock, SystemIds};
use crate::model::configuration::blobs::attach;
use crate::model::configuration::{Absent, Archive, DatabaseEngine, Download, Link, NodeConfiguration, State, StateBody, Target};
use crate::model::fault::Fault;
use crate::model::signature::{PublicKey, document};
use crate::model::time::show_length;
use crate::wire::agent::{Registered, Report, ReportOutcome, StateReport};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

// What a change may lead to elsewhere, in the order in which it is done.
const VERBS: [&str; 3] = ["run", "reload", "restart"];
const PROGRESS_EVERY: Duration = Duration::from_millis(300);
// How much older than the newest a signed configuration may be: replicas' clocks differ, and a signature is used for a while.
const SLACK_MS: i64 = 300_000;

/// A configuration that is to be applied.
#[derive(Debug, Clone)]
pub(super) struct Assigned {
    /// What the server calls this wish; another one for the same configuration means: apply it again.
    pub(super) etag: String,
    /// The configuration's hash.
    pub(super) hash: String,
    /// When the server signed it; 0 where it came from a person.
    pub(super) issued_ms: i64,
    /// The configuration; none where it was not understood.
    pub(super) configuration: Option<NodeConfiguration>,
    /// Why it was not understood.
    pub(super) why: String,
}

impl Assigned {
    const NAME: &'static str = "assigned";

    /// Reads a document.
    pub(super) fn new(etag: &str, body: &[u8]) -> Self {
        let mut parsed = serde_json::from_slice::<NodeConfiguration>(body);
        // Whatever else the server puts into an ETag comes after the hash.
        let told = bare(etag)
            .get(..71)
            .filter(|hash| hash.starts_with("sha256:"))
            .map(str::to_owned);
        let hash = told.or_else(|| parsed.as_ref().ok()?.hash().ok()).unwrap_or_default();
        if let Ok(configuration) = &mut parsed {
            configuration.states.retain(|state| state.is_for(Target::Agent));
        }
        let (configuration, why) = match parsed {
            Ok(found) if found.format != NodeConfiguration::FORMAT => {
                let why = format!(
                    "its format is {}, and this agent knows {}",
                    found.format,
                    NodeConfiguration::FORMAT
                );
                (None, why)
            }
            Ok(found) => (Some(found), String::new()),
            Err(error) => (None, error.to_string()),
        };
        Self {
            etag: etag.to_owned(),
            hash,
            issued_ms: 0,
            configuration,
            why,
        }
    }

    /// Reads what came, with the contents that it names, if it is to be believed.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn check(server: &Registered, delivery: &Delivery, newest_ms: i64, blobs: &Blobs) -> Result<Self, Fault> {
        Self::believe(server, delivery, newest_ms)?;
        let whole = attach(&delivery.body, &|name| blobs.get(name)).map_err(|name| {
            let fault = Fault::new("configuration-refused", "The agent does not take this configuration");
            fault.why(format!("the content {name} is not here"))
        })?;
        let mut assigned = Self::new(&delivery.etag, whole.as_bytes());
        assigned.issued_ms = delivery.issued_ms;
        Ok(assigned)
    }

    /// Whether the server that this node registered with signed it for this node, and not long before the newest.
    ///
    /// # Errors
    /// `configuration-refused`.
    pub(super) fn believe(server: &Registered, delivery: &Delivery, newest_ms: i64) -> Result<(), Fault> {
        let refuse = |why: &str| Err(Fault::new("configuration-refused", "The agent does not take this configuration").why(why));
        let signed = document(
            &server.node,
            bare(&delivery.etag),
            delivery.issued_ms,
            delivery.body.as_bytes(),
        );
        let key = server.server_key.parse::<PublicKey>();
        if !key.is_ok_and(|key| key.verify(&signed, &delivery.signature)) {
            return refuse("the server has not signed it for this node");
        }
        if delivery.issued_ms < newest_ms.saturating_sub(SLACK_MS) {
            return refuse("it is older than the one before");
        }
        Ok(())
    }

    /// The last good one of this folder.
    pub(super) fn load(folder: &Folder) -> Option<Self> {
        let server = folder.load(Registered::NAME)?;
        let delivery = folder.load(Self::NAME)?;
        Self::check(&server, &delivery, 0, &Blobs::of(folder))
            .map_err(|fault| tracing::error!(%fault, "the configuration on disk was altered"))
            .ok()
    }

    /// Keeps one for the next agent, and for as long as the server is away.
    ///
    /// # Errors
    /// `disk-full` or `state-failed`.
    pub(super) fn keep(folder: &Folder, delivery: &Delivery) -> Result<(), Fault> {
        folder.save(Self::NAME, delivery)?;
        Blobs::of(folder).prune(&delivery.body);
        Ok(())
    }

    /// The services it wants.
    pub(super) fn services(&self) -> Vec<Wanted> {
        let states = self.configuration.iter().flat_map(|c| &c.states);
        states.filter_map(|state| Wanted::of(&state.body)).collect()
    }
}

// An ETag without its wrapping.
fn bare(etag: &str) -> &str {
    etag.trim().trim_start_matches("W/").trim_matches('"')
}

/// Applies a configuration; `false` where a newer one came meanwhile.
pub(super) async fn converge(hands: &Hands, reports: &Reports, assigned: &Assigned, newer: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    let mut run = Run {
        hands,
        reports,
        stream: format!("converge/{}", assigned.hash),
        journal: Journal::begin(
            Journal::load(&hands.folder),
            &assigned.etag,
            &assigned.hash,
            SystemClock.now().0,
        ),
        began,
        told: None,
        changed_at: BTreeMap::new(),
        running: None,
        streamed: false,
        enforced: Enforced::load(&hands.folder),
    };
    let outcome = run.apply(assigned, newer).await;
    run.enforced.save(&hands.folder, assigned);
    if matches!(outcome, Ok(false)) {
        run.say("A newer configuration came; going over to it");
        return false;
    }
    let fault = outcome.err().map(|fault| hands.veil.cover_fault(fault));
    run.journal.took_ms = run.took();
    run.journal.current = None;
    run.journal.outcome = Some(if fault.is_some() {
        ReportOutcome::Failed
    } else {
        ReportOutcome::Applied
    });
    match &fault {
        None => {
            run.journal.changed.clear();
            run.say(&format!(
                "Everything is as it should be, after {}",
                show_length(run.journal.took_ms)
            ));
        }
        Some(fault) => {
            run.say(&format!("Failed after {}: {fault}", show_length(run.journal.took_ms)));
            // What a program of a state said is in this log already.
            for line in fault.log_tail.iter().filter(|_| !run.streamed) {
                run.say(&format!("  | {line}"));
            }
        }
    }
    run.journal.fault = fault;
    // Unsaved, it is applied again by the next agent, which finds most of it done.
    if let Err(fault) = run.journal.save(&hands.folder) {
        tracing::warn!(%fault, "the end of a convergence could not be written down");
    }
    reports.add(report(&run.journal, hands).await);
    true
}

/// The report of a convergence that has come to an end, with the services as they are now.
pub(super) async fn report(journal: &Journal, hands: &Hands) -> Report {
    Report {
        id: format!("{:032x}", SystemIds.next()),
        configuration: journal.hash.clone(),
        outcome: journal.outcome.unwrap_or(ReportOutcome::Converging),
        states: journal.states.clone(),
        unchanged: journal.unchanged,
        services: hands.services.report().await,
        fault: journal.fault.clone(),
        took_ms: journal.took_ms,
        truncated: false,
        note: String::new(),
    }
}

struct Run<'a> {
    hands: &'a Hands,
    reports: &'a Reports,
    stream: String,
    journal: Journal,
    began: Instant,
    told: Option<Instant>,
    changed_at: BTreeMap<String, Instant>,
    running: Option<StateReport>,
    // Whether what failed had its output in the log as it came.
    streamed: bool,
    enforced: Enforced,
}

impl Run<'_> {
    async fn apply(&mut self, assigned: &Assigned, newer: impl Fn() -> bool) -> Result<bool, Fault> {
        let Some(configuration) = &assigned.configuration else {
            return Err(
                Fault::new("configuration-refused", "The agent does not understand the configuration").why(&assigned.why),
            );
        };
        check(self.hands, configuration)?;
        self.journal.save(&self.hands.folder)?;
        match self.journal.current.take() {
            Some(id) => self.say(&format!("The agent was restarted during {id}; going on there")),
            None => self.say(&format!("Applying {} states", configuration.states.len())),
        }
        self.progress(true).await;
        let names: Vec<String> = assigned.services().into_iter().map(|w| w.name).collect();
        for name in self.hands.services.keep_only(&names).await {
            self.say(&format!("Stopped {name}, which is no longer wanted"));
        }
        // Others do something if these change.
        let awaited: BTreeSet<&str> = configuration
            .states
            .iter()
            .filter_map(|s| s.guards.changed.as_deref())
            .collect();
        for state in &configuration.states {
            if newer() {
                return Ok(false);
            }
            let leads_on = !state.restarts.is_empty() || !state.notify.is_empty() || awaited.contains(state.id.as_str());
            self.state(state, &configuration.states, leads_on).await?;
        }
        self.notify(&configuration.states).await?;
        self.restart_services(&configuration.states).await?;
        let unprobed: Vec<String> = assigned
            .services()
            .into_iter()
            .filter(|w| w.ready.is_none())
            .map(|w| w.name)
            .collect();
        self.hands.services.wait_settled(&unprobed).await?;
        Ok(true)
    }

    async fn state(&mut self, state: &State, states: &[State], leads_on: bool) -> Result<(), Fault> {
        // Done before the agent was killed. A program is not run twice for that; the others only look again.
        let again = self.journal.done.contains(&state.id);
        if again && matches!(state.body, StateBody::Execute { .. }) {
            return Ok(());
        }
        let began = Instant::now();
        // What is only looked at leaves nothing half done.
        self.journal.current = (!state.audit).then(|| state.id.clone());
        self.running = Some(outcome(&state.id, "running", &state.title, 0));
        let takes_time = matches!(
            state.body,
            StateBody::Git { .. }
                | StateBody::Execute { .. }
                | StateBody::Service { .. }
                | StateBody::Database { .. }
                | StateBody::Package { install: Some(_), .. }
                | StateBody::Download(_)
                | StateBody::Archive(_)
                | StateBody::DatabaseRestore(_)
                | StateBody::WaitFor(_)
        );
        if takes_time || leads_on {
            // The others only look again after a crash. What follows from a change must not be lost in it.
            self.journal.save(&self.hands.folder)?;
        }
        if takes_time {
            self.say(&format!("{} …", state.title));
            // At once: people see what takes the time.
            self.progress(true).await;
        }
        let changed = &self.journal.changed;
        let applied = if state.audit {
            self.hands.look(state, |id| changed.contains(id), &self.stream).await
        } else {
            self.hands.apply(state, |id| changed.contains(id), &self.stream).await
        };
        self.running = None;
        let took_ms = millis(began);
        let took = show_length(took_ms);
        let did_something = matches!(applied, Ok(Done::Changed(_)));
        let mut is_true = true;
        match applied {
            Ok(Done::Unchanged) => {
                if !again {
                    self.journal.unchanged += 1;
                }
                let line = format!("{}: as it should be ({took})", state.title);
                self.hands.logs.detail(&self.stream, &line);
            }
            Ok(Done::Skipped(why)) => {
                self.note(outcome(&state.id, "skipped", &why, took_ms));
                let line = format!("{}: not needed, {why}", state.title);
                self.hands.logs.detail(&self.stream, &line);
            }
            Ok(Done::Unknown(why)) => {
                self.note(outcome(&state.id, "unknown", &why, took_ms));
            }
            Ok(Done::Changed(note)) if state.audit => {
                self.say(&format!("{}: differs and is left as it is, {note}", state.title));
                let note = self.hands.veil.cover(&note).into_owned();
                self.note(StateReport {
                    drift: self.enforced.drift(state).to_owned(),
                    diff: self.hands.take_diff(),
                    ..outcome(&state.id, "differs", &note, took_ms)
                });
                is_true = false;
            }
            Ok(Done::Changed(note)) => {
                let drift = self.enforced.drift(state);
                let external = if drift == CORRECTIVE {
                    ", it had been changed from outside"
                } else {
                    ""
                };
                self.say(&format!("{}: {note} ({took}){external}", state.title));
                let note = self.hands.veil.cover(&note).into_owned();
                self.note(StateReport {
                    drift: drift.to_owned(),
                    diff: self.hands.take_diff(),
                    ..outcome(&state.id, "changed", &note, took_ms)
                });
                self.journal.changed.insert(state.id.clone());
                self.changed_at.insert(state.id.clone(), Instant::now());
                if !state.notify.is_empty() {
                    // Noted as owed before it is acted on, so that a kill in between loses nothing.
                    self.journal.save(&self.hands.folder)?;
                    self.notify_now(state, states).await?;
                }
            }
            Err(fault) => {
                self.streamed = matches!(state.body, StateBody::Execute { .. });
                let note = self.hands.veil.cover(&fault.to_string()).into_owned();
                self.note(outcome(&state.id, "failed", &note, took_ms));
                self.say(&format!("{}: failed ({took})", state.title));
                return Err(fault);
            }
        }
        if is_true {
            self.enforced.note(state);
        }
        self.journal.current = None;
        self.journal.done.insert(state.id.clone());
        if did_something {
            self.journal.save(&self.hands.folder)?;
        }
        self.progress(false).await;
        Ok(())
    }

    // What changes led to elsewhere, each once: programs first, then reloads, then restarts, which make a reload needless.
    async fn notify(&mut self, states: &[State]) -> Result<(), Fault> {
        let mut owed: BTreeSet<(usize, &str)> = BTreeSet::new();
        for state in states.iter().filter(|s| self.journal.changed.contains(&s.id)) {
            // What was to be told at once by an agent that was killed before it could is told now.
            let is_late = !self.changed_at.contains_key(&state.id);
            for notification in state.notify.iter().filter(|n| !n.now || is_late) {
                let order = VERBS.iter().position(|verb| *verb == notification.verb);
                owed.insert((order.unwrap_or_default(), &notification.state));
            }
        }
        for (order, id) in &owed {
            if *order == 1 && owed.contains(&(2, *id)) {
                continue;
            }
            self.tell(VERBS[*order], id, states).await?;
        }
        Ok(())
    }

    async fn notify_now(&mut self, state: &State, states: &[State]) -> Result<(), Fault> {
        for notification in state.notify.iter().filter(|n| n.now) {
            self.tell(&notification.verb, &notification.state, states).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, verb: &str, id: &str, states: &[State]) -> Result<(), Fault> {
        let Some(state) = states.iter().find(|state| state.id == id) else {
            return Ok(());
        };
        match &state.body {
            StateBody::Execute { .. } => {
                self.say(&format!("{} …", state.title));
                self.hands.make(state, &self.stream).await?;
            }
            StateBody::SystemService(service) => {
                self.hands.control_service(&service.name, verb, &self.stream).await?;
                self.say(&format!("{}: told to {verb}", service.name));
            }
            StateBody::Service { name, .. } if self.hands.services.restart(name, Instant::now()).await => {
                self.say(&format!("Restarted {name}"));
            }
            _ => {}
        }
        Ok(())
    }

    async fn restart_services(&mut self, states: &[State]) -> Result<(), Fault> {
        let mut owed: BTreeMap<&str, Instant> = BTreeMap::new();
        for state in states.iter().filter(|s| self.journal.changed.contains(&s.id)) {
            // A change of an earlier, unfinished convergence is older than every process of this one.
            let at = self.changed_at.get(&state.id).copied().unwrap_or(self.began);
            for id in &state.restarts {
                let latest = owed.entry(id).or_insert(at);
                *latest = at.max(*latest);
            }
        }
        for (id, at) in owed {
            let service = states.iter().find(|s| s.id == id).and_then(|s| Wanted::of(&s.body));
            if let Some(service) = service
                && self.hands.services.restart(&service.name, at).await
            {
                self.say(&format!("Restarted {}, because something it reads has changed", service.name));
                if let Some(ready) = &service.ready {
                    let patience = Duration::from_secs(ready.timeout_s);
                    self.hands.services.wait_ready(&service.name, patience).await?;
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, state: StateReport) {
        self.journal.states.retain(|s| s.id != state.id);
        self.journal.states.push(state);
    }

    async fn progress(&mut self, now: bool) {
        if !now && self.told.is_some_and(|told| told.elapsed() < PROGRESS_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        self.journal.took_ms = self.took();
        let mut progress = report(&self.journal, self.hands).await;
        progress.outcome = ReportOutcome::Converging;
        progress.states.extend(self.running.clone());
        self.reports.add(progress);
    }

    // Across restarts of the agent, by the node's clock.
    fn took(&self) -> i64 {
        SystemClock.now().0.saturating_sub(self.journal.began_ms).max(0)
    }

    fn say(&self, text: &str) {
        self.hands.logs.line(&self.stream, text);
    }
}

/// Refuses what can be refused before anything is done.
///
/// # Errors
/// `configuration-refused`.
pub(super) fn check(hands: &Hands, configuration: &NodeConfiguration) -> Result<(), Fault> {
    let mut ids = BTreeSet::new();
    let refuse = |state: &State, why: &str| {
        let what = format!("The agent refuses the state {} ({})", state.id, state.origin);
        Err(Fault::new("configuration-refused", what).why(why))
    };
    let named = |name: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.bytes().all(good)
    };
    // Says which state a path that may not be written is in.
    let within = |state: &State, checked: Result<std::path::PathBuf, Fault>| {
        checked.map(drop).map_err(|fault| {
            let why = format!("in {} ({}): {}", state.id, state.origin, fault.why);
            fault.why(why)
        })
    };
    for state in &configuration.states {
        if !ids.insert(&state.id) {
            return refuse(state, "another state has the same id");
        }
        let path = match &state.body {
            StateBody::DatabaseRestore(_) if !configuration.restorable => {
                return refuse(state, "databases of this node's environment must not be restored");
            }
            StateBody::Link(Link { path, .. }) | StateBody::Absent(Absent { path, .. }) => {
                within(state, hands.confines.check_entry(path))?;
                None
            }
            StateBody::File { path, .. }
            | StateBody::Directory { path, .. }
            | StateBody::Git { path, .. }
            | StateBody::Download(Download { path, .. })
            | StateBody::Archive(Archive { path, .. })
            | StateBody::Database {
                engine: DatabaseEngine::Sqlite { path },
                ..
            } => Some(path),
            StateBody::Execute { cwd, .. } => Some(cwd),
            StateBody::Service { name, cwd, .. } => {
                if !named(name) {
                    return refuse(state, "a service's name may hold letters, digits, `-`, `_` and `.` only");
                }
                Some(cwd)
            }
            _ => None,
        };
        if let Some(path) = path {
            within(state, hands.confines.check(path))?;
        }
        if hands.confines.is_sandbox() && !fits_a_sandbox(&state.body) {
            return refuse(state, "it needs a machine of its own, and this is a sandbox");
        }
    }
    Ok(())
}

// What an agent that may only write below one folder can make true at all.
fn fits_a_sandbox(body: &StateBody) -> bool {
    match body {
        StateBody::Package { install, .. } => install.is_none(),
        StateBody::File { owner, group, .. } | StateBody::Directory { owner, group, .. } => owner.is_none() && group.is_none(),
        StateBody::Download(download) => download.owner.is_none() && download.group.is_none(),
        StateBody::Git { user, .. } | StateBody::Execute { user, .. } | StateBody::Service { user, .. } => user.is_none(),
        StateBody::Database { .. }
        | StateBody::Link(_)
        | StateBody::Absent(_)
        | StateBody::Archive(_)
        | StateBody::WaitFor(_) => true,
        _ => false,
    }
}

fn outcome(id: &str, outcome: &str, note: &str, took_ms: i64) -> StateReport {
    StateReport {
        id: id.to_owned(),
        outcome: outcome.to_owned(),
        note: note.chars().take(500).collect(),
        took_ms,
        drift: String::new(),
        diff: String::new(),
    }
}

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}
