//! YAML text to a tree with positions, within budgets for depth, nodes and aliases.
//!
//! Serde's `flatten`, `tag` and `untagged` would lose every position, so the tree is built by one visitor and decoded by
//! our own tables. Only `true` and `false` are booleans; numbers keep their digits as written.

use super::tree::{Findings, Key, Kind, Node, Source};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};
use std::fmt;

// Recipes need about ten levels; each costs a visitor some 30 KB of stack in an unoptimised build.
const MAX_DEPTH: usize = 24;
const UNQUOTED: &str = "a key must be text";

/// The tree of a YAML document, or nothing and a finding that says why.
pub fn parse(source: &Source, findings: &mut Findings<'_>) -> Option<Node> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH + 1,
            max_documents: 2,
            max_nodes: 200_000,
            max_events: 500_000,
            max_aliases: 200,
            max_anchors: 200,
            max_total_scalar_bytes: 2 * 1024 * 1024,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Raw>(&source.text, options) {
        Ok(raw) => Some(convert(raw, &source.text)),
        Err(error) => {
            let location = error.location();
            let at = location.map_or(0, |l| offset(&l, &source.text));
            let text = error.to_string();
            let text = text.lines().next().unwrap_or_default();
            let text = text.rsplit_once(" at line").map_or(text, |(why, _)| why);
            let (code, message) = if text.contains("budget") || text.contains("limit") || text.contains("alias") {
                (
                    "too-complex",
                    format!("the document is too large, too deep or repeats itself too often: {text}"),
                )
            } else if text.contains(UNQUOTED) {
                (
                    "unquoted-template",
                    "a value that starts with `{{` must be in quotes, for YAML reads it as a map".to_owned(),
                )
            } else {
                ("syntax", format!("this is not YAML that can be read: {text}"))
            };
            findings.error(at, code, "", message);
            None
        }
    }
}

type Raw = Spanned<RawKind>;

#[derive(Debug)]
enum RawKind {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Null)
    }

    fn visit_none<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawKind, D::Error> {
        RawKind::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawKind, E> {
        Ok(RawKind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawKind, E> {
        Ok(RawKind::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawKind, E> {
        Ok(RawKind::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawKind, E> {
        Ok(RawKind::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawKind, E> {
        Ok(RawKind::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawKind, E> {
        Ok(RawKind::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawKind, E> {
        Ok(RawKind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<RawKind, E> {
        Ok(RawKind::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawKind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Raw>()? {
            items.push(item);
        }
        Ok(RawKind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawKind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Raw>()? {
            let (RawKind::Text(name) | RawKind::Number(name)) = key.value else {
                return Err(A::Error::custom(UNQUOTED));
            };
            entries.push((Spanned::new(name, key.referenced, key.defined), map.next_value::<Raw>()?));
        }
        Ok(RawKind::Map(entries))
    }
}

fn offset(location: &Location, text: &str) -> usize {
    if let Some(at) = location.span().byte_offset() {
        return usize::try_from(at).unwrap_or(text.len());
    }
    let line = usize::try_from(location.line()).unwrap_or(1).max(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let column = usize::try_from(location.column()).unwrap_or(1).max(1);
    start
        + text[start.min(text.len())..]
            .chars()
            .take(column - 1)
            .map(char::len_utf8)
            .sum::<usize>()
}

// The raw source of a scalar: `0644` and `3.10` must not become 644 and 3.1.
fn as_written<'a>(location: &Location, text: &'a str) -> Option<&'a str> {
    let start = usize::try_from(location.span().byte_offset()?).ok()?;
    let length = usize::try_from(location.span().byte_len()?).ok()?;
    let raw = text.get(start..start.checked_add(length)?)?.trim();
    (!raw.is_empty() && !raw.contains(char::is_whitespace)).then_some(raw)
}

fn convert(raw: Raw, text: &str) -> Node {
    let at = offset(&raw.referenced, text);
    let kind = match raw.value {
        RawKind::Null => Kind::Null,
        RawKind::Bool(value) => Kind::Bool(value),
        RawKind::Number(value) => Kind::Number(as_written(&raw.defined, text).map_or(value, str::to_owned)),
        RawKind::Text(value) => Kind::Text(value),
        RawKind::List(items) => Kind::List(items.into_iter().map(|item| convert(item, text)).collect()),
        RawKind::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(name, value)| {
                    let key = Key {
                        at: offset(&name.referenced, text),
                        name: name.value,
                    };
                    let mut node = convert(value, text);
                    node.key_at = key.at;
                    (key, node)
                })
                .collect(),
        ),
    };
    Node::new(at, kind)
}
