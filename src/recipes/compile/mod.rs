//! The compiler: bundle and view in, node configuration or findings out.
//!
//! A pure function: what it may ask of the inventory is handed to it. It reads no clock, no file and no random number, and every map it walks is sorted, so the same input
//! gives the same bytes. Paths outside the node's own folder are refused here, and again by the agent.

mod expand;
mod order;
mod owner;
mod render;
mod scope;
mod search;
mod states;

pub use search::{NoSearch, Search, Searched, answer_hash};

use super::bundle::Bundle;
use super::values::{self, Layer};
use super::view::View;
use crate::model::configuration::{NodeConfiguration, Notification, State, StateBody};
use crate::model::diagnostic::{Diagnostic, Severity, has_errors};
use owner::Owner;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most states of one configuration.
const MAX_STATES: usize = 20_000;

/// The findings after which a compile gives up: more help nobody.
const MAX_FINDINGS: usize = 100;
// Stands among a state's notifications until the state it names is known and gets the notification instead.
const SUBSCRIBES: &str = "subscribes";
// Stands among the notifications of a state until its owner's states are put in order.
const AFTER: &str = "after";

/// What a compile yields.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The configuration.
    pub configuration: NodeConfiguration,
    /// What a person should look at.
    pub warnings: Vec<Diagnostic>,
    /// What was asked of the inventory: the configuration may change with the answers.
    pub searches: Vec<Searched>,
}

/// Compiles the recipes of every role and app of the view into one configuration, where nothing can be searched.
///
/// # Errors
/// Every finding, errors and warnings, where one is an error.
pub fn compile(bundle: &Bundle, view: &View) -> Result<Compiled, Vec<Diagnostic>> {
    compile_with(bundle, view, Arc::new(NoSearch))
}

/// Compiles the recipes of one app as an example: in a sandbox, or where that refuses them, on a machine of its own, which is
/// what such an app is then launched on.
///
/// # Errors
/// As [`compile`], of the latter.
pub fn compile_example(bundle: &Bundle, example: View) -> Result<Compiled, Vec<Diagnostic>> {
    match compile(bundle, &example) {
        Err(found) if found.iter().any(|finding| finding.code == "configuration-refused") => {
            compile(bundle, &example.on_a_machine())
        }
        compiled => compiled,
    }
}

/// Compiles the recipes of every role and app of the view into one configuration.
///
/// # Errors
/// Every finding, errors and warnings, where one is an error.
pub fn compile_with(bundle: &Bundle, view: &View, search: Arc<dyn Search>) -> Result<Compiled, Vec<Diagnostic>> {
    let mut environment = super::template::environment();
    let asked = search::Asked::new(search);
    asked.teach(&mut environment);
    let mut renderer = render::Renderer::new(&environment);
    let mut states = Vec::new();
    let mut findings = Vec::new();
    let owners = std::iter::once(Owner::Node).filter(|_| !view.run_list.recipes.is_empty());
    for owner in owners.chain(view.apps.iter().map(Owner::App)) {
        let first = states.len();
        let mut layers: Vec<Layer> = bundle.values().cloned().into_iter().collect();
        layers.extend(owner.layers(view));
        let layers = values::in_order(&layers, owner.app_name());
        let values = values::merge(&layers);
        match scope::Scope::new(view, owner, &values, &mut renderer) {
            Ok(scope) => {
                let mut expansion = expand::Expansion {
                    bundle,
                    view,
                    owner,
                    layers: &layers,
                    scope: &scope,
                    renderer: &mut renderer,
                    states: &mut states,
                    findings: &mut findings,
                };
                expansion.run();
            }
            Err(problems) => findings.extend(problems),
        }
        order::put_in_order(&mut states, first, &mut findings);
        subscribe(&mut states[first..], &mut findings);
        check_references(&states[first..], owner.shown(), &mut findings);
    }
    check_unique(&states, &mut findings);
    if has_errors(&findings) {
        return Err(findings);
    }
    Ok(Compiled {
        configuration: NodeConfiguration {
            format: NodeConfiguration::FORMAT,
            restorable: view.restorable,
            audit: view.audit,
            states,
        },
        warnings: findings,
        searches: asked.finish(),
    })
}

/// A finding about an app's descriptor at compile time, where its text is no longer at hand.
fn about_app(app: &str, severity: Severity, code: &str, path: &str, message: String, help: Option<String>) -> Diagnostic {
    about_object(&format!("{app}.json"), severity, code, path, message, help)
}

