//! What the shape of a descriptor cannot say: fields that depend on each other, names that must exist, templates.

use crate::recipes::shape::{choices, join};
use crate::recipes::template::{self, Known};
use crate::recipes::tree::{Findings, Kind, Node, did_you_mean, shown};
use std::collections::BTreeSet;

/// Checks a tree whose shape may have errors: what is missing is skipped here, for it was reported before.
pub fn check(tree: &Node, findings: &mut Findings<'_>) {
    let Some(spec) = tree.get("spec") else { return };
    dependencies(tree, spec, findings);
    recipes(spec, findings);
    probes(spec, findings);
    variables(spec, findings);
    resources(spec, findings);
    templates(spec, findings);
    if spec.get("processes").is_none_or(|p| p.entries().is_empty()) && !spec.get("ports").is_none_or(|p| p.entries().is_empty()) {
        let at = spec.get("ports").map_or(spec.at, |p| p.key_at);
        findings.warning(
            at,
            "nothing-listens",
            "spec.ports",
            "the app has ports but no process that could listen on them",
            "add `processes`, or leave `ports` out where a recipe serves them",
        );
    }
}

fn names<'a>(spec: &'a Node, field: &str) -> Vec<&'a str> {
    spec.get(field)
        .map(|node| node.entries().iter().map(|(k, _)| k.name.as_str()).collect())
        .unwrap_or_default()
}

fn dependencies(tree: &Node, spec: &Node, findings: &mut Findings<'_>) {
    let own = tree.at_path(&["metadata", "name"]).and_then(Node::text);
    let mut seen = BTreeSet::new();
    let Some(list) = spec.get("dependsOn") else { return };
    for (index, item) in list.items().iter().enumerate() {
        let path = format!("spec.dependsOn[{index}]");
        if item.text().is_some() {
            continue;
        }
        let Some(app) = item.get("app") else { continue };
        let Some(name) = app.text() else { continue };
        if Some(name) == own {
            findings.error(
                app.at,
                "dependency-cycle",
                &path,
                format!("{} depends on itself", shown(name)),
            );
        }
        if !seen.insert(name) {
            findings.error(app.at, "duplicate-value", &path, format!("{} is listed twice", shown(name)));
        }
    }
}

fn recipes(spec: &Node, findings: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    let Some(list) = spec.get("recipes") else { return };
    for (index, item) in list.items().iter().enumerate() {
        let Some(node) = item.get("name") else { continue };
        let Some(name) = node.text() else { continue };
        if !seen.insert(name) {
            let path = format!("spec.recipes[{index}].name");
            findings.error(
                node.at,
                "duplicate-value",
                &path,
                format!("the recipe {} is listed twice", shown(name)),
            );
        }
    }
}

fn probes(spec: &Node, findings: &mut Findings<'_>) {
    let ports = names(spec, "ports");
    let protocol = |name: &str| {
        spec.at_path(&["ports", name, "protocol"])
            .and_then(Node::text)
            .unwrap_or("http")
    };
    if let Some(probe) = spec.get("readinessProbe") {
        let path = "spec.readinessProbe";
        if !probe.entries().is_empty() && probe.get("httpGet").is_some() == probe.get("exec").is_some() {
            let message = "exactly one of `httpGet` and `exec` is needed";
            findings.error(probe.key_at, "invalid-probe", path, message);
        }
        if let Some(get) = probe.get("httpGet") {
            page(get, &ports, protocol, "spec.readinessProbe.httpGet", findings);
        }
        if spec.get("processes").is_none_or(|p| p.entries().is_empty()) {
            let message = "the probe has no process to ask: the app has no `processes`";
            findings.error(probe.key_at, "invalid-probe", path, message);
        }
    }
    if let Some(checks) = spec.get("checks") {
        for (index, item) in checks.items().iter().enumerate() {
            if let Some(get) = item.get("httpGet") {
                page(get, &ports, protocol, &format!("spec.checks[{index}].httpGet"), findings);
            }
        }
    }
}

fn page<'a>(get: &Node, ports: &[&str], protocol: impl Fn(&str) -> &'a str, path: &str, findings: &mut Findings<'_>) {
    let Some(node) = get.get("port") else {
        if ports.is_empty() && get.get("path").is_some() {
            let message = "a page is asked of a port, but the app has no `ports`";
            findings.error_help(
                get.key_at,
                "unknown-port",
                path,
                message,
                "add `\"ports\": {\"web\": {}}` to `spec`",
            );
        }
        return;
    };
    let Some(name) = node.text() else { return };
    let path = join(path, "port");
    if !ports.contains(&name) {
        let message = format!("there is no port {} in `spec.ports`", shown(name));
        let help = did_you_mean(name, ports.iter().copied()).unwrap_or_else(|| choices(ports));
        findings.error_help(node.at, "unknown-port", &path, message, help);
    } else if protocol(name) != "http" {
        let message = format!("the port {} does not speak http", shown(name));
        findings.error(node.at, "unknown-port", &path, message);
    }
}

