//! The agent's day: converges when something else is wanted and, now and then, to see that nothing was changed from outside; keeps
//! its hands off when told to; and tells how the services are in between.

use super::converge::{Assigned, converge, report};
use super::journal::Journal;
use super::link::Link;
use super::options::AgentOptions;
use super::pause::Disabled;
use super::plan;
use super::renew::Renewer;
use super::reports::Reports;
use super::states::Hands;
use super::{LOOK, Outcome};
use crate::clock::{Ids, SystemIds};
use crate::machine::processes;
use crate::wire::agent::{Report, ReportOutcome};
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

// Services change in bursts; one report tells of a burst.
const GATHER: Duration = Duration::from_millis(300);
const BOOT: &str = "boot";
const FAR: Duration = Duration::from_hours(24 * 365);

/// Works until there is nobody to work for, or with `once` until it has converged once.
pub(super) async fn work(
    options: &AgentOptions,
    hands: &Hands,
    reports: &Reports,
    link: &Link,
    before: Option<Assigned>,
    mut assigned: watch::Receiver<Option<Assigned>>,
    mut renewer: Renewer,
) -> Outcome {
    let mut journal = Journal::load(&hands.folder);
    let booted = has_booted(hands);
    if let Some(before) = before {
        let finished = journal.as_ref().filter(|j| j.etag == before.etag).and_then(|j| j.outcome);
        let was_well = finished == Some(ReportOutcome::Applied);
        hands.services.take_over(&before.services(), was_well).await;
        match (&journal, finished) {
            (Some(journal), Some(_)) if !booted => reports.add(report(journal, hands).await),
            // Cut short, or what it found then is not what is now: gone on with below.
            _ => assigned.mark_changed(),
        }
    }
    let changed = hands.services.changed();
    let mut next = options.every.map(|_| Instant::now() + place(options, &link.node()));
    let mut held: Option<String> = None;
    loop {
        tokio::select! {
            more = assigned.changed(), if held.is_none() => {
                if more.is_err() {
                    return Outcome::default();
                }
                let Some(wanted) = assigned.borrow_and_update().clone() else { continue };
                if let Some(why) = kept_off(hands, link) {
                    tracing::info!(why, "nothing is changed for now");
                    reports.add(nothing_done(&wanted, ReportOutcome::Disabled, &why));
                    held = Some(why);
                    if options.once {
                        return Outcome::default();
                    }
                    continue;
                }
                if options.audit || wanted.configuration.as_ref().is_some_and(|c| c.audit) {
                    let outcome = plan::plan(hands, &wanted).await;
                    reports.add(audited(&wanted, outcome.clone()));
                    if options.once {
                        return outcome;
                    }
                    continue;
                }
                let newer = assigned.clone();
                if converge(hands, reports, &wanted, || newer.has_changed().unwrap_or(false)).await {
                    journal = Journal::load(&hands.folder);
                    if options.once {
                        return Outcome::of(journal);
                    }
                }
            }
            () = sleep_until(next.unwrap_or_else(|| Instant::now() + FAR)) => {
                next = options.every.map(|every| Instant::now() + every);
                assigned.mark_changed();
            }
            () = sleep(LOOK), if held.is_some() => {
                if kept_off(hands, link).is_none() {
                    held = None;
                    assigned.mark_changed();
                }
            }
            renewal = renewer.wanted() => {
                return Outcome { renewal: Some(renewal), ..Outcome::default() };
            }
            () = changed.notified() => {
                sleep(GATHER).await;
                if let Some(journal) = journal.as_ref().filter(|j| j.outcome.is_some()) {
                    let now = health(journal, hands).await;
                    if !reports.told(&now) {
                        reports.add(now);
                    }
                }
            }
        }
    }
}

// Whether the machine, or the container, was started anew since an agent was last here: nothing runs that it had started.
fn has_booted(hands: &Hands) -> bool {
    let Some(boot) = processes::boot() else { return false };
    let before = hands.folder.load::<String>(BOOT);
    if before.as_ref() != Some(&boot)
        && let Err(fault) = hands.folder.save(BOOT, &boot)
    {
        tracing::warn!(%fault, "the next agent will think that the machine was started anew");
    }
    before.is_some_and(|before| before != boot)
}

// Why nothing must be changed now, where someone said so.
fn kept_off(hands: &Hands, link: &Link) -> Option<String> {
    match Disabled::now(&hands.folder) {
        Some(disabled) => Some(format!("disabled: {}", disabled.reason)),
        None => link.maintenance().map(|reason| format!("maintenance: {reason}")),
    }
}

// The node's own place in the time that a fleet's runs are spread over: by its name, so that the load stays even.
fn place(options: &AgentOptions, node: &str) -> Duration {
    let name = options.name.as_deref().unwrap_or(node);
    let hash = Sha256::digest(name.as_bytes());
    let number = hash[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let whole = u64::try_from(options.splay.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(if whole == 0 { 0 } else { number % whole })
}

fn nothing_done(wanted: &Assigned, outcome: ReportOutcome, why: &str) -> Report {
    Report {
        id: format!("{:032x}", SystemIds.next()),
        configuration: wanted.hash.clone(),
        outcome,
        states: Vec::new(),
        unchanged: 0,
        services: Vec::new(),
        fault: None,
        took_ms: 0,
        truncated: false,
        note: why.to_owned(),
    }
}

fn audited(wanted: &Assigned, outcome: Outcome) -> Report {
    Report {
        states: outcome.states,
        unchanged: u32::try_from(outcome.unchanged).unwrap_or(u32::MAX),
        fault: outcome.fault,
        ..nothing_done(wanted, ReportOutcome::Audited, "")
    }
}

// How the services are now: a service that was given up makes what was applied a failure.
async fn health(journal: &Journal, hands: &Hands) -> Report {
    let mut now = report(journal, hands).await;
    if now.fault.is_none()
        && let Some(fault) = hands.services.fault().await
    {
        now.outcome = ReportOutcome::Failed;
        now.fault = Some(hands.veil.cover_fault(fault));
    }
    now
}