/// A finding about an object of the inventory.
fn about_object(file: &str, severity: Severity, code: &str, path: &str, message: String, help: Option<String>) -> Diagnostic {
    Diagnostic {
        severity,
        code: code.to_owned(),
        message,
        file: file.to_owned(),
        line: 0,
        column: 0,
        path: path.to_owned(),
        help,
        snippet: None,
    }
}

/// A finding about a state that is compiled already, at its origin.
fn about_state(state: &State, code: &str, message: String) -> Diagnostic {
    let mut parts = state.origin.rsplitn(3, ':');
    let column = parts.next().and_then(|c| c.parse().ok()).unwrap_or(1);
    let line = parts.next().and_then(|l| l.parse().ok()).unwrap_or(1);
    Diagnostic {
        severity: Severity::Error,
        code: code.to_owned(),
        message,
        file: parts.next().unwrap_or_default().to_owned(),
        line,
        column,
        path: state.id.clone(),
        help: None,
        snippet: None,
    }
}

fn check_unique(states: &[State], findings: &mut Vec<Diagnostic>) {
    let mut ids: HashMap<&str, &State> = HashMap::with_capacity(states.len());
    let mut services: BTreeMap<&str, &State> = BTreeMap::new();
    for state in states {
        if let Some(earlier) = ids.insert(&state.id, state) {
            let message = format!("there are two states `{}`; the first is at {}", state.id, earlier.origin);
            let mut finding = about_state(state, "duplicate-id", message);
            finding.help = Some("give one of them another `id`".to_owned());
            findings.push(finding);
        }
        if let StateBody::Service { name, .. } = &state.body
            && let Some(earlier) = services.insert(name, state)
        {
            let message = format!("there are two services `{name}`; the first is at {}", earlier.origin);
            findings.push(about_state(state, "duplicate-id", message));
        }
    }
}

// `subscribe` is `notify` written down by whom it reaches.
fn subscribe(states: &mut [State], findings: &mut Vec<Diagnostic>) {
    for index in 0..states.len() {
        let (wanted, kept) = std::mem::take(&mut states[index].notify)
            .into_iter()
            .partition(|n| n.verb == SUBSCRIBES);
        states[index].notify = kept;
        let wanted: Vec<Notification> = wanted;
        let verb = match &states[index].body {
            StateBody::Service { .. } | StateBody::SystemService(_) => "restart",
            _ => "run",
        };
        for subscription in wanted {
            let to = Notification {
                verb: verb.to_owned(),
                state: states[index].id.clone(),
                now: false,
            };
            match states.iter_mut().find(|state| state.id == subscription.state) {
                Some(state) if state.notify.contains(&to) => {}
                Some(state) => state.notify.push(to),
                None => {
                    let message = format!("`subscribe` names `{}`, which is no state", subscription.state);
                    findings.push(about_state(&states[index], "unknown-state", message));
                }
            }
        }
    }
}

fn check_references(states: &[State], app: &str, findings: &mut Vec<Diagnostic>) {
    let position: HashMap<&str, usize> = states.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
    for (index, state) in states.iter().enumerate() {
        let restarts = state.restarts.iter().map(|id| ("restarts", id));
        let notified = state.notify.iter().map(|n| (n.verb.as_str(), &n.state));
        for (verb, id) in restarts.chain(notified) {
            let target = position.get(id.as_str()).map(|i| &states[*i].body);
            let (fits, what) = match verb {
                "run" => {
                    let is_run = |body: &StateBody| matches!(body, StateBody::Execute { refresh_only: true, .. });
                    (target.is_some_and(is_run), "no `execute` with `refresh_only`")
                }
                "reload" => {
                    let reloads = |body: &StateBody| matches!(body, StateBody::SystemService(_));
                    (target.is_some_and(reloads), "no service of the operating system")
                }
                "restarts" => {
                    let restarts = |body: &StateBody| matches!(body, StateBody::Service { .. });
                    (target.is_some_and(restarts), "no service")
                }
                _ => {
                    let restarts = |body: &StateBody| matches!(body, StateBody::Service { .. } | StateBody::SystemService(_));
                    (target.is_some_and(restarts), "no service")
                }
            };
            if !fits {
                let message = format!("`{verb}` names `{id}`, which is {what} of `{app}`");
                findings.push(about_state(state, "unknown-state", message));
            }
        }
        if let Some(id) = &state.guards.changed
            && position.get(id.as_str()).is_none_or(|i| *i >= index)
        {
            let message = format!("`changed` names `{id}`, which is no earlier state of `{app}`");
            findings.push(about_state(state, "unknown-state", message));
        }
    }
}
