//! JSON text to a tree with positions. Strict: no comments, no trailing commas, nothing that JSON does not have.
//!
//! Nesting is counted before any recursive parser sees the text, so depth costs nothing.

use super::tree::{Findings, Key, Kind, MAX_DEPTH, Node, Source};
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
};

/// The tree of a JSON document, or nothing and a finding that says why.
pub fn parse(source: &Source, findings: &mut Findings<'_>) -> Option<Node> {
    if let Some(at) = too_deep(&source.text) {
        let message = format!("the document is nested more than {MAX_DEPTH} levels deep");
        findings.error(at, "too-deep", "", message);
        return None;
    }
    match parse_to_ast(&source.text, &CollectOptions::default(), &STRICT) {
        Ok(parsed) => {
            if let Some(value) = parsed.value {
                strictly(source, findings).then(|| convert(value))
            } else {
                findings.error(0, "syntax", "", "the file is empty; a JSON object was expected");
                None
            }
        }
        Err(error) => {
            findings.error(
                error.range().start,
                "syntax",
                "",
                format!("this is not JSON: {}", lower(error.kind())),
            );
            None
        }
    }
}

// What the tree's parser lets pass, such as a line break within a text, JSON's own does not.
fn strictly(source: &Source, findings: &mut Findings<'_>) -> bool {
    let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&source.text) else {
        return true;
    };
    let text = error.to_string();
    let why = text.rsplit_once(" at line").map_or(text.as_str(), |(why, _)| why);
    let at = source.offset(error.line(), error.column());
    findings.error(at, "syntax", "", format!("this is not JSON: {why}"));
    false
}

fn lower(kind: &jsonc_parser::errors::ParseErrorKind) -> String {
    let text = kind.to_string();
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn convert(value: Value<'_>) -> Node {
    let at = value.range().start;
    let kind = match value {
        Value::StringLit(text) => Kind::Text(text.value.into_owned()),
        Value::NumberLit(number) => Kind::Number(number.value.to_owned()),
        Value::BooleanLit(value) => Kind::Bool(value.value),
        Value::NullKeyword(_) => Kind::Null,
        Value::Array(array) => Kind::List(array.elements.into_iter().map(convert).collect()),
        Value::Object(object) => Kind::Map(
            object
                .properties
                .into_iter()
                .map(|property| {
                    let key = Key {
                        at: property.name.range().start,
                        name: property.name.into_string(),
                    };
                    let mut node = convert(property.value);
                    node.key_at = key.at;
                    (key, node)
                })
                .collect(),
        ),
    };
    Node::new(at, kind)
}
