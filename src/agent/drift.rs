//! Why a state was not as it should be: because something else is wanted now, or because someone else changed it. Told apart by
//! the hash of what was last made true.

use super::converge::Assigned;
use super::folder::Folder;
use crate::model::configuration::{State, StateBody};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

const NAME: &str = "enforced";
/// What is wanted is what was made true before.
pub(super) const CORRECTIVE: &str = "corrective";
const INTENTIONAL: &str = "intentional";

/// See the module.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Enforced {
    states: BTreeMap<String, String>,
    #[serde(skip)]
    changed: bool,
}

impl Enforced {
    /// What was made true on this node.
    pub(super) fn load(folder: &Folder) -> Self {
        folder.load(NAME).unwrap_or_default()
    }

    /// Why this state was changed; empty for what is done rather than kept, such as a command.
    pub(super) fn drift(&self, state: &State) -> &'static str {
        match self.states.get(&state.id) {
            _ if matches!(state.body, StateBody::Execute { .. }) => "",
            Some(hash) if *hash == hash_of(state) => CORRECTIVE,
            _ => INTENTIONAL,
        }
    }

    /// The state is true now.
    pub(super) fn note(&mut self, state: &State) {
        let hash = hash_of(state);
        if self.states.get(&state.id) != Some(&hash) {
            self.states.insert(state.id.clone(), hash);
            self.changed = true;
        }
    }

    /// Keeps it, without what is no longer wanted.
    pub(super) fn save(&mut self, folder: &Folder, assigned: &Assigned) {
        if let Some(configuration) = &assigned.configuration {
            let ids: BTreeSet<&str> = configuration.states.iter().map(|s| s.id.as_str()).collect();
            let before = self.states.len();
            self.states.retain(|id, _| ids.contains(id.as_str()));
            self.changed |= self.states.len() != before;
        }
        if self.changed
            && let Err(fault) = folder.save(NAME, self)
        {
            tracing::warn!(%fault, "what was made true could not be noted; drift may be told as intended");
        }
    }
}

fn hash_of(state: &State) -> String {
    let text = serde_json::to_vec(&state.body).unwrap_or_default();
    crate::model::secret::hex("", &Sha256::digest(text)[..16])
}
