//! What a convergence would do, without doing it: the same states, looked at by the same code, in the same order.
//!
//! Honest where it cannot know: programs are not run, so what depends on one is said to be unknown rather than guessed.

use super::Outcome;
use super::converge::{Assigned, check};
use super::drift::Enforced;
use super::folder::Folder;
use super::states::{Done, Hands};
use crate::model::configuration::StateBody;
use crate::model::fault::Fault;
use crate::wire::agent::StateReport;
use std::collections::BTreeSet;
use std::path::PathBuf;
use tokio::time::Instant;

/// Looks at every state.
pub(super) async fn plan(hands: &Hands, assigned: &Assigned) -> Outcome {
    hands.begin_plan();
    let outcome = look(hands, assigned).await;
    hands.end_plan();
    outcome
}

async fn look(hands: &Hands, assigned: &Assigned) -> Outcome {
    let mut outcome = Outcome::default();
    let Some(configuration) = &assigned.configuration else {
        let fault = Fault::new("configuration-refused", "The agent does not understand the configuration");
        outcome.fault = Some(fault.why(&assigned.why));
        return outcome;
    };
    if let Err(fault) = check(hands, configuration) {
        outcome.fault = Some(fault);
        return outcome;
    }
    let stream = "plan";
    let enforced = Enforced::load(&hands.folder);
    let mut changed = BTreeSet::new();
    let mut owed = BTreeSet::new();
    for state in &configuration.states {
        let began = Instant::now();
        // What is only looked at stays as it is for whatever comes after it.
        let before = state.audit.then(|| hands.pretended());
        let looked = hands.apply(state, |id| changed.contains(id), stream).await;
        if let Some(before) = before {
            hands.pretend_only(before);
        }
        let diff = hands.take_diff();
        let (what, note) = match looked {
            Ok(Done::Unchanged) => {
                outcome.unchanged += 1;
                continue;
            }
            Ok(Done::Skipped(why)) => ("skipped", why),
            Ok(Done::Changed(note)) if state.audit => ("differs", note),
            Ok(Done::Changed(note)) => {
                outcome.changed += 1;
                changed.insert(state.id.clone());
                let restarts = state.restarts.iter().map(|id| ("restart", id.as_str()));
                owed.extend(restarts.chain(state.notify.iter().map(|n| (n.verb.as_str(), n.state.as_str()))));
                ("would_change", note)
            }
            Ok(Done::Unknown(why)) => {
                outcome.unknown += 1;
                ("unknown", why)
            }
            // What an earlier command would have made may be all that is missing.
            Err(fault) if hands.is_unsure() => {
                outcome.unknown += 1;
                ("unknown", format!("{fault}; an earlier command could change that"))
            }
            Err(fault) => {
                let fault = hands.veil.cover_fault(fault);
                let note = fault.to_string();
                outcome.fault.get_or_insert(fault);
                ("would_fail", note)
            }
        };
        let drift = match what {
            "would_change" | "differs" => enforced.drift(state),
            _ => "",
        };
        let note = hands.veil.cover(&note).into_owned();
        if what != "skipped" {
            hands
                .logs
                .line(stream, &format!("{} ({}): {}{note}", state.title, state.origin, said(what)));
            for line in diff.lines() {
                hands.logs.line(stream, &format!("  {line}"));
            }
        }
        outcome.states.push(StateReport {
            id: state.id.clone(),
            outcome: what.to_owned(),
            note,
            took_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
            drift: drift.to_owned(),
            diff,
        });
    }
    for (verb, id) in owed {
        let told = configuration.states.iter().find(|s| s.id == id);
        let line = match told.map(|s| &s.body) {
            // A service that is started anyway is not restarted on top.
            Some(StateBody::Service { .. } | StateBody::SystemService(_)) if changed.contains(id) => continue,
            Some(StateBody::Service { name, .. }) => {
                format!("{name}: would be restarted, because something it reads would change")
            }
            Some(StateBody::SystemService(service)) => format!("{}: would be told to {verb}", service.name),
            Some(StateBody::Execute { command, .. }) => {
                format!("`{}` would be run, because of what would change", command.join(" "))
            }
            _ => continue,
        };
        hands.logs.line(stream, &hands.veil.cover(&line));
    }
    outcome
}

fn said(what: &str) -> &'static str {
    match what {
        "would_change" => "would be changed: ",
        "unknown" => "cannot be known: ",
        "differs" => "differs and is left as it is: ",
        _ => "would fail: ",
    }
}

/// A folder of its own for what a plan writes down, removed at its end.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    pub(super) fn new() -> Self {
        let name = format!("greenroom-plan-{:016x}", rand::random::<u64>());
        Self(std::env::temp_dir().join(name))
    }

    /// As an agent's folder.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn folder(&self) -> Result<Folder, Fault> {
        Folder::look(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
