//! One recipe, decoded from its text: its parameters and its entries, with every place kept.
//!
//! What can be known without a view is checked here: shapes, template syntax, loops, guards, references to other recipes.

use super::shape::{Record, Shape, Strictness, check, is_template, join, listed};
use super::tree::{Findings, Key, Kind, Node, Source, shown};
use super::{params, rules, template, types, yaml};
use crate::model::diagnostic::{Diagnostic, Severity, has_errors};
use std::collections::BTreeMap;

/// A recipe.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its states and includes, in order.
    pub entries: Vec<Entry>,
    /// Its text.
    pub source: Source,
    defaults: serde_json::Map<String, serde_json::Value>,
}

/// A parameter of a recipe.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// One of [`params::TYPES`].
    pub kind: String,
    /// What a `choice` may be.
    pub choices: Vec<String>,
    /// Its value where none is given.
    pub default: Option<Node>,
    /// What it is for.
    pub description: String,
}

/// One item of a recipe.
#[derive(Debug, Clone)]
pub enum Entry {
    /// The states of another recipe.
    Include(Include),
    /// A state.
    State(StateText),
}

/// The states of another recipe, here.
#[derive(Debug, Clone)]
pub struct Include {
    /// The recipe's name.
    pub recipe: String,
    /// Where it is named.
    pub at: usize,
    /// Values for its parameters.
    pub with: Vec<(Key, Node)>,
    /// Condition at compile time.
    pub when: Option<Node>,
}

/// A state as written.
#[derive(Debug, Clone)]
pub struct StateText {
    /// Its type.
    pub record: &'static Record,
    /// Where its type is written.
    pub at: usize,
    /// Its properties.
    pub body: Node,
    /// The list it is repeated over.
    pub each: Option<Loop>,
    /// Condition at compile time.
    pub when: Option<Node>,
}

/// `NAME in EXPRESSION`.
#[derive(Debug, Clone)]
pub struct Loop {
    /// The name of the item.
    pub name: String,
    /// What gives the list.
    pub expression: String,
    /// Where it is written.
    pub at: usize,
}

impl Recipe {
    /// Reads a recipe whose file is called `name`. A recipe is returned exactly where no finding is an error.
    pub fn parse(source: Source, name: &str) -> (Option<Self>, Vec<Diagnostic>) {
        let mut findings = Findings::new(&source);
        let Some(tree) = yaml::parse(&source, &mut findings) else {
            return (None, findings.finish());
        };
        check(&tree, &Shape::Record(&types::RECIPE), Strictness::Template, "", &mut findings);
        if let Some(node) = tree.get("recipe")
            && node.text().is_some_and(|text| text != name)
        {
            let message = format!(
                "the recipe is called {} but its file {}",
                shown(node.text().unwrap_or_default()),
                shown(name)
            );
            findings.error_help(
                node.at,
                "invalid-name",
                "recipe",
                message,
                "give the file and the recipe the same name",
            );
        }
        let params = parameters(&tree, &mut findings);
        let names = Names {
            params: params.iter().map(|p| p.name.as_str()).collect(),
            item: None,
        };
        let mut entries = Vec::new();
        for node in tree.get("include").map(Node::items).unwrap_or_default() {
            entries.extend(include(node, &names, &mut findings));
        }
        for node in tree.get("states").map(Node::items).unwrap_or_default() {
            entries.extend(entry(node, &names, &mut findings));
        }
        duplicate_ids(&entries, &mut findings);
        let description = tree
            .get("description")
            .and_then(Node::text)
            .unwrap_or_default()
            .trim()
            .to_owned();
        let findings = findings.finish();
        if has_errors(&findings) {
            return (None, findings);
        }
        let recipe = Self {
            name: name.to_owned(),
            description,
            defaults: defaults(&params),
            params,
            entries,
            source,
        };
        (Some(recipe), findings)
    }

    /// The defaults of its parameters.
    pub fn defaults(&self) -> serde_json::Map<String, serde_json::Value> {
        self.defaults.clone()
    }

