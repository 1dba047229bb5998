//! Why a value is what it is: which layers say something about a key, in which object and line, and which of them won.

use super::{Layer, LayerKind, appended, merge_into};
use crate::recipes::tree::{Findings, Node, Source};
use crate::recipes::{json, yaml};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a layer did to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Gave it a value where there was none.
    Set,
    /// Gave it another value than the layers below.
    Overrode,
    /// Added to a list of the layers below.
    Appended,
    /// Added to a map of the layers below, or changed some of it.
    Merged,
    /// Said the same as the layers below.
    Same,
    /// Took it away by giving what is above it another type.
    Removed,
}

/// What one layer says about a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Contribution {
    /// Which layer.
    pub layer: LayerKind,
    /// The object or file: `environment production`, `recipes/nginx.yaml`.
    pub object: String,
    /// Where in it: `spec.values.nginx.workers`.
    pub path: String,
    /// Line in the object's document or file, from 1; absent where the document is not at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What it did.
    pub effect: Effect,
    /// The value after this layer; null where there is none.
    pub value: Value,
}

/// Why a value is what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// The key: `nginx.workers`.
    pub key: String,
    /// The value that counts; null where no layer gives one.
    pub value: Value,
    /// Whether any layer gives one.
    pub found: bool,
    /// What each layer says about it, low to high: the last one that changed something won.
    pub layers: Vec<Contribution>,
}

impl Explanation {
    /// The layer whose word counts.
    pub fn winner(&self) -> Option<&Contribution> {
        self.layers.iter().rev().find(|layer| layer.effect != Effect::Same)
    }
}

/// Explains a key, such as `nginx.workers`, over layers in order. `document` gives the text of a layer's object.
pub fn explain(layers: &[&Layer], key: &str, document: &dyn Fn(&Layer) -> Option<Source>) -> Explanation {
    let parts: Vec<&str> = key.split('.').collect();
    let mut merged = Map::new();
    let mut contributions = Vec::new();
    for layer in layers {
        let before = find(&merged, &parts).cloned();
        merge_into(&mut merged, &layer.values);
        let after = find(&merged, &parts);
        let spelt = spelling(&layer.values, &parts);
        if spelt.is_none() && before.as_ref() == after {
            continue;
        }
        let path = layer.written_path(spelt.as_deref().unwrap_or(key));
        let line = document(layer)
            .and_then(|source| place_in(&source, &path))
            .map(|(line, _)| line);
        contributions.push(Contribution {
            layer: layer.kind,
            object: layer.object.clone(),
            line,
            effect: effect(before.as_ref(), after, spelt.as_deref()),
            value: after.cloned().unwrap_or(Value::Null),
            path,
        });
    }
    let value = find(&merged, &parts);
    Explanation {
        key: key.to_owned(),
        found: value.is_some(),
        value: value.cloned().unwrap_or(Value::Null),
        layers: contributions,
    }
}

fn effect(before: Option<&Value>, after: Option<&Value>, spelt: Option<&str>) -> Effect {
    let appends = spelt.is_some_and(|path| path.split('.').any(|part| appended(part).is_some()));
    match (before, after) {
        (Some(_), None) => Effect::Removed,
        (None, _) => Effect::Set,
        (Some(before), Some(after)) if before == after => Effect::Same,
        (Some(Value::Array(_)), Some(Value::Array(_))) if appends => Effect::Appended,
        (Some(Value::Object(_)), Some(Value::Object(_))) => Effect::Merged,
        _ => Effect::Overrode,
    }
}

/// The value under a path of keys.
pub fn find<'a>(values: &'a Map<String, Value>, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(values.get(*first)?, |value, key| value.get(*key))
}

