//! Descriptors and recipes: what is accepted, what is refused and how it is said, and what compiles to what.

mod command_line;
mod configurations;
mod descriptors;
mod fuzz;
mod hostile;
mod laws;
mod library;
mod machine;
mod places;

use greenroom::model::descriptor::Descriptor;
use greenroom::model::diagnostic::Diagnostic;
use greenroom::recipes::Bundle;
use greenroom::recipes::descriptor::parse;
use serde_json::{Value, json};

/// A small valid descriptor; `change` is merged into its `spec`, where null takes a field away.
fn document(name: &str, change: Value) -> Value {
    let mut document = json!({
        "apiVersion": "greenroom/v1",
        "kind": "App",
        "metadata": {"name": name},
        "spec": {
            "type": "service",
            "owners": {"dev": "team-shop", "ops": "platform"},
            "repository": "/srv/git/shop.git",
            "recipes": [{"name": "python-app"}],
            "processes": {"web": {"command": ["python3", "app.py"]}},
            "ports": {"web": {"public": true}},
        }
    });
    if let (Value::Object(spec), Value::Object(change)) = (&mut document["spec"], change) {
        for (key, value) in change {
            if value.is_null() {
                spec.remove(&key);
            } else {
                spec.insert(key, value);
            }
        }
    }
    document
}

/// The descriptor of a document that must be valid.
fn valid(document: &Value) -> Descriptor {
    let (descriptor, found) = parse("app.json", serde_json::to_string_pretty(document).unwrap().as_bytes());
    descriptor.unwrap_or_else(|| panic!("{}", shown(&found)))
}

/// The shipped recipes with these files.
fn bundle(files: &[(&str, &str)]) -> Bundle {
    let mut bundle = Bundle::shipped();
    for (file, text) in files {
        bundle.add(file, text.as_bytes());
    }
    bundle
}

fn shown(found: &[Diagnostic]) -> String {
    found.iter().map(|d| format!("{d}\n")).collect::<Vec<_>>().join("\n")
}

fn codes(found: &[Diagnostic]) -> Vec<&str> {
    found.iter().map(|d| d.code.as_str()).collect()
}