    /// The recipes it includes directly.
    pub fn includes(&self) -> impl Iterator<Item = &Include> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Include(include) => Some(include),
            Entry::State(_) => None,
        })
    }
}

fn defaults(params: &[Param]) -> serde_json::Map<String, serde_json::Value> {
    params
        .iter()
        .filter_map(|param| Some((param.name.clone(), param.default.as_ref()?.to_json())))
        .collect()
}

fn parameters(tree: &Node, findings: &mut Findings<'_>) -> Vec<Param> {
    let mut all = Vec::new();
    for (key, node) in tree.get("params").map(Node::entries).unwrap_or_default() {
        let text = |name: &str| node.get(name).and_then(Node::text);
        let param = Param {
            name: key.name.clone(),
            kind: text("type").unwrap_or("text").to_owned(),
            choices: node.get("choices").map(Node::texts).unwrap_or_default(),
            default: node.get("default").cloned(),
            description: text("description").unwrap_or_default().trim().to_owned(),
        };
        let path = format!("params.{}", key.name);
        if (param.kind == "choice") == param.choices.is_empty() {
            let message = if param.kind == "choice" {
                "a choice needs `choices`, the list of what it may be"
            } else {
                "`choices` goes with the type `choice`"
            };
            findings.error(key.at, "invalid-value", &path, message);
        } else if let Some(value) = &param.default
            && params::TYPES.contains(&param.kind.as_str())
            && let Err(why) = params::check_node(value, &param)
        {
            findings.error(
                value.at,
                "wrong-type",
                &format!("{path}.default"),
                format!("the default {why}"),
            );
        }
        all.push(param);
    }
    all
}

// What the templates of one place may name besides the namespaces.
#[derive(Clone)]
struct Names<'a> {
    params: Vec<&'a str>,
    item: Option<String>,
}

fn include(node: &Node, names: &Names<'_>, findings: &mut Findings<'_>) -> Option<Entry> {
    let (name, with, when) = match &node.kind {
        Kind::Text(_) => (node, Vec::new(), None),
        _ => (
            node.get("recipe")?,
            node.get("with").map(|w| w.entries().to_vec()).unwrap_or_default(),
            node.get("when").cloned(),
        ),
    };
    for (key, value) in &with {
        templates(value, &join("include.with", &key.name), names, findings);
    }
    if let Some(when) = &when {
        expression(when, when.text().unwrap_or("true"), "include.when", names, findings);
    }
    let text = name.text()?;
    if is_template(text) {
        let message = "the recipe of an include must be written out, not computed";
        findings.error_help(
            name.at,
            "template-syntax",
            "include",
            message,
            "use `when` to choose between includes",
        );
        return None;
    }
    Some(Entry::Include(Include {
        recipe: text.to_owned(),
        at: name.at,
        with,
        when,
    }))
}

fn entry(node: &Node, names: &Names<'_>, findings: &mut Findings<'_>) -> Option<Entry> {
    let [(key, body)] = node.entries() else { return None };
    if key.name == "include" {
        return include(body, names, findings);
    }
    let record = types::STATES.iter().find(|r| r.name == key.name)?;
    let path = key.name.as_str();
    let each = body
        .get("for")
        .and_then(|value| repeat(value, &join(path, "for"), names, findings));
    let names = &Names {
        item: each.as_ref().map(|each: &Loop| each.name.clone()),
        ..names.clone()
    };
    for (property, value) in body.entries() {
        let place = join(path, &property.name);
        match property.name.as_str() {
            "when" => expression(value, value.text().unwrap_or("true"), &place, names, findings),
            "for" => {}
            _ => templates(value, &place, names, findings),
        }
    }
    let guards = ["only_if", "not_if", "creates", "changed", "refresh_only"];
    if record.name == "execute" && guards.iter().all(|guard| body.get(guard).is_none()) {
        let message = "the program is run at every convergence, for nothing says when it need not be";
        let help = format!("add one of {}", listed(&guards));
        findings.warning(key.at, "unguarded-execute", path, message, help);
    }
    Some(Entry::State(StateText {
        record,
        at: key.at,
        when: body.get("when").cloned(),
        each,
        body: body.clone(),
    }))
}