// The path as this layer writes it, with its `+`; as far as it goes where it gives something above the key another type.
fn spelling(values: &Map<String, Value>, path: &[&str]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let plus = format!("+{first}");
    let (spelt, value) = match (values.get(*first), values.get(&plus)) {
        (_, Some(value)) => (plus.as_str(), value),
        (Some(value), None) => (*first, value),
        (None, None) => return None,
    };
    if rest.is_empty() {
        return Some(spelt.to_owned());
    }
    match value {
        Value::Object(inner) => spelling(inner, rest).map(|rest| format!("{spelt}.{rest}")),
        _ => Some(spelt.to_owned()),
    }
}

/// Line and column of a path of keys in a JSON or YAML document; of the deepest part of it that is there. Numbers count
/// items of lists.
pub fn place_in(source: &Source, path: &str) -> Option<(u32, u32)> {
    let mut findings = Findings::new(source);
    let is_yaml = std::path::Path::new(&source.file).extension().is_some_and(|e| e == "yaml");
    let tree = if is_yaml {
        yaml::parse(source, &mut findings)
    } else {
        json::parse(source, &mut findings)
    }?;
    let at = deepest(&tree, path)?.key_at;
    Some(source.position(at))
}

// Keys may hold dots themselves, so each step takes the longest key that fits.
fn deepest<'n>(node: &'n Node, path: &str) -> Option<&'n Node> {
    let item = path.split('.').next().and_then(|part| part.parse::<usize>().ok());
    if let Some(item) = item.and_then(|index| node.items().get(index)) {
        let rest = path.split_once('.').map_or("", |(_, rest)| rest);
        return deepest(item, rest).or(Some(item));
    }
    let (key, value) = node
        .entries()
        .iter()
        .filter(|(key, _)| path == key.name || path.strip_prefix(&key.name).is_some_and(|rest| rest.starts_with('.')))
        .max_by_key(|(key, _)| key.name.len())?;
    let rest = path[key.name.len()..].trim_start_matches('.');
    deepest(value, rest).or(Some(value))
}

#[cfg(test)]
mod tests {
    use super::super::in_order;
    use super::*;
    use serde_json::json;

    fn layers() -> Vec<Layer> {
        let layer = |kind, object: &str, values: Value| Layer {
            kind,
            object: object.to_owned(),
            path: "spec.values".to_owned(),
            app: None,
            recipe: None,
            values: values.as_object().unwrap().clone(),
        };
        vec![
            layer(
                LayerKind::Organisation,
                "org",
                json!({"nginx": {"workers": 2, "modules": ["gzip"]}}),
            ),
            layer(
                LayerKind::Environment,
                "environment production",
                json!({"nginx": {"workers": 8}}),
            ),
            layer(
                LayerKind::Node,
                "node w1",
                json!({"nginx": {"+modules": ["geo"], "workers": 8}}),
            ),
        ]
    }

    #[test]
    fn the_winner_the_line_and_what_it_overrode_are_named() {
        let layers = layers();
        let document = |layer: &Layer| {
            let text = serde_json::to_string_pretty(&json!({"kind": "x", "spec": {"values": layer.values}})).unwrap();
            Some(Source::new(layer.object.clone(), text))
        };
        let found = explain(&in_order(&layers, None), "nginx.workers", &document);
        assert_eq!(found.value, json!(8));
        let winner = found.winner().unwrap();
        assert_eq!((winner.object.as_str(), winner.line), ("environment production", Some(6)));
        let effects: Vec<Effect> = found.layers.iter().map(|layer| layer.effect).collect();
        assert_eq!(effects, [Effect::Set, Effect::Overrode, Effect::Same]);

        let found = explain(&in_order(&layers, None), "nginx.modules", &document);
        assert_eq!(found.value, json!(["gzip", "geo"]));
        assert_eq!(found.winner().unwrap().path, "spec.values.nginx.+modules");
        assert_eq!(found.winner().unwrap().effect, Effect::Appended);

        let missing = explain(&in_order(&layers, None), "nginx.nothing", &document);
        assert!(!missing.found && missing.layers.is_empty());
    }
}
