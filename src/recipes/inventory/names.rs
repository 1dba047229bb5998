//! The names that objects use of each other: they exist, and roles do not include themselves.

use crate::model::inventory::Object;
use crate::model::name::RoleName;
use crate::recipes::shape::choices;
use crate::recipes::tree::{Findings, Node, did_you_mean};
use std::collections::{BTreeMap, BTreeSet};

/// The names that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Apps.
    pub apps: BTreeSet<String>,
    /// Datacenters.
    pub datacenters: BTreeSet<String>,
    /// Environments.
    pub environments: BTreeSet<String>,
    /// Roles, and those that each includes.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Recipes; nothing where any may be.
    pub recipes: Option<BTreeSet<String>>,
}

impl Known {
    /// Adds an object, in place of one of the same name.
    pub fn add(&mut self, object: &Object) {
        let name = object.name().to_owned();
        match object {
            Object::Node(_) => {}
            Object::Datacenter(_) => {
                self.datacenters.insert(name);
            }
            Object::Environment(_) => {
                self.environments.insert(name);
            }
            Object::Role(role) => {
                let within = role.spec.roles.iter().map(RoleName::to_string).collect();
                self.roles.insert(name, within);
            }
        }
    }

    // The way from a role back to itself.
    fn circle(&self, from: &str, first: &str) -> Option<Vec<String>> {
        let mut ways = vec![vec![first.to_owned()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let at = way.last().cloned().unwrap_or_default();
            if at == from {
                return Some(way);
            }
            if seen.insert(at.clone()) {
                for next in self.roles.get(&at).into_iter().flatten() {
                    let mut longer = way.clone();
                    longer.push(next.clone());
                    ways.push(longer);
                }
            }
        }
        None
    }
}

pub(super) fn check(tree: &Node, object: &Object, known: &Known, findings: &mut Findings<'_>) {
    let spec = |path: &[&str]| tree.get("spec").and_then(|spec| spec.at_path(path));
    let roles: BTreeSet<String> = known.roles.keys().cloned().collect();
    let mut checker = Checker { findings };
    match object {
        Object::Node(_) => {
            checker.name(spec(&["datacenter"]), "spec.datacenter", "datacenter", &known.datacenters);
            checker.name(spec(&["environment"]), "spec.environment", "environment", &known.environments);
            checker.names(spec(&["roles"]), "spec.roles", "role", &roles);
            for (index, on) in spec(&["apps"]).into_iter().flat_map(Node::items).enumerate() {
                checker.name(on.get("app"), &format!("spec.apps[{index}].app"), "app", &known.apps);
            }
        }
        Object::Datacenter(datacenter) => {
            checker.name(spec(&["standbyFor"]), "spec.standbyFor", "datacenter", &known.datacenters);
            if datacenter.spec.standby_for.as_ref() == Some(datacenter.name())
                && let Some(node) = spec(&["standbyFor"])
            {
                let message = "a datacenter cannot stand by for itself";
                checker.findings.error(node.at, "invalid-value", "spec.standbyFor", message);
            }
        }
        Object::Environment(environment) => {
            if environment.spec.restorable
                && environment.name().as_str() == "production"
                && let Some(node) = spec(&["restorable"])
            {
                let message = "databases of `production` are never restored over what they hold";
                let help = "leave the field out";
                checker
                    .findings
                    .error_help(node.at, "invalid-value", "spec.restorable", message, help);
            }
            checker.keys(spec(&["datacenters"]), "spec.datacenters", "datacenter", &known.datacenters);
            checker.keys(spec(&["apps"]), "spec.apps", "app", &known.apps);
        }
        Object::Role(role) => {
            checker.names(spec(&["roles"]), "spec.roles", "role", &roles);
            for (index, within) in spec(&["roles"]).into_iter().flat_map(Node::items).enumerate() {
                let Some(way) = within.text().and_then(|first| known.circle(role.name().as_str(), first)) else {
                    continue;
                };
                let message = format!(
                    "roles include each other in a circle: {} -> {}",
                    role.name(),
                    way.join(" -> ")
                );
                checker
                    .findings
                    .error(within.at, "circle", &format!("spec.roles[{index}]"), message);
            }
            if let Some(recipes) = &known.recipes {
                for (index, recipe) in spec(&["recipes"]).into_iter().flat_map(Node::items).enumerate() {
                    checker.name(recipe.get("name"), &format!("spec.recipes[{index}].name"), "recipe", recipes);
                }
            }
        }
    }
}

struct Checker<'f, 's> {
    findings: &'f mut Findings<'s>,
}

impl Checker<'_, '_> {
    fn name(&mut self, node: Option<&Node>, path: &str, what: &str, known: &BTreeSet<String>) {
        if let Some(node) = node
            && let Some(name) = node.text()
        {
            self.one(node.at, name, path, what, known);
        }
    }

    fn names(&mut self, list: Option<&Node>, path: &str, what: &str, known: &BTreeSet<String>) {
        for (index, item) in list.into_iter().flat_map(Node::items).enumerate() {
            self.name(Some(item), &format!("{path}[{index}]"), what, known);
        }
    }

    fn keys(&mut self, map: Option<&Node>, path: &str, what: &str, known: &BTreeSet<String>) {
        for (key, _) in map.into_iter().flat_map(Node::entries) {
            self.one(key.at, &key.name, &format!("{path}.{}", key.name), what, known);
        }
    }

    fn one(&mut self, at: usize, name: &str, path: &str, what: &str, known: &BTreeSet<String>) {
        if known.contains(name) {
            return;
        }
        let all: Vec<&str> = known.iter().map(String::as_str).collect();
        let help = did_you_mean(name, all.iter().copied()).unwrap_or_else(|| {
            let some: Vec<&str> = all.iter().copied().take(12).collect();
            choices(&some)
        });
        self.findings
            .error_help(at, "unknown-name", path, format!("there is no {what} `{name}`"), help);
    }
}