fn repeat(node: &Node, path: &str, names: &Names<'_>, findings: &mut Findings<'_>) -> Option<Loop> {
    let text = node.text()?;
    let parts = text.split_once(" in ").map(|(name, list)| (name.trim(), list.trim()));
    let Some((name, list)) = parts.filter(|(name, _)| (rules::IDENTIFIER.check)(name)) else {
        let message = format!("{} is not a loop", shown(text));
        findings.error_help(
            node.at,
            "invalid-value",
            path,
            message,
            "write it as `process in app.processes`",
        );
        return None;
    };
    if template::RECIPE_NAMESPACES.contains(&name) {
        findings.error(
            node.at,
            "invalid-name",
            path,
            format!("`{name}` is a namespace; call the item otherwise"),
        );
    }
    expression(node, list, path, names, findings);
    Some(Loop {
        name: name.to_owned(),
        expression: list.to_owned(),
        at: node.at,
    })
}

fn expression(node: &Node, text: &str, path: &str, names: &Names<'_>, findings: &mut Findings<'_>) {
    if is_template(text) {
        let help = format!("write {}", shown(text.replace("{{", "").replace("}}", "").trim()));
        findings.error_help(
            node.at,
            "template-syntax",
            path,
            "this is an expression already, without `{{ }}`",
            help,
        );
        return;
    }
    match template::environment().compile_expression(text) {
        Ok(expression) => unknown_names(node, expression.undeclared_variables(true), path, names, findings),
        Err(error) => {
            let message = format!("the expression cannot be read: {}", template::reason(&error));
            findings.error(node.at, "template-syntax", path, message);
        }
    }
}

fn unknown_names(
    node: &Node,
    paths: impl IntoIterator<Item = String>,
    path: &str,
    names: &Names<'_>,
    findings: &mut Findings<'_>,
) {
    let items: Vec<&str> = names.item.as_deref().into_iter().collect();
    for problem in template::check_names(paths, &names.params, &items) {
        match problem.help {
            Some(help) => findings.error_help(node.at, problem.code, path, problem.message, help),
            None => findings.error(node.at, problem.code, path, problem.message),
        }
    }
}

fn templates(node: &Node, path: &str, names: &Names<'_>, findings: &mut Findings<'_>) {
    match &node.kind {
        Kind::Text(text) if is_template(text) => match template::environment().template_from_str(text) {
            Ok(template) => unknown_names(node, template.undeclared_variables(true), path, names, findings),
            Err(error) => {
                let message = format!("the template cannot be read: {}", template::reason(&error));
                let at = template::place(node, findings.source, &error);
                findings.error(at, "template-syntax", path, message);
            }
        },
        Kind::List(items) => items.iter().for_each(|item| templates(item, path, names, findings)),
        Kind::Map(entries) => entries
            .iter()
            .for_each(|(key, value)| templates(value, &join(path, &key.name), names, findings)),
        _ => {}
    }
}

fn duplicate_ids(entries: &[Entry], findings: &mut Findings<'_>) {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for entry in entries {
        let Entry::State(state) = entry else { continue };
        let Some(node) = state.body.get("id") else { continue };
        let Some(id) = node.scalar().filter(|id| !is_template(id)) else {
            continue;
        };
        let id = format!("{}/{id}", state.record.name);
        if let Some(earlier) = first.insert(id.clone(), node.at) {
            let (line, column) = findings.source.position(earlier);
            let message = format!(
                "there are two states {}; the first is at line {line}, column {column}",
                shown(&id)
            );
            findings.error(node.at, "duplicate-id", "id", message);
        }
    }
}

/// What is wrong with the syntax of a template file.
pub fn check_template_file(source: &Source) -> Vec<Diagnostic> {
    match template::environment().template_from_str(&source.text) {
        Ok(_) => Vec::new(),
        Err(error) => {
            let at = template::line_start(source, error.line().unwrap_or(1));
            let message = format!("the template cannot be read: {}", template::reason(&error));
            vec![source.diagnostic(Severity::Error, at, "template-syntax", "", message)]
        }
    }
}
