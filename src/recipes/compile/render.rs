//! Rendering: a tree with templates in, the same tree with values out. Positions stay, types too where a text is one
//! expression and nothing else.

use crate::recipes::shape::is_template;
use crate::recipes::template::reason_in;
use crate::recipes::tree::{Key, Kind, MAX_DEPTH, Node};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, Expression, Template};
use std::collections::HashMap;

// What all renderings of one compile may use together; one alone has the environment's own, smaller limit.
const FUEL: u64 = 20_000_000;

/// Parsed templates, kept for the length of a compile.
pub struct Renderer<'e, 't> {
    environment: &'e Environment<'t>,
    parsed: HashMap<&'t str, Parsed<'e, 't>>,
    fuel: u64,
}

enum Parsed<'e, 't> {
    Whole(Expression<'e, 't>),
    Mixed(Template<'e, 't>),
}

/// A template that failed.
pub struct Failure {
    /// Why, in words.
    pub message: String,
    /// Line within the template, from 1.
    pub line: usize,
}

impl Failure {
    fn of(error: &Error, text: &str) -> Self {
        Self {
            message: reason_in(error, text),
            line: error.line().unwrap_or(1),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::of(&error, "")
    }
}

impl<'e, 't: 'e> Renderer<'e, 't> {
    /// A renderer without parsed templates.
    pub fn new(environment: &'e Environment<'t>) -> Self {
        Self {
            environment,
            parsed: HashMap::new(),
            fuel: FUEL,
        }
    }

    fn burn(&mut self, fuel: u64) -> Result<(), Failure> {
        self.fuel = self.fuel.saturating_sub(fuel);
        if self.fuel == 0 {
            return Err(Failure {
                message: "the recipes of this node run too long or make too much text altogether".to_owned(),
                line: 1,
            });
        }
        Ok(())
    }

    /// The value of an expression.
    pub fn expression(&mut self, text: &'t str, context: &Value) -> Result<Value, Failure> {
        self.burn(1)?;
        if !self.parsed.contains_key(text) {
            let parsed = Parsed::Whole(self.environment.compile_expression(text).map_err(|e| Failure::of(&e, text))?);
            self.parsed.insert(text, parsed);
        }
        match self.parsed.get(text) {
            Some(Parsed::Whole(expression)) => {
                let value = expression.eval(context.clone()).map_err(|e| Failure::of(&e, text))?;
                defined(value, text)
            }
            _ => Ok(Value::from(text)),
        }
    }

    /// The text of a template.
    pub fn text(&mut self, text: &'t str, context: &Value) -> Result<String, Failure> {
        if !self.parsed.contains_key(text) {
            let parsed = Parsed::Mixed(self.environment.template_from_str(text).map_err(|e| Failure::of(&e, text))?);
            self.parsed.insert(text, parsed);
        }
        let Some(Parsed::Mixed(template)) = self.parsed.get(text) else {
            return Ok(text.to_owned());
        };
        let captured = template.render_captured(context.clone()).map_err(|e| Failure::of(&e, text))?;
        let (used, _) = captured.state().fuel_levels().unwrap_or_default();
        let rendered = captured.into_output();
        self.burn(used.max(1))?;
        Ok(rendered)
    }

    /// A node with every template replaced by its value. The failure names the node it happened in.
    pub fn node<'n>(&mut self, node: &'n Node, context: &Value) -> Result<Node, (usize, Failure)>
    where
        'n: 't,
    {
        let kind = match &node.kind {
            Kind::Text(text) if is_template(text) => match whole(text) {
                Some(expression) => {
                    let value = self.expression(expression, context).map_err(|f| (node.at, f))?;
                    let mut result = to_node(&value, node.at, 0).map_err(|f| (node.at, f))?;
                    result.key_at = node.key_at;
                    return Ok(result);
                }
                None => Kind::Text(self.text(text, context).map_err(|f| (node.at, f))?),
            },
            Kind::List(items) => Kind::List(items.iter().map(|item| self.node(item, context)).collect::<Result<_, _>>()?),
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), self.node(value, context)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => other.clone(),
        };
        Ok(Node {
            at: node.at,
            key_at: node.key_at,
            kind,
        })
    }
}

// `{{ x }}` and nothing else keeps the type of `x`.
fn whole(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    let plain = !inner.contains("{{") && !inner.contains("}}") && !inner.contains("{%");
    plain.then(|| inner.trim_matches(|c: char| c == '-' || c.is_whitespace()))
}

fn defined(value: Value, text: &str) -> Result<Value, Failure> {
    if value.is_undefined() {
        return Err(Failure {
            message: format!("`{text}` is not defined"),
            line: 1,
        });
    }
    Ok(value)
}

/// A value as a node that stands at `at`.
pub fn to_node(value: &Value, at: usize, depth: usize) -> Result<Node, Failure> {
    let fail = |message: &str| Failure {
        message: message.to_owned(),
        line: 1,
    };
    if depth > MAX_DEPTH {
        return Err(fail("the value is nested too deep"));
    }
    let kind = match value.kind() {
        ValueKind::Undefined => return Err(fail("a part of the value is not defined")),
        ValueKind::None => Kind::Null,
        ValueKind::Bool => Kind::Bool(value.is_true()),
        ValueKind::Number => Kind::Number(value.to_string()),
        ValueKind::String => Kind::Text(value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => Kind::List(
            value
                .try_iter()?
                .take(10_000)
                .map(|item| to_node(&item, at, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        ValueKind::Map => {
            let mut entries = Vec::new();
            for key in value.try_iter()?.take(10_000) {
                let node = to_node(&value.get_item(&key)?, at, depth + 1)?;
                let name = key.to_string();
                entries.push((Key { at, name }, node));
            }
            Kind::Map(entries)
        }
        _ => return Err(fail("a function or other value without a text form cannot be used here")),
    };
    Ok(Node::new(at, kind))
}
