//! What the histories of apps and of the other objects have in common: rows of versions, differences, and whether someone
//! who wants to change a thing has seen its present version.

use super::{Control, ControlError, Result};
use crate::model::time::Timestamp;
use crate::wire::inventory::{DiffView, ObjectVersionView};
use serde_json::Value;
use similar::TextDiff;
use std::collections::BTreeSet;

// More paths than this are said in lines of a difference.
const MOST_PATHS: usize = 12;

/// A version of a thing.
pub(super) struct Version {
    /// From 1.
    pub number: i64,
    /// The audit's revision that made it.
    pub revision: i64,
    /// The thing's text; nothing where this version is its removal.
    pub text: Option<String>,
    /// Who saved it.
    pub actor: String,
    /// How.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

impl Control {
    /// The revision that a time or a number means: the last write until then.
    ///
    /// # Errors
    /// `invalid-request` for what is neither.
    pub async fn revision_at(&self, at: Option<&str>) -> Result<Option<i64>> {
        let Some(text) = at else { return Ok(None) };
        if let Ok(revision) = text.parse::<i64>() {
            return Ok(Some(revision));
        }
        // A `+` in an address reads as a blank.
        let time = serde_json::from_value::<Timestamp>(Value::from(text.replace(' ', "+")));
        let time = time.map_err(|_| {
            let why = "give a revision of the inventory, or a time such as `2026-11-23T02:00:00Z`";
            ControlError::field("at", why)
        })?;
        Ok(Some(self.store.revision_until(time).await?))
    }
}

/// Versions, newest first, as they are shown: each with what it changed.
pub(super) fn views(versions: &[Version]) -> Vec<ObjectVersionView> {
    let with_earlier = versions.iter().zip(versions.iter().skip(1).map(Some).chain([None]));
    with_earlier
        .map(|(version, earlier)| ObjectVersionView {
            version: version.number,
            revision: version.revision,
            actor: version.actor.clone(),
            at: version.at,
            note: version.note.clone(),
            removed: version.text.is_none(),
            changed: changed_paths(earlier.and_then(|earlier| earlier.text.as_deref()), version.text.as_deref()),
            diff: difference(earlier, version),
        })
        .collect()
}

/// The difference between two of all versions, newest first: from the one before the newest to the newest where nothing is
/// said. `what` they are versions of.
pub(super) fn diff_of(versions: &[Version], from: Option<i64>, to: Option<i64>, what: &str) -> Result<DiffView> {
    let find = |wanted: i64| {
        let found = versions.iter().find(|version| version.number == wanted);
        found.ok_or_else(|| ControlError::not_found("version", &format!("{wanted} of {what}")))
    };
    let newest = versions.first().map_or(0, |version| version.number);
    let to = to.unwrap_or(newest);
    let from = from.unwrap_or((to - 1).max(1));
    let (before, after) = (find(from)?, find(to)?);
    Ok(DiffView {
        from,
        to,
        diff: difference(Some(before), after),
    })
}

/// Why a change is refused that was made from this version.
pub(super) fn stale(present: Option<(i64, bool)>, if_match: Option<i64>) -> Option<String> {
    match (present, if_match) {
        (Some((_, false)), None) => Some("it exists already; say which version you edited".to_owned()),
        (Some((current, false)), Some(edited)) if current != edited => {
            Some(format!("you edited version {edited}; now it is {current}"))
        }
        (None | Some((_, true)), Some(edited)) => Some(format!("you edited version {edited}; it was removed, or never saved")),
        _ => None,
    }
}

/// The refusal of a change to a thing that someone else changed first: `newest` is what is saved now, `mine` what was sent.
pub(super) fn changed_meanwhile(name: &str, newest: Option<&Version>, mine: &str, why: &str) -> ControlError {
    let mut error = ControlError::new("changed-meanwhile", format!("{name} was not saved"));
    error.fault.why = match newest {
        Some(v) => format!("{why} (version {} by {} at {})", v.number, v.actor, v.at),
        None => why.to_owned(),
    };
    let theirs = newest.and_then(|version| version.text.as_deref()).unwrap_or_default();
    let diff = TextDiff::from_lines(theirs, mine)
        .unified_diff()
        .header("what is saved now", "what you sent")
        .to_string();
    error.changed = Some((newest.map_or(0, |version| version.number), diff));
    error
}

fn difference(before: Option<&Version>, after: &Version) -> String {
    let text = |version: &Version| version.text.clone().unwrap_or_default();
    let (mut old, mut new) = (before.map(text).unwrap_or_default(), text(after));
    // A document that a program wrote in one line would differ in one line.
    if [&old, &new].into_iter().any(|text| text.trim_end().lines().count() == 1) {
        (old, new) = (in_lines(old), in_lines(new));
    }
    let from = before.map_or(0, |version| version.number);
    TextDiff::from_lines(&old, &new)
        .unified_diff()
        .header(&format!("version {from}"), &format!("version {}", after.number))
        .to_string()
}

fn in_lines(text: String) -> String {
    serde_json::from_str::<Value>(&text).map_or(text, |value| format!("{value:#}\n"))
}

// The paths of the values that differ, in the documents' order.
fn changed_paths(before: Option<&str>, after: Option<&str>) -> Vec<String> {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let (Some(before), Some(after)) = (before.and_then(read), after.and_then(read)) else {
        return Vec::new();
    };
    let mut paths = Vec::new();
    compare(String::new(), Some(&before), Some(&after), &mut paths);
    let more = paths.len().saturating_sub(MOST_PATHS);
    if more > 0 {
        paths.truncate(MOST_PATHS);
        paths.push(format!("and {more} more"));
    }
    paths
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, paths: &mut Vec<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                let below = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                compare(below, before.get(key), after.get(key), paths);
            }
        }
        _ => paths.push(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_path() {
        let before = r#"{"a": {"b": 1, "c": [1, 2]}, "d": true, "same": {"x": 1}}"#;
        let after = r#"{"a": {"b": 2, "c": [1]}, "e": {"f": 1}, "same": {"x": 1}}"#;
        assert_eq!(changed_paths(Some(before), Some(after)), ["a.b", "a.c", "d", "e"]);
        assert!(changed_paths(None, Some(after)).is_empty(), "a first version changes nothing");
        assert!(changed_paths(Some("not JSON"), Some(after)).is_empty());
    }

    #[test]
    fn many_changes_are_counted() {
        let many: Vec<String> = (0..20).map(|n| format!("\"k{n:02}\": {n}")).collect();
        let paths = changed_paths(Some("{}"), Some(&format!("{{{}}}", many.join(","))));
        assert_eq!(paths.len(), MOST_PATHS + 1);
        assert_eq!(paths.last().map(String::as_str), Some("and 8 more"));
    }
}
