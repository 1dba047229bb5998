//! Shapes: tables that say what a document may hold. One table gives the check, its messages, the JSON Schema and the
//! reference pages, so that none of them can disagree.

use super::tree::{Findings, Key, Kind, Node, did_you_mean, shown};

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Text that follows a rule.
    Text(&'static Rule),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Integer {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// A list.
    List {
        /// What its items are.
        of: &'static Shape,
        /// The fewest items.
        min: usize,
        /// The most items.
        max: usize,
    },
    /// A map with names that people choose.
    Map {
        /// The rule of its keys.
        keys: &'static Rule,
        /// What its values are.
        of: &'static Shape,
    },
    /// A map with fields that we name.
    Record(&'static Record),
    /// A map with exactly one key, one of these, and its value.
    OneKey(&'static [(&'static str, Shape)]),
    /// A scalar of the first shape, or a list or map of the second.
    Either(&'static Shape, &'static Shape),
    /// Anything.
    Any,
}

/// A rule for text.
#[derive(Debug)]
pub struct Rule {
    /// What the text is: `an app name`.
    pub what: &'static str,
    /// The rule in words.
    pub words: &'static str,
    /// Whether a text follows it.
    pub check: fn(&str) -> bool,
    /// The same as a regular expression for editors, where one says it well.
    pub pattern: Option<&'static str>,
    /// The longest, in bytes.
    pub max: usize,
}

/// A map with fields that we name.
#[derive(Debug)]
pub struct Record {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
    /// Fields that it shares with others of its kind.
    pub common: &'static [Field],
}

impl Record {
    /// All its fields, its own first.
    pub fn all_fields(&self) -> impl Iterator<Item = &'static Field> + Clone {
        self.fields.iter().chain(self.common)
    }
}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it may be.
    pub shape: Shape,
    /// What it means, in a sentence.
    pub doc: &'static str,
}

/// A field that may be left out.
pub const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field {
        name,
        required: false,
        shape,
        doc,
    }
}

/// A field that must be there.
pub const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field {
        name,
        required: true,
        shape,
        doc,
    }
}

/// How strictly values are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// JSON: a number is not a text.
    Json,
    /// YAML: a number where text is wanted is taken as it was written.
    Yaml,
    /// YAML whose text may still be a template; what it renders to is checked later.
    Template,
}

/// Checks a value against a shape; all errors, each at its place.
pub fn check(node: &Node, shape: &Shape, strictness: Strictness, path: &str, findings: &mut Findings<'_>) {
    Checker { strictness, findings }.value(node, shape, path);
}

struct Checker<'f, 's> {
    strictness: Strictness,
    findings: &'f mut Findings<'s>,
}

/// Whether a text holds template syntax.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

impl Checker<'_, '_> {
    fn value(&mut self, node: &Node, shape: &Shape, path: &str) {
        if self.strictness == Strictness::Template && node.text().is_some_and(is_template) {
            return;
        }
        match (shape, &node.kind) {
            (Shape::Any, _) | (Shape::Bool, Kind::Bool(_)) => {}
            (Shape::Either(scalar, other), kind) => {
                let is_scalar = !matches!(kind, Kind::List(_) | Kind::Map(_));
                self.value(node, if is_scalar { scalar } else { other }, path);
            }
            (Shape::Text(rule), Kind::Text(text)) => self.text(node, rule, text, path),
            (Shape::Text(rule), Kind::Number(raw)) if self.strictness != Strictness::Json => {
                self.text(node, rule, raw, path);
            }
            (Shape::Choice(words), Kind::Text(text)) => {
                if !words.contains(&text.as_str()) {
                    let message = format!("{} is not one of {}", shown(text), listed(words));
                    match did_you_mean(text, words.iter().copied()) {
                        Some(help) => self.findings.error_help(node.at, "unknown-value", path, message, help),
                        None => self.findings.error(node.at, "unknown-value", path, message),
                    }
                }
            }
            (Shape::Integer { min, max }, Kind::Number(raw)) => match raw.parse::<i64>() {
                Ok(value) if (*min..=*max).contains(&value) => {}
                _ => {
                    let message = format!("{} is not a whole number from {min} to {max}", shown(raw));
                    self.findings.error(node.at, "out-of-range", path, message);
                }
            },
            (Shape::List { of, min, max }, Kind::List(items)) => {
                if items.len() < *min {
                    let message = format!("the list has {} items; at least {min} is needed", items.len());
                    self.findings.error(node.at, "too-short", path, message);
                }
                if items.len() > *max {
                    let message = format!("the list has {} items; at most {max} are taken", items.len());
                    self.findings.error(node.at, "too-long", path, message);
                    return;
                }
                for (index, item) in items.iter().enumerate() {
                    self.value(item, of, &format!("{path}[{index}]"));
                }
            }
            (Shape::Map { keys, of }, Kind::Map(_)) => {
                self.duplicates(node, path);
                for (key, value) in node.entries() {
                    let place = join(path, &key.name);
                    if key.name.len() > keys.max || !(keys.check)(&key.name) {
                        let message = format!("{} is not {}: {}", shown(&key.name), keys.what, keys.words);
                        self.findings.error(key.at, "invalid-name", &place, message);
                    }
                    self.value(value, of, &place);
                }
            }
            (Shape::Record(record), Kind::Map(_)) => self.record(node, record, path),
            (Shape::OneKey(choices), Kind::Map(entries)) => self.one_key(node, choices, entries, path),
            _ => self.wrong_type(node, shape, path),
        }
    }

