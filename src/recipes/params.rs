//! Typed parameters of recipes: what a value of each type is, and how a recipe's parameters get their values.
//!
//! A parameter's value is, low to high: its default, the values that the layers give under the recipe's name, and what an
//! include gives under `with`. Null stands for "none" and is of every type.

use super::recipe::{Param, Recipe};
use super::shape::{choices, is_template, listed};
use super::tree::{Kind, Node, did_you_mean, shown};
use super::values::{Layer, merge_into};
use crate::model::time::parse_length;
use serde_json::{Map, Value};

/// The types of parameters.
pub const TYPES: &[&str] = &["text", "int", "bool", "list", "map", "duration", "choice"];

/// Whether a value as it was written is of a parameter's type; a template is, until it is rendered.
///
/// # Errors
/// What is wrong with it, as the end of a sentence: `must be int, not text`.
pub fn check_node(value: &Node, param: &Param) -> Result<(), String> {
    match &value.kind {
        Kind::Text(text) if is_template(text) => Ok(()),
        // A number keeps its digits as they were written, which JSON would not.
        Kind::Number(_) if param.kind == "text" => Ok(()),
        _ => check(&value.to_json(), param),
    }
}

/// Whether a value is of a parameter's type.
///
/// # Errors
/// What is wrong with it, as the end of a sentence: `must be int, not text`.
pub fn check(value: &Value, param: &Param) -> Result<(), String> {
    let fits = match (param.kind.as_str(), value) {
        ("int", Value::Number(number)) => number.is_i64(),
        ("duration", Value::String(text)) => return duration(text),
        ("choice", Value::String(text)) if !param.choices.contains(text) => {
            let words: Vec<&str> = param.choices.iter().map(String::as_str).collect();
            let near = did_you_mean(text, words.iter().copied()).map(|near| format!(": {near}"));
            return Err(format!(
                "must be one of {}, not {}{}",
                listed(&words),
                shown(text),
                near.unwrap_or_default()
            ));
        }
        (_, Value::Null)
        | ("text", Value::String(_) | Value::Number(_))
        | ("choice", Value::String(_))
        | ("bool", Value::Bool(_))
        | ("list", Value::Array(_))
        | ("map", Value::Object(_)) => true,
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("must be {}, not {}", param.kind, describe(value)))
    }
}

fn duration(text: &str) -> Result<(), String> {
    parse_length(text)
        .map(|_| ())
        .map_err(|why| format!("must be a length of time such as `30s` or `2h`, not {}: {why}", shown(text)))
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// What is wrong with the values of a recipe's parameters.
#[derive(Debug)]
pub struct Problem {
    /// The parameter.
    pub param: String,
    /// Whether an include gave it, rather than the layers.
    pub given: bool,
    /// A stable code.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// Advice.
    pub help: Option<String>,
}

/// The values of a recipe's parameters: defaults, under `layers` (low to high), under `given`.
///
/// # Errors
/// All that is wrong: unknown names, wrong types, and what has no value.
pub fn settle(recipe: &Recipe, layers: &[&Layer], given: &Map<String, Value>) -> Result<Map<String, Value>, Vec<Problem>> {
    let mut problems = Vec::new();
    let names: Vec<&str> = recipe.params.iter().map(|p| p.name.as_str()).collect();
    let mut unknown = |name: &str, is_given: bool| {
        problems.push(Problem {
            param: name.to_owned(),
            given: is_given,
            code: "unknown-param",
            message: format!("the recipe `{}` has no parameter {}", recipe.name, shown(name)),
            help: Some(did_you_mean(name, names.iter().copied()).unwrap_or_else(|| choices(&names))),
        });
    };
    let mut values = recipe.defaults();
    for layer in layers {
        let Some(layered) = layer.values.get(&recipe.name).and_then(Value::as_object) else {
            continue;
        };
        for name in layered.keys() {
            if !names.contains(&name.trim_start_matches('+')) {
                unknown(name, false);
            }
        }
        merge_into(&mut values, layered);
    }
    for (name, value) in given {
        if names.contains(&name.as_str()) {
            values.insert(name.clone(), value.clone());
        } else {
            unknown(name, true);
        }
    }
    for param in &recipe.params {
        let is_given = given.contains_key(&param.name);
        match values.get(&param.name) {
            None => problems.push(Problem {
                param: param.name.clone(),
                given: is_given,
                code: "missing-param",
                message: format!("the parameter `{}` of the recipe `{}` is not given", param.name, recipe.name),
                help: Some(format!(
                    "give it under `with`, or as the value `{}.{}` of any layer",
                    recipe.name, param.name
                )),
            }),
            Some(value) => {
                if let Err(why) = check(value, param) {
                    problems.push(Problem {
                        param: param.name.clone(),
                        given: is_given,
                        code: "wrong-type",
                        message: format!("the parameter `{}` of the recipe `{}` {why}", param.name, recipe.name),
                        help: None,
                    });
                }
            }
        }
    }
    // What no parameter is called would be a mistake above; it must not reach a template.
    values.retain(|name, _| names.contains(&name.as_str()));
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}
