//! Expansion: recipes, includes, conditions and loops of one owner become states in written order.

use super::owner::Owner;
use super::render::{Failure, Renderer};
use super::scope::Scope;
use super::{MAX_FINDINGS, MAX_STATES, about_app, about_object, states};
use crate::model::configuration::State;
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::recipes::bundle::Bundle;
use crate::recipes::params::{self, Problem};
use crate::recipes::recipe::{Entry, Include, Loop, Recipe, StateText};
use crate::recipes::shape::choices;
use crate::recipes::template::line_start;
use crate::recipes::tree::{Findings, Key, Kind, Node, did_you_mean, shown};
use crate::recipes::values::{self, Layer, LayerKind};
use crate::recipes::view::{AppView, View};
use minijinja::value::{Serde, Value};
use serde_json::{Map, Value as Json};

/// The deepest chain of includes.
const MAX_INCLUDES: usize = 20;
/// The most rounds of one loop.
const MAX_ROUNDS: usize = 1_000;

/// The expansion of one owner's recipes.
pub struct Expansion<'x, 'e, 't> {
    /// The recipes.
    pub bundle: &'t Bundle,
    /// The view.
    pub view: &'t View,
    /// Whose recipes.
    pub owner: Owner<'t>,
    /// The layers of values, low to high.
    pub layers: &'x [&'x Layer],
    /// The owner's namespaces.
    pub scope: &'x Scope,
    /// Parsed templates.
    pub renderer: &'x mut Renderer<'e, 't>,
    /// Where the states go.
    pub states: &'x mut Vec<State>,
    /// Where the findings go.
    pub findings: &'x mut Vec<Diagnostic>,
}

impl<'e, 't: 'e> Expansion<'_, 'e, 't> {
    /// Expands every recipe of the run list, or of the app's descriptor, in order.
    pub fn run(&mut self) {
        let Some(app) = self.owner.app() else {
            for item in &self.view.run_list.recipes {
                let object = format!("role {}", item.role);
                self.start(&item.recipe, &object, "spec.recipes");
            }
            return;
        };
        let object = format!("{}.json", app.descriptor.name());
        for (index, reference) in app.descriptor.spec.recipes.iter().enumerate() {
            self.start(&reference.name, &object, &format!("spec.recipes[{index}]"));
        }
        self.unsupported(app);
    }

    fn start(&mut self, name: &str, object: &str, path: &str) {
        let Some(recipe) = self.bundle.recipe(name) else {
            let finding = self.missing_recipe(name, object, &format!("{path}.name"));
            self.findings.push(finding);
            return;
        };
        match self.params(recipe, &Map::new()) {
            Ok(params) => self.recipe(recipe, &params, 0),
            Err(problems) => {
                for problem in problems {
                    let finding = self.about_value(recipe, problem, object, &format!("{path}.with"));
                    self.findings.push(finding);
                }
            }
        }
    }

    fn params(&self, recipe: &Recipe, given: &Map<String, Json>) -> Result<Value, Vec<Problem>> {
        params::settle(recipe, self.layers, given).map(|values| Value::from(Serde(Json::Object(values))))
    }

    // A value that a layer gave and that is wrong is a finding about that layer's object.
    fn about_value(&self, recipe: &Recipe, problem: Problem, object: &str, path: &str) -> Diagnostic {
        let key = format!("{}.{}", recipe.name, problem.param);
        let gives = |layer: &&&Layer| values::find(&layer.values, &[recipe.name.as_str(), problem.param.as_str()]).is_some();
        let of_layer = self.layers.iter().rev().find(gives);
        let (object, path) = match of_layer {
            Some(layer) if layer.kind != LayerKind::App => (layer.object.as_str(), layer.written_path(&key)),
            Some(layer) if layer.recipe.is_none() => (object, layer.written_path(&key)),
            _ => (object, path.to_owned()),
        };
        about_object(object, Severity::Error, problem.code, &path, problem.message, problem.help)
    }

