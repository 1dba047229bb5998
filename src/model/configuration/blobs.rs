//! Long contents of files travel apart from the configuration that names them, by their hash: an agent that has one already is
//! not sent it again, and whoever alters one on the way is found out, for the hash stands in what the server signed.

use crate::model::secret::hex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The longest content that stands in a configuration itself, in bytes.
pub const INLINE: usize = 16 * 1024;

const CONTENT: &str = "content";
const BLOB: &str = "content_blob";

/// The hash that names a content.
pub fn hash(content: &str) -> String {
    hex("sha256:", &Sha256::digest(content))
}

/// Whether a text is the hash of a content, rather than anything else that someone could put into a path.
pub fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The document with hashes in place of long contents; nothing where it has none.
pub fn detach(document: &str) -> Option<String> {
    // Most are shorter as a whole.
    if document.len() <= INLINE {
        return None;
    }
    let mut parsed: Value = serde_json::from_str(document).ok()?;
    let mut any = false;
    for state in states(&mut parsed) {
        let long = |content: &&str| content.len() > INLINE;
        if let Some(name) = state.get(CONTENT).and_then(Value::as_str).filter(long).map(hash) {
            // In place, so that the order of the document stays.
            state.shift_remove(CONTENT);
            state.insert(BLOB.to_owned(), Value::from(name));
            any = true;
        }
    }
    any.then(|| parsed.to_string())
}

/// The content of this hash in a whole document.
pub fn find(document: &str, wanted: &str) -> Option<String> {
    let mut parsed: Value = serde_json::from_str(document).ok()?;
    states(&mut parsed).find_map(|state| {
        let content = state.get(CONTENT)?.as_str().filter(|content| content.len() > INLINE)?;
        (hash(content) == wanted).then(|| content.to_owned())
    })
}

/// The hashes that a document names in place of contents.
pub fn named(document: &str) -> BTreeSet<String> {
    if !document.contains(BLOB) {
        return BTreeSet::new();
    }
    let mut parsed: Value = serde_json::from_str(document).unwrap_or_default();
    states(&mut parsed)
        .filter_map(|state| Some(state.get(BLOB)?.as_str()?.to_owned()))
        .collect()
}

/// The whole document again.
///
/// # Errors
/// The hash of a content that `get` does not give.
pub fn attach(document: &str, get: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    if named(document).is_empty() {
        return Ok(document.to_owned());
    }
    let mut parsed: Value = serde_json::from_str(document).unwrap_or_default();
    for state in states(&mut parsed) {
        if let Some(name) = state.shift_remove(BLOB) {
            let name = name.as_str().unwrap_or_default();
            let content = get(name).ok_or_else(|| name.to_owned())?;
            state.insert(CONTENT.to_owned(), Value::from(content));
        }
    }
    Ok(parsed.to_string())
}

fn states(document: &mut Value) -> impl Iterator<Item = &mut serde_json::Map<String, Value>> {
    let states = document.get_mut("states").and_then(Value::as_array_mut);
    states.into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn long_contents_go_and_come_back_by_their_hash_and_short_ones_stay() {
        let long = "ä long line\n".repeat(INLINE / 8);
        let whole = json!({ "format": 1, "states": [
            { "id": "a", "type": "file", "path": "/a", "content": "short" },
            { "id": "b", "type": "file", "path": "/b", "content": long },
            { "id": "c", "type": "directory", "path": "/c" },
        ] });
        let text = whole.to_string();
        let apart = detach(&text).unwrap();
        assert!(apart.len() < 500, "{apart}");
        assert_eq!(named(&apart), BTreeSet::from([hash(&long)]));
        let kept = BTreeMap::from([(hash(&long), find(&text, &hash(&long)).unwrap())]);
        let back = attach(&apart, &|name| kept.get(name).cloned()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&back).unwrap(), whole);
        assert_eq!(attach(&apart, &|_| None), Err(hash(&long)));
        assert_eq!(find(&text, &hash("short")), None, "what is sent anyway is not asked for");
        assert_eq!(detach(&json!({ "states": [] }).to_string()), None);
    }

    #[test]
    fn only_a_hash_is_one() {
        assert!(is_hash(&hash("x")));
        for other in [
            "",
            "sha256:",
            "sha256:../../../etc/shadow",
            &hash("x").to_uppercase(),
            &hash("x")[7..],
        ] {
            assert!(!is_hash(other), "{other}");
        }
    }
}
