//! The one validator of nodes, datacenters, environments and roles: portal, API and CLI all ask it.
//!
//! Every error of every document is found in one pass, each with its line and column; names that documents use are looked
//! up among those given together and those that exist. What it accepts always decodes to an [`Object`].

mod names;
mod shape;

pub use names::Known;

use super::shape::{Shape, Strictness, check};
use super::tree::{Findings, Kind, Node, Source, did_you_mean, read_text};
use super::{json, schema, yaml};
use crate::model::diagnostic::Diagnostic;
use crate::model::inventory::{Object, ObjectKind};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest document that is taken, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// A file with one document: JSON, or YAML where its name ends with `.yaml` or `.yml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What findings call it.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// A document that was read, and the file it stands in.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The file's name.
    pub file: String,
    /// What it describes.
    pub object: Object,
}

/// Reads documents that belong together, and everything that is wrong with them. An object is returned for each document
/// that is sound in itself; whether all fit together, the findings say.
pub fn parse(files: &[File], known: &Known) -> (Vec<Parsed>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let mut documents: Vec<(Source, Node, Option<Object>)> = Vec::new();
    for file in files {
        let source = match read_text(&file.name, &file.content, MAX_BYTES) {
            Ok(source) => source,
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                continue;
            }
        };
        let mut findings = Findings::new(&source);
        let read = one(&source, &mut findings);
        diagnostics.extend(findings.finish());
        if let Some((tree, object)) = read {
            documents.push((source, tree, object));
        }
    }
    let mut known = known.clone();
    let mut places: BTreeMap<(ObjectKind, String), String> = BTreeMap::new();
    for (source, tree, object) in &documents {
        let Some(object) = object else { continue };
        known.add(object);
        let at = tree.at_path(&["metadata", "name"]).map_or(0, |name| name.at);
        let key = (object.kind(), object.name().to_owned());
        if let Some(earlier) = places.insert(key, source.origin(at)) {
            let mut findings = Findings::new(source);
            let message = format!("{} `{}` is described twice; first at {earlier}", object.kind(), object.name());
            findings.error_help(at, "duplicate-object", "metadata.name", message, "keep one of the two files");
            diagnostics.extend(findings.finish());
        }
    }
    let mut parsed = Vec::new();
    for (source, tree, object) in documents {
        let Some(object) = object else { continue };
        let mut findings = Findings::new(&source);
        names::check(&tree, &object, &known, &mut findings);
        diagnostics.extend(findings.finish());
        parsed.push(Parsed {
            file: source.file.clone(),
            object,
        });
    }
    (parsed, diagnostics)
}

fn one(source: &Source, findings: &mut Findings<'_>) -> Option<(Node, Option<Object>)> {
    let is_yaml = Path::new(&source.file)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    let tree = if is_yaml {
        yaml::parse(source, findings)?
    } else {
        json::parse(source, findings)?
    };
    let kind = kind_of(&tree, findings)?;
    let strictness = if is_yaml { Strictness::Yaml } else { Strictness::Json };
    check(&tree, &Shape::Record(shape::of(kind)), strictness, "", findings);
    let mut clear = Vec::new();
    secrets_in_clear(&tree, "", false, &mut clear);
    for (at, path) in clear {
        let message = format!("`{path}` looks like a secret, and this file is no place for one");
        let help = "name it instead: {\"$secret\": \"shop/database\"}";
        findings.error_help(at, "secret-in-clear", &path, message, help);
    }
    if findings.has_errors() {
        return Some((tree, None));
    }
    match Object::from_json(kind, &tree.to_json().to_string()) {
        Ok(object) => Some((tree, Some(object))),
        Err(error) => {
            findings.error(0, "syntax", "", format!("this cannot be read: {error}"));
            Some((tree, None))
        }
    }
}

fn kind_of(tree: &Node, findings: &mut Findings<'_>) -> Option<ObjectKind> {
    let titles = ObjectKind::ALL.map(ObjectKind::title);
    let Some(node) = tree.get("kind") else {
        let help = super::shape::choices(&titles);
        let message = if matches!(tree.kind, Kind::Map(_)) {
            "`kind` is missing".to_owned()
        } else {
            format!("a map was expected here, not {}", tree.describe())
        };
        findings.error_help(tree.at, "missing-field", "kind", message, help);
        return None;
    };
    let word = node.text().unwrap_or_default();
    let kind = ObjectKind::ALL.into_iter().find(|kind| kind.title() == word);
    if kind.is_none() {
        let help = did_you_mean(word, titles).unwrap_or_else(|| super::shape::choices(&titles));
        let message = format!("there is no kind of object {}", super::tree::shown(word));
        findings.error_help(node.at, "unknown-value", "kind", message, help);
    }
    kind
}

// Values whose name says that they are secret and that are written out.
fn secrets_in_clear(node: &Node, path: &str, below_values: bool, found: &mut Vec<(usize, String)>) {
    for (key, value) in node.entries() {
        let path = super::shape::join(path, &key.name);
        let below = below_values || key.name == "values" || key.name == "with";
        let name = key.name.to_lowercase();
        let secret = [
            "password",
            "passwd",
            "passphrase",
            "secret",
            "token",
            "private_key",
            "api_key",
        ]
        .iter()
        .any(|word| name == *word || name.ends_with(&format!("_{word}")));
        if below && secret && value.scalar().is_some_and(|text| !text.is_empty()) && key.name != "$secret" {
            found.push((value.at, path.clone()));
        }
        secrets_in_clear(value, &path, below, found);
    }
    for item in node.items() {
        secrets_in_clear(item, path, below_values, found);
    }
}

/// The JSON Schema of a kind, for editors.
pub fn json_schema(kind: ObjectKind) -> serde_json::Value {
    schema::document(
        &format!("https://greenroom.dev/schemas/{kind}-v1.json"),
        &format!("Greenroom {kind}"),
        &Shape::Record(shape::of(kind)),
    )
}