    fn missing_recipe(&self, name: &str, object: &str, path: &str) -> Diagnostic {
        let broken = self.bundle.why_broken(name);
        if let Some(first) = broken.first() {
            let message = format!("the recipe {} has errors: {}", shown(name), first.message);
            return about_object(object, Severity::Error, "recipe-invalid", path, message, None);
        }
        let names = self.bundle.names();
        let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| choices(&names));
        let message = format!("there is no recipe {}", shown(name));
        about_object(object, Severity::Error, "recipe-missing", path, message, Some(help))
    }

    // What the descriptor asks for and no state can give yet is said, not dropped in silence.
    fn unsupported(&mut self, app: &AppView) {
        let descriptor = &app.descriptor;
        for (name, schedule) in &descriptor.spec.schedules {
            if schedule.in_staging && self.view.environment != "production" {
                let message = format!("the schedule `{name}` is wanted in staging, but schedules do not run on stacks yet");
                let path = format!("spec.schedules.{name}");
                let app = descriptor.name().as_str();
                self.findings
                    .push(about_app(app, Severity::Warning, "schedule-not-run", &path, message, None));
            }
        }
    }

    fn recipe(&mut self, recipe: &'t Recipe, params: &Value, depth: usize) {
        for entry in &recipe.entries {
            if self.states.len() >= MAX_STATES || self.findings.len() >= MAX_FINDINGS {
                return;
            }
            match entry {
                Entry::Include(include) => self.include(recipe, include, params, depth),
                Entry::State(state) => self.state(recipe, state, params),
            }
        }
        if self.states.len() >= MAX_STATES {
            let message = format!("the configuration would have more than {MAX_STATES} states");
            self.fail(recipe, 0, "too-complex", "", message);
        }
    }

    fn include(&mut self, recipe: &'t Recipe, include: &'t Include, params: &Value, depth: usize) {
        let context = self.scope.with(params, None);
        if !self.holds(recipe, include.when.as_ref(), &context) {
            return;
        }
        let Some(target) = self.bundle.recipe(&include.recipe) else {
            let message = format!("there is no recipe {}", shown(&include.recipe));
            self.fail(recipe, include.at, "recipe-missing", "include", message);
            return;
        };
        if depth >= MAX_INCLUDES {
            let message = format!("recipes include each other more than {MAX_INCLUDES} deep");
            self.fail(recipe, include.at, "include-cycle", "include", message);
            return;
        }
        let mut given = Map::new();
        for (key, node) in &include.with {
            match self.renderer.node(node, &context) {
                Ok(value) => {
                    given.insert(key.name.clone(), value.to_json());
                }
                Err((at, failure)) => {
                    self.failed_template(recipe, at, &failure, "include.with");
                    return;
                }
            }
        }
        match self.params(target, &given) {
            Ok(params) => self.recipe(target, &params, depth + 1),
            Err(problems) => {
                for problem in problems {
                    let key = include.with.iter().find(|(key, _)| key.name == problem.param);
                    let finding = if problem.given || problem.code == "missing-param" {
                        let at = key.map_or(include.at, |(key, _)| key.at);
                        let mut finding = recipe
                            .source
                            .diagnostic(Severity::Error, at, problem.code, "include", problem.message);
                        finding.help = problem.help;
                        finding
                    } else {
                        self.about_value(target, problem, &recipe.source.file, "include")
                    };
                    self.findings.push(finding);
                }
            }
        }
    }

    fn state(&mut self, recipe: &'t Recipe, state: &'t StateText, params: &Value) {
        let Some(each) = &state.each else {
            let context = self.scope.with(params, None);
            self.one(recipe, state, &context);
            return;
        };
        for item in self.rounds(recipe, each, params) {
            if self.findings.len() >= MAX_FINDINGS {
                return;
            }
            let context = self.scope.with(params, Some((&each.name, item)));
            self.one(recipe, state, &context);
        }
    }

    fn rounds(&mut self, recipe: &'t Recipe, each: &'t Loop, params: &Value) -> Vec<Value> {
        let context = self.scope.with(params, None);
        let list = match self.renderer.expression(&each.expression, &context) {
            Ok(value) => value,
            Err(failure) => {
                self.failed_template(recipe, each.at, &failure, "for");
                return Vec::new();
            }
        };
        let items: Option<Vec<Value>> = match list.kind() {
            minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => {
                list.try_iter().ok().map(|items| items.take(MAX_ROUNDS + 1).collect())
            }
            _ => None,
        };
        match items {
            Some(items) if items.len() <= MAX_ROUNDS => items,
            Some(_) => {
                self.fail(
                    recipe,
                    each.at,
                    "too-complex",
                    "for",
                    format!("the list has more than {MAX_ROUNDS} items"),
                );
                Vec::new()
            }
            None => {
                let message = format!("`{}` is no list", each.expression);
                self.fail(recipe, each.at, "wrong-type", "for", message);
                Vec::new()
            }
        }
    }

    fn one(&mut self, recipe: &'t Recipe, state: &'t StateText, context: &Value) {
        if !self.holds(recipe, state.when.as_ref(), context) {
            return;
        }
        let mut properties: Vec<(Key, Node)> = Vec::new();
        let mut failed = false;
        for (key, node) in state.body.entries() {
            if key.name == "when" || key.name == "for" {
                continue;
            }
            match self.renderer.node(node, context) {
                Ok(value) if value.kind == Kind::Null => {}
                Ok(value) => properties.push((key.clone(), value)),
                Err((at, failure)) => {
                    failed = true;
                    self.failed_template(recipe, at, &failure, &format!("{}.{}", state.record.name, key.name));
                }
            }
        }
        if failed {
            return;
        }
        let body = Node {
            at: state.body.at,
            key_at: state.at,
            kind: Kind::Map(properties),
        };
        let Ok(content) = self.template_file(recipe, state, &body, context) else {
            return;
        };
        let mut findings = Findings::new(&recipe.source);
        let decoder = states::Decoder {
            view: self.view,
            owner: self.owner,
            scope: self.scope,
            record: state.record,
            at: state.at,
            body: &body,
        };
        if let Some(state) = decoder.decode(content, &mut findings) {
            self.states.push(state);
        }
        self.findings.extend(findings.finish());
    }

    fn template_file(&mut self, recipe: &Recipe, state: &StateText, body: &Node, context: &Value) -> Result<Option<String>, ()> {
        if state.record.name != "template" {
            return Ok(None);
        }
        let Some(node) = body.get("source") else { return Ok(None) };
        let Some(file) = node.text() else { return Ok(None) };
        let Some(source) = self.bundle.template(file) else {
            let mut findings = Findings::new(&recipe.source);
            crate::recipes::references::missing_template(node.at, file, self.bundle, &mut findings);
            self.findings.extend(findings.finish());
            return Err(());
        };
        let vars = body.get("vars").map(Node::to_json);
        let context = match vars {
            Some(vars) => minijinja::value::merge_maps([Value::from(Serde(&vars)), context.clone()]),
            None => context.clone(),
        };
        match self.renderer.text(&source.text, &context) {
            Ok(text) => Ok(Some(text)),
            Err(failure) => {
                let at = line_start(source, failure.line);
                let message = format!("the template failed: {}", failure.message);
                self.findings
                    .push(source.diagnostic(Severity::Error, at, "template-failed", "", message));
                Err(())
            }
        }
    }

    fn holds(&mut self, recipe: &Recipe, when: Option<&'t Node>, context: &Value) -> bool {
        let Some(node) = when else { return true };
        let Some(text) = node.text() else {
            return node.is_true();
        };
        match self.renderer.expression(text, context) {
            Ok(value) => value.is_true(),
            Err(failure) => {
                self.failed_template(recipe, node.at, &failure, "when");
                false
            }
        }
    }

    fn failed_template(&mut self, recipe: &Recipe, at: usize, failure: &Failure, path: &str) {
        let message = format!("the template failed for {}: {}", self.owner.shown(), failure.message);
        let at = if failure.line > 1 {
            let (line, _) = recipe.source.position(at);
            line_start(&recipe.source, line as usize + failure.line - 1)
        } else {
            at
        };
        self.fail(recipe, at, "template-failed", path, message);
    }

    fn fail(&mut self, recipe: &Recipe, at: usize, code: &str, path: &str, message: String) {
        let finding = recipe.source.diagnostic(Severity::Error, at, code, path, message);
        self.findings.push(finding);
    }
}
