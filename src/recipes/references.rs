//! References of a recipe: to other recipes and their parameters, and to templates beside it. What is missing, what is
//! misspelt, and what goes in a circle.

use super::bundle::Bundle;
use super::recipe::{Entry, Include, Recipe};
use super::shape::{choices, is_template};
use super::tree::{Findings, did_you_mean, shown};
use crate::model::diagnostic::{Diagnostic, has_errors};

/// What is wrong with the references of a recipe to other recipes and to templates.
pub fn check_references(recipe: &Recipe, bundle: &Bundle) -> Vec<Diagnostic> {
    let mut findings = Findings::new(&recipe.source);
    for include in recipe.includes() {
        let Some(target) = bundle.recipe(&include.recipe) else {
            missing_recipe(include, bundle, &mut findings);
            continue;
        };
        let names: Vec<&str> = target.params.iter().map(|p| p.name.as_str()).collect();
        for (key, _) in &include.with {
            if !names.contains(&key.name.as_str()) {
                unknown_param(key.at, &key.name, &target.name, &names, &mut findings);
            }
        }
        for param in target.params.iter().filter(|p| p.default.is_none()) {
            if !include.with.iter().any(|(key, _)| key.name == param.name) {
                let message = format!("the parameter `{}` of the recipe `{}` is not given", param.name, target.name);
                findings.error_help(include.at, "missing-param", "include", message, "give it under `with`");
            }
        }
        if let Some(circle) = circle(&recipe.name, &include.recipe, bundle) {
            let message = format!("the recipes include each other in a circle: {}", circle.join(" → "));
            findings.error(include.at, "include-cycle", "include", message);
        }
    }
    for entry in &recipe.entries {
        if let Entry::State(state) = entry
            && state.record.name == "template"
            && let Some(node) = state.body.get("source")
            && let Some(file) = node.text()
            && !is_template(file)
            && bundle.template(file).is_none()
        {
            missing_template(node.at, file, bundle, &mut findings);
        }
    }
    findings.finish()
}

/// Adds that a template file is not there.
pub(super) fn missing_template(at: usize, file: &str, bundle: &Bundle, findings: &mut Findings<'_>) {
    let names = bundle.template_names();
    let message = format!("there is no template {} beside the recipes", shown(file));
    let help = did_you_mean(file, names.iter().copied()).unwrap_or_else(|| choices(&names));
    findings.error_help(at, "template-missing", "source", message, help);
}

/// Adds that a parameter is not one of the recipe's.
pub(super) fn unknown_param(at: usize, name: &str, recipe: &str, names: &[&str], findings: &mut Findings<'_>) {
    let message = format!("the recipe `{recipe}` has no parameter {}", shown(name));
    let help = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| choices(names));
    findings.error_help(at, "unknown-param", "with", message, help);
}

fn missing_recipe(include: &Include, bundle: &Bundle, findings: &mut Findings<'_>) {
    if has_errors(bundle.why_broken(&include.recipe)) {
        let message = format!("the recipe {} has errors of its own", shown(&include.recipe));
        findings.error(include.at, "recipe-invalid", "include", message);
        return;
    }
    let names = bundle.names();
    let message = format!("there is no recipe {}", shown(&include.recipe));
    let help = did_you_mean(&include.recipe, names.iter().copied()).unwrap_or_else(|| choices(&names));
    findings.error_help(include.at, "recipe-missing", "include", message, help);
}

fn circle(start: &str, next: &str, bundle: &Bundle) -> Option<Vec<String>> {
    let mut paths = vec![vec![start.to_owned(), next.to_owned()]];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = paths.pop() {
        let last = path.last()?.clone();
        if last == start {
            return Some(path);
        }
        if !seen.insert(last.clone()) {
            continue;
        }
        for include in bundle.recipe(&last).into_iter().flat_map(Recipe::includes) {
            let mut longer = path.clone();
            longer.push(include.recipe.clone());
            paths.push(longer);
        }
    }
    None
}
