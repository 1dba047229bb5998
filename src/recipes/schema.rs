//! JSON Schema out of shapes.

use super::shape::{Record, Rule, Shape};
use serde_json::{Map, Value, json};

/// A schema document for a shape.
pub fn document(id: &str, title: &str, shape: &Shape) -> Value {
    let mut map = Map::new();
    map.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    map.insert("$id".to_owned(), json!(id));
    map.insert("title".to_owned(), json!(title));
    if let Value::Object(body) = of(shape) {
        map.extend(body);
    }
    Value::Object(map)
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text(rule) => text(rule),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::List { of: item, min, max } => {
            json!({ "type": "array", "items": of(item), "minItems": min, "maxItems": max })
        }
        Shape::Map { keys, of: value } => {
            json!({ "type": "object", "propertyNames": text(keys), "additionalProperties": of(value) })
        }
        Shape::Record(record) => object(record),
        Shape::OneKey(choices) => {
            let properties: Map<String, Value> = choices.iter().map(|(name, s)| ((*name).to_owned(), of(s))).collect();
            json!({
                "type": "object", "properties": properties, "additionalProperties": false,
                "minProperties": 1, "maxProperties": 1
            })
        }
        Shape::Either(a, b) => json!({ "anyOf": [of(a), of(b)] }),
        Shape::Any => json!({}),
    }
}

fn text(rule: &Rule) -> Value {
    let mut map = Map::new();
    map.insert("type".to_owned(), json!("string"));
    map.insert("maxLength".to_owned(), json!(rule.max));
    map.insert("description".to_owned(), json!(format!("{}: {}", rule.what, rule.words)));
    if let Some(pattern) = rule.pattern {
        map.insert("pattern".to_owned(), json!(pattern));
    }
    Value::Object(map)
}

fn object(record: &Record) -> Value {
    let mut properties = Map::new();
    for field in record.all_fields() {
        let mut schema = of(&field.shape);
        if let Value::Object(map) = &mut schema {
            map.insert("description".to_owned(), json!(field.doc));
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let needed: Vec<&str> = record.all_fields().filter(|f| f.required).map(|f| f.name).collect();
    json!({
        "type": "object", "description": record.doc, "properties": properties,
        "required": needed, "additionalProperties": false
    })
}
