//! The difference between two configurations, for people: state by state, the text of files line by line.
//!
//! Where a state was written is no difference, and neither is a secret's text: it is only said that it changes.

use crate::model::configuration::{NodeConfiguration, State, StateBody};
use similar::TextDiff;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many states are new.
    pub added: usize,
    /// How many states go.
    pub removed: usize,
    /// How many states change.
    pub changed: usize,
    /// The difference; empty where there is none.
    pub diff: String,
}

/// What differs between what is and what would be.
pub fn between(before: &NodeConfiguration, after: &NodeConfiguration) -> Changes {
    let old: BTreeMap<&str, &State> = before.states.iter().map(|state| (state.id.as_str(), state)).collect();
    let new: BTreeMap<&str, &State> = after.states.iter().map(|state| (state.id.as_str(), state)).collect();
    let mut changes = Changes::default();
    for state in &after.states {
        let one = match old.get(state.id.as_str()) {
            None => {
                changes.added += 1;
                lines_of("", &shown(state), &state.id, "added")
            }
            Some(earlier) if *earlier == state => continue,
            Some(earlier) => {
                let (before, after) = (shown(earlier), shown(state));
                if before == after && !hides(earlier, state) {
                    continue;
                }
                changes.changed += 1;
                if before == after {
                    format!("~ {}: its secret content changes\n", state.id)
                } else {
                    lines_of(&before, &after, &state.id, "changed")
                }
            }
        };
        changes.diff.push_str(&one);
    }
    for state in before.states.iter().filter(|state| !new.contains_key(state.id.as_str())) {
        changes.removed += 1;
        changes.diff.push_str(&lines_of(&shown(state), "", &state.id, "removed"));
    }
    if changes.diff.is_empty() && order(before, &new) != order(after, &old) {
        changes.changed = after.states.len();
        changes.diff.push_str("~ the same states, in another order\n");
    }
    changes
}

fn order<'s>(of: &'s NodeConfiguration, both: &BTreeMap<&str, &State>) -> Vec<&'s str> {
    let ids = of.states.iter().map(|state| state.id.as_str());
    ids.filter(|id| both.contains_key(id)).collect()
}

fn lines_of(before: &str, after: &str, id: &str, what: &str) -> String {
    let sign = match what {
        "added" => '+',
        "removed" => '-',
        _ => '~',
    };
    let mut text = format!("{sign} {id} {what}\n");
    let diff = TextDiff::from_lines(before, after);
    let _ = write!(text, "{}", diff.unified_diff().context_radius(2));
    text
}

// Only a secret's content differs, which is not shown.
fn hides(one: &State, other: &State) -> bool {
    matches!((&one.body, &other.body),
        (StateBody::File { content: a, secret: true, .. }, StateBody::File { content: b, secret: true, .. }) if a != b)
}

// A state as text, without where it was written. A file's own text comes last, line by line.
fn shown(state: &State) -> String {
    let mut plain = state.clone();
    plain.origin = String::new();
    let mut text = None;
    if let StateBody::File { content, secret, .. } = &mut plain.body {
        let content = std::mem::take(content);
        text = (!*secret).then_some(content);
    }
    let mut value = serde_json::to_value(&plain).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.remove("origin");
        map.remove("id");
        if matches!(state.body, StateBody::File { .. }) {
            map.remove("content");
        }
    }
    let mut shown = serde_json::to_string_pretty(&value).unwrap_or_default();
    shown.push('\n');
    if let Some(text) = text {
        shown.push_str(&text);
        if !text.ends_with('\n') {
            shown.push('\n');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn configuration(states: &[serde_json::Value]) -> NodeConfiguration {
        serde_json::from_value(json!({"format": 1, "states": states})).unwrap()
    }

    fn file(name: &str, content: &str, origin: &str) -> serde_json::Value {
        json!({"id": format!("file/{name}"), "title": "x", "origin": origin, "type": "file",
            "path": format!("/etc/{name}"), "content": content, "mode": "0644"})
    }

    #[test]
    fn files_differ_line_by_line_and_their_origin_is_no_difference() {
        let before = configuration(&[
            file("a", "1\n2\n3\n", "r:1:1"),
            file("b", "x\n", "r:2:1"),
            file("c", "y", "r:3:1"),
        ]);
        let after = configuration(&[
            file("a", "1\ntwo\n3\n", "r:1:1"),
            file("b", "x\n", "r:9:1"),
            file("d", "z", "r:4:1"),
        ]);
        let changes = between(&before, &after);
        assert_eq!((changes.added, changes.removed, changes.changed), (1, 1, 1));
        for line in ["~ file/a changed", "-2\n", "+two\n", "+ file/d added", "- file/c removed"] {
            assert!(changes.diff.contains(line), "{line:?} is not in\n{}", changes.diff);
        }
        assert!(!changes.diff.contains("file/b"));
        assert_eq!(between(&before, &before), Changes::default());
    }

    #[test]
    fn a_secret_file_changes_without_being_shown_and_order_counts() {
        let secret = |content: &str| {
            let mut state = file("key", content, "r:1:1");
            state["secret"] = json!(true);
            state
        };
        let changes = between(&configuration(&[secret("old")]), &configuration(&[secret("new")]));
        assert!(
            changes.diff.contains("secret content changes") && !changes.diff.contains("new"),
            "{}",
            changes.diff
        );
        let (a, b) = (file("a", "1", "r:1:1"), file("b", "2", "r:2:1"));
        let changes = between(&configuration(&[a.clone(), b.clone()]), &configuration(&[b, a]));
        assert!(changes.diff.contains("another order"));
    }
}
