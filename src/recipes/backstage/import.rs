//! Backstage's catalogue to descriptors.
//!
//! A Component becomes an app where it says where its code is. Backstage knows no ops owner and no recipes: annotations say
//! them, or [`Defaults`] do. What is made is only a proposal: it goes through the one validator like any descriptor.

use super::{DEFAULT_REF, OPS_OWNER, RECIPES, SOURCE};
use crate::model::diagnostic::Diagnostic;
use crate::recipes::descriptor;
use serde_json::{Map, Value, json};

/// What Backstage does not say.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// The ops owner of apps that name none.
    pub ops_owner: Option<String>,
    /// The recipe of apps that name none.
    pub recipe: Option<String>,
}

/// What came of one entity.
#[derive(Debug, Clone, PartialEq)]
pub enum Imported {
    /// An app's descriptor, with what the validator finds in it.
    App {
        /// The app's name.
        name: String,
        /// The descriptor, as a file would hold it.
        text: String,
        /// What is wrong with it, or worth a look.
        findings: Vec<Diagnostic>,
    },
    /// Nothing that an inventory of apps holds, and why.
    Skipped {
        /// `Kind name`.
        entity: String,
        /// Why.
        why: String,
    },
}

/// Descriptors out of the YAML documents of a catalogue.
///
/// # Errors
/// Where the text is no YAML, with the place.
pub fn import(text: &str, defaults: &Defaults) -> Result<Vec<Imported>, String> {
    let entities: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|error| {
        let message = error.to_string();
        message.lines().next().unwrap_or_default().to_owned()
    })?;
    Ok(entities
        .iter()
        .filter(|entity| !entity.is_null())
        .map(|entity| one(entity, defaults))
        .collect())
}

fn one(entity: &Value, defaults: &Defaults) -> Imported {
    let kind = entity["kind"].as_str().unwrap_or("something");
    let name = entity["metadata"]["name"].as_str().unwrap_or_default();
    let skip = |why: &str| Imported::Skipped {
        entity: format!("{kind} {name}"),
        why: why.to_owned(),
    };
    if kind != "Component" {
        return skip("only Components are apps");
    }
    let meta = &entity["metadata"];
    let spec = &entity["spec"];
    let note = |key: &str| meta["annotations"][key].as_str();
    let Some(repository) = repository(&note) else {
        return skip("it does not say where its code is: it needs the annotation backstage.io/source-location");
    };
    let recipes = note(RECIPES).or(defaults.recipe.as_deref()).unwrap_or_default();
    let recipes: Vec<Value> = recipes
        .split(',')
        .filter(|r| !r.is_empty())
        .map(|r| json!({ "name": r }))
        .collect();
    let mut metadata = Map::from_iter([("name".to_owned(), json!(app_name(name)))]);
    for key in ["title", "description"] {
        if let Some(text) = meta[key].as_str() {
            metadata.insert(key.to_owned(), json!(text));
        }
    }
    for (key, is_full) in [("labels", meta["labels"].as_object().is_some_and(|map| !map.is_empty()))] {
        if is_full {
            metadata.insert(key.to_owned(), meta[key].clone());
        }
    }
    if meta["tags"].as_array().is_some_and(|tags| !tags.is_empty()) {
        metadata.insert("tags".to_owned(), meta["tags"].clone());
    }
    let ops = note(OPS_OWNER).or(defaults.ops_owner.as_deref()).unwrap_or_default();
    let mut body = json!({
        "type": spec["type"].as_str().unwrap_or("service"),
        "lifecycle": spec["lifecycle"].as_str().unwrap_or("production"),
        "owners": { "dev": bare(spec["owner"].as_str().unwrap_or_default()), "ops": ops },
        "repository": repository,
        "recipes": recipes,
    });
    if let Some(body) = body.as_object_mut() {
        body.extend(
            spec["system"]
                .as_str()
                .map(|system| ("system".to_owned(), json!(bare(system)))),
        );
        body.extend(note(DEFAULT_REF).map(|revision| ("defaultRef".to_owned(), json!(revision))));
        let needs: Vec<Value> = dependencies(spec).map(|app| json!({ "app": app })).collect();
        if !needs.is_empty() {
            body.insert("dependsOn".to_owned(), json!(needs));
        }
    }
    let document = json!({ "apiVersion": descriptor::API_VERSION, "kind": "App", "metadata": metadata, "spec": body });
    let text = format!("{document:#}\n");
    let name = app_name(name);
    let (_, findings) = descriptor::parse(&format!("{name}.json"), text.as_bytes());
    Imported::App { name, text, findings }
}

// `component:default/auth` and a bare `auth` are apps; resources are databases, which a descriptor says itself.
fn dependencies(spec: &Value) -> impl Iterator<Item = String> {
    let listed = spec["dependsOn"].as_array().into_iter().flatten();
    listed.filter_map(Value::as_str).filter_map(|reference| {
        let lower = reference.to_ascii_lowercase();
        match lower.split_once(':') {
            Some(("component", name)) => Some(app_name(bare(name))),
            Some(_) => None,
            None => Some(app_name(bare(&lower))),
        }
    })
}

// The name out of `kind:namespace/name`.
fn bare(reference: &str) -> &str {
    let reference = reference.rsplit_once(':').map_or(reference, |(_, rest)| rest);
    reference.rsplit_once('/').map_or(reference, |(_, name)| name)
}

fn repository<'a>(note: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    if let Some(location) = note(SOURCE) {
        let url = location.strip_prefix("url:").unwrap_or(location);
        // `https://host/team/app/tree/main/folder`: the repository is what comes before.
        let url = url
            .split_once("/tree/")
            .or_else(|| url.split_once("/-/"))
            .map_or(url, |(before, _)| before);
        return Some(url.trim_end_matches('/').to_owned());
    }
    note("github.com/project-slug").map(|slug| format!("https://github.com/{slug}"))
}

fn app_name(text: &str) -> String {
    let name: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    name.trim_matches('-').to_owned()
}
