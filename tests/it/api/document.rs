//! The OpenAPI document: complete, well formed, and changed only on purpose.

use serde_json::Value;
use std::collections::BTreeSet;

fn document() -> Value {
    serde_json::to_value(greenroom::http::api::document()).unwrap()
}

#[test]
fn the_document_is_well_formed() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(
                !id.is_empty() && ids.insert(id.to_owned()),
                "{place}: the id `{id}` is missing or not unique"
            );
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{place} says not what it does");
            assert!(operation["responses"]["default"].is_object(), "{place} says not how it fails");
            let named: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let in_path: BTreeSet<&str> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            assert_eq!(named, in_path, "{place}");
        }
    }
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("references stay inside the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| collect(value, found));
        }
        Value::Array(array) => array.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

// What a client depends on, one line an address; the schemas' own tests are where they are used.
#[test]
fn the_addresses_change_only_on_purpose() {
    let document = document();
    let mut lines = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["security"][0]["token"][0].as_str().unwrap_or("anyone");
            let statuses: Vec<&str> = operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            let query: Vec<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] != "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            lines.push(format!(
                "{:6} {path} [{}] {role} -> {}",
                method.to_uppercase(),
                query.join(" "),
                statuses.join(" ")
            ));
        }
    }
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn the_schemas_change_only_on_purpose() {
    insta::assert_json_snapshot!(document()["components"]["schemas"]);
}