fn variables(spec: &Node, findings: &mut Findings<'_>) {
    let Some(env) = spec.get("env") else { return };
    for (key, variable) in env.entries() {
        if !matches!(variable.kind, Kind::Map(_)) {
            continue;
        }
        let path = join("spec.env", &key.name);
        let has = |field: &str| variable.get(field).is_some();
        let secret = variable.get("secret").is_some_and(Node::is_true);
        if secret && !has("stagingValue") && !has("generator") {
            let message = format!("the secret {} has no value for staging", shown(&key.name));
            let help = "add `\"generator\": \"secret\"` to make one up for each stack, or a `stagingValue`";
            findings.error_help(key.at, "secret-without-value", &path, message, help);
        }
        if secret && has("value") {
            let message = format!("the secret {} has a value in clear", shown(&key.name));
            let help =
                "remove `value`; give production's through its secret store and staging's as `stagingValue` or `generator`";
            findings.error_help(key.at, "secret-in-clear", &path, message, help);
        }
        if has("generator") && !secret {
            let message = format!("{} is generated but not a secret", shown(&key.name));
            findings.error_help(key.at, "generator-without-secret", &path, message, "add `\"secret\": true`");
        }
        if has("generator") && has("stagingValue") {
            let message = format!("{} has both `generator` and `stagingValue`", shown(&key.name));
            findings.error_help(key.at, "ambiguous-value", &path, message, "keep one of them");
        }
        if !secret && !has("value") && !has("stagingValue") && !has("generator") {
            let message = format!("{} has no value", shown(&key.name));
            findings.error_help(
                key.at,
                "variable-without-value",
                &path,
                message,
                "add `value`, or `stagingValue`",
            );
        }
    }
}

fn resources(spec: &Node, findings: &mut Findings<'_>) {
    let Some(all) = spec.get("resources") else { return };
    for (key, resource) in all.entries() {
        let Some(data) = resource.get("data") else { continue };
        let Some(default) = data.get("default") else { continue };
        if default.text() == Some("fixture") && data.get("fixture").is_none() {
            let path = format!("spec.resources.{}.data.default", key.name);
            let message = "the default is `fixture`, but there is no `fixture` file";
            findings.error_help(
                default.at,
                "fixture-missing",
                &path,
                message,
                "name the SQL file in `fixture`",
            );
        }
    }
}

fn templates(spec: &Node, findings: &mut Findings<'_>) {
    let known = Known {
        ports: names(spec, "ports"),
        resources: names(spec, "resources"),
        deps: spec
            .get("dependsOn")
            .map(|list| list.items().iter().filter_map(|item| item.get("app")?.text()).collect())
            .unwrap_or_default(),
    };
    let mut one = |node: &Node, path: &str| {
        let Some(text) = node.text() else { return };
        for problem in template::check_value(text, &known) {
            match problem.help {
                Some(help) => findings.error_help(node.at, problem.code, path, problem.message, help),
                None => findings.error(node.at, problem.code, path, problem.message),
            }
        }
    };
    if let Some(env) = spec.get("env") {
        for (key, variable) in env.entries() {
            for field in ["value", "stagingValue"] {
                if let Some(node) = variable.get(field) {
                    one(node, &format!("spec.env.{}.{field}", key.name));
                }
            }
        }
    }
    for field in ["processes", "schedules"] {
        let Some(all) = spec.get(field) else { continue };
        for (key, item) in all.entries() {
            let Some(command) = item.get("command") else { continue };
            for (index, argument) in command.items().iter().enumerate() {
                one(argument, &format!("spec.{field}.{}.command[{index}]", key.name));
            }
        }
    }
    let build = spec.at_path(&["build", "command"]).map(|c| (c, "spec.build.command"));
    let probe = spec
        .at_path(&["readinessProbe", "exec"])
        .map(|c| (c, "spec.readinessProbe.exec"));
    for (command, path) in build.into_iter().chain(probe) {
        for (index, argument) in command.items().iter().enumerate() {
            one(argument, &format!("{path}[{index}]"));
        }
    }
}
