//! From a document to its terms: one for each value, under the path of keys that leads to it.
//!
//! Items of a list repeat the list's key, null is the empty text, and what changes by itself from minute to minute is left
//! out, because an index that is rewritten at each report is of no use to anyone.

use serde_json::Value;
use std::collections::BTreeSet;

const MAX_TERMS: usize = 4_000;
const MAX_PATH: usize = 300;
const MAX_VALUE: usize = 256;

// Facts that change without anything having changed, by the path below `facts`; Ohai's, Facter's and ours.
const VOLATILE: &[&str] = &[
    "uptime",
    "uptime_seconds",
    "idletime",
    "idletime_seconds",
    "ohai_time",
    "system_uptime",
    "load_averages",
    "loadaverage",
    "memory.free",
    "memory.active",
    "memory.inactive",
    "memory.available",
    "memory.buffers",
    "memory.cached",
    "memory.dirty",
    "memory.writeback",
    "memory.swap.free",
    "memory.swap.cached",
    "memory.system.available",
    "memory.system.available_bytes",
    "memory.system.used",
    "memory.system.used_bytes",
    "memory.system.capacity",
    "memory.swap.available",
    "memory.swap.available_bytes",
    "memory.swap.used",
    "memory.swap.used_bytes",
    "memory.swap.capacity",
    "memoryfree",
    "memoryfree_mb",
    "swapfree",
    "swapfree_mb",
    "counters",
    "filesystem",
    "filesystem2",
    "block_device",
    "mountpoints",
    "process",
    "etc.passwd",
    "etc.group",
    "sessions",
];

/// One value of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// The keys that lead to it, joined by dots: `facts.kernel.release`.
    pub path: String,
    /// The value as text.
    pub value: String,
}

/// The terms of a document, each once.
pub fn terms(document: &Value) -> BTreeSet<Term> {
    let mut found = BTreeSet::new();
    collect("", document, &mut found);
    found
}

fn collect(path: &str, value: &Value, found: &mut BTreeSet<Term>) {
    if found.len() >= MAX_TERMS || path.len() > MAX_PATH || is_volatile(path) {
        return;
    }
    let text = match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = clean(key);
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                collect(&path, value, found);
            }
            return;
        }
        Value::Array(items) => {
            for item in items {
                collect(path, item, found);
            }
            return;
        }
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => clean(text),
    };
    if !path.is_empty() {
        found.insert(Term {
            path: path.to_owned(),
            value: text,
        });
    }
}

fn is_volatile(path: &str) -> bool {
    path.strip_prefix("facts.").is_some_and(|fact| VOLATILE.contains(&fact))
}

// No database keeps NUL, and the highest character marks the end of a range.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\0' && *c != '\u{10ffff}')
        .take(MAX_VALUE)
        .collect()
}

/// The two short spellings of a path that Chef's users know: joined by `_` without `facts` or `values` before it, and its
/// last key alone.
pub fn spellings(path: &str) -> (String, String) {
    let bare = ["facts.", "values."]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        .unwrap_or(path);
    let leaf = path.rsplit('.').next().unwrap_or(path);
    (bare.replace('.', "_"), leaf.to_owned())
}

/// The number that a text is, where it is one as people write them: digits, a sign, a point.
pub fn number_of(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b));
    let number: f64 = text.parse().ok().filter(|_| plain)?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pairs(document: &Value) -> Vec<(String, String)> {
        terms(document).into_iter().map(|t| (t.path, t.value)).collect()
    }

    #[test]
    fn every_value_is_a_term_under_its_path() {
        let document =
            json!({"name": "web1", "roles": ["web", "base"], "facts": {"kernel": {"release": 6, "x": null}}, "on": true});
        let expected = [
            ("facts.kernel.release", "6"),
            ("facts.kernel.x", ""),
            ("name", "web1"),
            ("on", "true"),
            ("roles", "base"),
            ("roles", "web"),
        ];
        assert_eq!(pairs(&document), expected.map(|(p, v)| (p.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_changes_by_itself_is_left_out() {
        let document = json!({"facts": {"uptime": "3 days", "memory": {"free": "1kB", "total": "2kB"}}, "uptime": "mine"});
        let expected = [("facts.memory.total", "2kB"), ("uptime", "mine")];
        assert_eq!(pairs(&document), expected.map(|(p, v)| (p.to_owned(), v.to_owned())));
    }

    #[test]
    fn paths_have_the_two_short_spellings_of_chef() {
        assert_eq!(
            spellings("facts.kernel.release"),
            ("kernel_release".to_owned(), "release".to_owned())
        );
        assert_eq!(spellings("name"), ("name".to_owned(), "name".to_owned()));
    }

    #[test]
    fn only_plain_numbers_are_numbers() {
        assert_eq!(number_of("-1.5"), Some(-1.5));
        assert_eq!(number_of("042"), Some(42.0));
        for text in ["", "inf", "NaN", "1e5", "1.2.3", "12 kB", "-"] {
            assert_eq!(number_of(text), None, "{text}");
        }
    }
}
