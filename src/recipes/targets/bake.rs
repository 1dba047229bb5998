//! What of a configuration may be in an image that any later node of its kind starts from: what is installed, fetched and
//! built, and nothing that runs, is secret, or is someone's data.

use super::{Support, Target, secrets, support};
use crate::model::configuration::{NodeConfiguration, State, StateBody};
use std::collections::BTreeSet;

/// The part of a configuration that an image is baked from. Whatever is not in it, or differs later, is the work of the agent
/// of the node that starts from the image: it applies the whole.
pub fn bakeable(configuration: &NodeConfiguration) -> NodeConfiguration {
    let mut with_data = BTreeSet::new();
    let mut states: Vec<State> = Vec::new();
    for state in &configuration.states {
        if is_data(&state.body) {
            with_data.insert(state.app.clone());
        }
        // What an app does once it has a database may be done to the database.
        let after_data = state.app.is_some() && with_data.contains(&state.app);
        if !after_data && is_bakeable(state) {
            states.push(state.clone());
        }
    }
    let kept: BTreeSet<String> = states.iter().map(|state| state.id.clone()).collect();
    for state in &mut states {
        state.restarts.clear();
        state.notify.clear();
    }
    // What only follows from something that is not done here is not done here either.
    states.retain(|state| state.guards.changed.as_ref().is_none_or(|id| kept.contains(id)));
    NodeConfiguration {
        states,
        ..configuration.clone()
    }
}

fn is_bakeable(state: &State) -> bool {
    let body = &state.body;
    state.is_for(Target::Image)
        && !runs(body)
        && !is_data(body)
        && secrets(body).is_empty()
        && matches!(support(body, Target::Image), Support::Yes)
}

fn runs(body: &StateBody) -> bool {
    matches!(
        body,
        StateBody::Service { .. }
            | StateBody::SystemService(_)
            | StateBody::Timer(_)
            | StateBody::Cron(_)
            | StateBody::WaitFor(_)
    )
}

fn is_data(body: &StateBody) -> bool {
    matches!(
        body,
        StateBody::Database { .. } | StateBody::ServerDatabase(_) | StateBody::DatabaseUser(_) | StateBody::DatabaseRestore(_)
    )
}
