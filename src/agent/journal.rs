//! What a convergence has come to so far, saved before and after each state, so that one that was cut short is finished by the
//! next agent and none of its consequences is forgotten.

use super::folder::Folder;
use crate::model::fault::Fault;
use crate::wire::agent::{ReportOutcome, StateReport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const NAME: &str = "journal";

/// See the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Journal {
    /// ETag of the configuration, which differs each time it is to be applied.
    pub(super) etag: String,
    /// Hash of the configuration.
    pub(super) hash: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub(super) began_ms: i64,
    /// The state under way.
    #[serde(default)]
    pub(super) current: Option<String>,
    /// What became of the states that changed or were skipped.
    #[serde(default)]
    pub(super) states: Vec<StateReport>,
    /// Ids of the states that were reached.
    #[serde(default)]
    pub(super) done: BTreeSet<String>,
    /// How many states were as they should be.
    #[serde(default)]
    pub(super) unchanged: u32,
    /// Ids of states that changed something since all was well last: what follows from a change is owed until then, even if
    /// the state itself has nothing left to do.
    #[serde(default)]
    pub(super) changed: BTreeSet<String>,
    /// What it came to.
    #[serde(default)]
    pub(super) outcome: Option<ReportOutcome>,
    /// Why it failed.
    #[serde(default)]
    pub(super) fault: Option<Fault>,
    /// How long it took.
    #[serde(default)]
    pub(super) took_ms: i64,
}

impl Journal {
    /// The last one of this folder.
    pub(super) fn load(folder: &Folder) -> Option<Self> {
        folder.load(NAME)
    }

    /// Saves it.
    ///
    /// # Errors
    /// `disk-full` or `state-failed`.
    pub(super) fn save(&self, folder: &Folder) -> Result<(), Fault> {
        folder.save(NAME, self)
    }

    /// The journal for applying this configuration: the one that was cut short, or a new one that owes what the last one owed.
    pub(super) fn begin(before: Option<Self>, etag: &str, hash: &str, now_ms: i64) -> Self {
        let before = before.map(Self::with_doubt);
        match before {
            Some(before) if before.etag == etag && before.hash == hash && before.outcome.is_none() => before,
            Some(before) => Self {
                etag: etag.to_owned(),
                hash: hash.to_owned(),
                began_ms: now_ms,
                changed: match before.outcome {
                    Some(ReportOutcome::Applied) => BTreeSet::new(),
                    _ => before.changed,
                },
                ..Self::default()
            },
            None => Self {
                etag: etag.to_owned(),
                hash: hash.to_owned(),
                began_ms: now_ms,
                ..Self::default()
            },
        }
    }

    // The state under way when an agent was killed may have changed something that nobody noted. What follows from a change is
    // rather done once too often than never.
    fn with_doubt(mut self) -> Self {
        if self.outcome.is_none() {
            self.changed.extend(self.current.clone());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_owes_is_carried_over_until_all_is_well() {
        let mut first = Journal::begin(None, "e1", "h1", 1);
        first.changed.insert("app/git/code".into());
        first.outcome = Some(ReportOutcome::Failed);
        let mut second = Journal::begin(Some(first), "e2", "h2", 2);
        assert!(second.changed.contains("app/git/code") && second.done.is_empty());
        second.outcome = Some(ReportOutcome::Applied);
        let third = Journal::begin(Some(second), "e3", "h3", 3);
        assert!(third.changed.is_empty());
    }

    #[test]
    fn one_that_was_cut_short_is_gone_on_with() {
        let mut first = Journal::begin(None, "e1", "h1", 1);
        first.done.insert("a".into());
        first.current = Some("b".into());
        let again = Journal::begin(Some(first), "e1", "h1", 9);
        assert_eq!((again.began_ms, again.current.as_deref()), (1, Some("b")));
    }

    #[test]
    fn a_state_that_was_under_way_at_a_kill_counts_as_changed_in_whatever_comes_next() {
        let mut first = Journal::begin(None, "e1", "h1", 1);
        first.current = Some("b".into());
        for (etag, hash) in [("e1", "h1"), ("e2", "h2")] {
            let next = Journal::begin(Some(first.clone()), etag, hash, 2);
            assert!(next.changed.contains("b"), "{next:?}");
        }
        first.outcome = Some(ReportOutcome::Failed);
        assert!(Journal::begin(Some(first), "e1", "h1", 2).changed.is_empty());
    }
}