    fn one_key(&mut self, node: &Node, choices: &[(&'static str, Shape)], entries: &[(Key, Node)], path: &str) {
        let names = || choices.iter().map(|(name, _)| *name);
        if let [(key, value)] = entries {
            match choices.iter().find(|(name, _)| *name == key.name) {
                Some((name, shape)) => self.value(value, shape, &join(path, name)),
                None => self.unknown(key, names(), "type", path),
            }
        } else {
            let all: Vec<&str> = names().collect();
            let message = format!("exactly one key was expected here, one of {}", listed(&all));
            let help = "indent the properties below the type, and start each item with `- `";
            self.findings.error_help(node.at, "wrong-type", path, message, help);
        }
    }

    fn text(&mut self, node: &Node, rule: &Rule, text: &str, path: &str) {
        if text.len() > rule.max {
            let message = format!("the text has {} bytes; at most {} are taken", text.len(), rule.max);
            self.findings.error(node.at, "too-long", path, message);
        } else if !(rule.check)(text) {
            let message = format!("{} is not {}: {}", shown(text), rule.what, rule.words);
            self.findings.error(node.at, "invalid-value", path, message);
        }
    }

    fn record(&mut self, node: &Node, record: &Record, path: &str) {
        self.duplicates(node, path);
        for (key, value) in node.entries() {
            match record.all_fields().find(|f| f.name == key.name) {
                Some(field) => self.value(value, &field.shape, &join(path, field.name)),
                None => self.unknown(key, record.all_fields().map(|f| f.name), "field", path),
            }
        }
        for field in record.all_fields().filter(|f| f.required) {
            if node.get(field.name).is_none() {
                let message = if path.is_empty() {
                    format!("`{}` is missing", field.name)
                } else {
                    format!("`{}` is missing in `{path}`", field.name)
                };
                let at = if node.key_at == 0 { node.at } else { node.key_at };
                self.findings
                    .error_help(at, "missing-field", &join(path, field.name), message, field.doc);
            }
        }
    }

    fn duplicates(&mut self, node: &Node, path: &str) {
        let mut first = std::collections::HashMap::new();
        for (key, _) in node.entries() {
            if let Some(earlier) = first.insert(key.name.as_str(), key.at) {
                let (line, column) = self.findings.source.position(earlier);
                let message = format!("{} is given twice; first at line {line}, column {column}", shown(&key.name));
                self.findings.error(key.at, "duplicate-key", &join(path, &key.name), message);
            }
        }
    }

    fn unknown<'c>(&mut self, key: &Key, names: impl Iterator<Item = &'c str> + Clone, noun: &str, path: &str) {
        let message = format!("there is no {noun} {}", shown(&key.name));
        let help = did_you_mean(&key.name, names.clone()).unwrap_or_else(|| {
            let all: Vec<&str> = names.collect();
            choices(&all)
        });
        let code = if noun == "field" { "unknown-field" } else { "unknown-type" };
        self.findings.error_help(key.at, code, &join(path, &key.name), message, help);
    }

    fn wrong_type(&mut self, node: &Node, shape: &Shape, path: &str) {
        let message = format!("{} was expected here, not {}", expected(shape), node.describe());
        match (shape, &node.kind) {
            (_, Kind::Null) => {
                self.findings
                    .error_help(node.at, "wrong-type", path, message, "leave the field out instead");
            }
            (Shape::Text(_) | Shape::Choice(_), Kind::Number(raw)) => {
                let help = format!("write it in quotes: \"{raw}\"");
                self.findings.error_help(node.at, "wrong-type", path, message, help);
            }
            (Shape::List { .. }, Kind::Text(text)) => {
                let words: Vec<&str> = text.split_whitespace().take(12).collect();
                let help = format!("write it as a list: {words:?}");
                self.findings.error_help(node.at, "wrong-type", path, message, help);
            }
            (Shape::Integer { .. } | Shape::Bool, Kind::Text(text)) if text.parse::<i64>().is_ok() || text == "true" => {
                self.findings
                    .error_help(node.at, "wrong-type", path, message, "write it without quotes");
            }
            _ => self.findings.error(node.at, "wrong-type", path, message),
        }
    }
}

fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Text(rule) => rule.what.to_owned(),
        Shape::Choice(words) => format!("one of {}", listed(words)),
        Shape::Bool => "true or false".to_owned(),
        Shape::Integer { .. } => "a whole number".to_owned(),
        Shape::List { .. } => "a list".to_owned(),
        Shape::Map { .. } | Shape::Record(_) => "a map".to_owned(),
        Shape::OneKey(_) => "a map with one key".to_owned(),
        Shape::Either(a, b) => format!("{} or {}", expected(a), expected(b)),
        Shape::Any => "anything".to_owned(),
    }
}

/// What there is to choose from, as advice.
pub fn choices(words: &[&str]) -> String {
    match words {
        [] => "there is none".to_owned(),
        [one] => format!("there is only `{one}`"),
        _ => format!("there are {}", listed(words)),
    }
}

/// Words for a message: `a`, `b` and `c`.
pub fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// A path with one more key.
pub fn join(path: &str, key: &str) -> String {
    let key: String = key.chars().take(60).collect();
    if path.is_empty() { key } else { format!("{path}.{key}") }
}
