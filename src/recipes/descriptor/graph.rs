//! How apps fit together: what is missing, what goes in a circle, and in which order they start.

use crate::model::descriptor::Descriptor;
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::fault::Fault;
use crate::model::name::AppName;
use crate::recipes::bundle::Bundle;
use crate::recipes::compile_example;
use crate::recipes::json;
use crate::recipes::tree::{Findings, Node, did_you_mean, read_text};
use crate::recipes::view::View;
use std::collections::{BTreeMap, BTreeSet};

/// What a valid descriptor would break among the others, each finding at its place in the text: missing dependencies,
/// circles, recipes that are not there or do not take its parameters, and whatever a trial compile finds. `others` may
/// hold the app's present descriptor; it is looked at as if replaced.
pub fn check_graph(
    file: &str,
    text: &[u8],
    new: &Descriptor,
    others: &BTreeMap<AppName, &Descriptor>,
    bundle: &Bundle,
) -> Vec<Diagnostic> {
    let Ok(source) = read_text(file, text, super::MAX_BYTES) else {
        return Vec::new();
    };
    let mut findings = Findings::new(&source);
    let Some(tree) = json::parse(&source, &mut findings) else {
        return findings.finish();
    };
    let mut all = others.clone();
    all.insert(new.name().clone(), new);
    for (index, dependency) in new.spec.depends_on.iter().enumerate() {
        if !dependency.optional && !all.contains_key(&dependency.app) {
            let path = format!("spec.dependsOn[{index}].app");
            let fault = missing_fault(new, &dependency.app, &all);
            let help = if fault.why.is_empty() { fault.next } else { fault.why };
            findings.error_help(place(&tree, &path), "dependency-missing", &path, fault.what, help);
        }
    }
    if let Some(circle) = Walk::new(&all, None).visit(new.name()) {
        let fault = in_a_circle(&circle);
        let at = place(&tree, "spec.dependsOn");
        findings.error_help(at, "dependency-cycle", "spec.dependsOn", fault.to_string(), fault.next);
    }
    let mut diagnostics = Vec::new();
    let own = format!("{}.json", new.name());
    let trial = compile_example(bundle, View::example(new, &all));
    for found in trial.map_or_else(|found| found, |compiled| compiled.warnings) {
        if found.file == own {
            let at = place(&tree, &found.path);
            let mut moved = source.diagnostic(found.severity, at, &found.code, &found.path, found.message);
            moved.help = found.help;
            diagnostics.push(moved);
        } else if found.severity == Severity::Error {
            diagnostics.push(found);
        }
    }
    let mut all = findings.finish();
    all.extend(diagnostics);
    all
}

/// A finding about the name that a descriptor has, at its place in the text.
pub fn about_name(file: &str, text: &[u8], message: String, help: &str) -> Option<Diagnostic> {
    let source = read_text(file, text, super::MAX_BYTES).ok()?;
    let path = "metadata.name";
    let mut findings = Findings::new(&source);
    let at = place(&json::parse(&source, &mut findings)?, path);
    findings.error_help(at, "wrong-name", path, message, help);
    findings.finish().pop()
}

// Where the value of a path such as `spec.recipes[0].name` starts; the nearest value above it where it is not there.
fn place(tree: &Node, path: &str) -> usize {
    let mut node = tree;
    for part in path.split('.') {
        let (name, index) = part.split_once('[').map_or((part, None), |(name, rest)| {
            (name, rest.trim_end_matches(']').parse::<usize>().ok())
        });
        let Some(next) = node.get(name) else { break };
        node = index.and_then(|i| next.items().get(i)).unwrap_or(next);
    }
    node.at
}

/// The chosen apps and all they need, each after what it needs. An optional dependency is taken only where it was chosen.
/// The same choice always gives the same order.
///
/// # Errors
/// `not-found`, `dependency-missing` or `dependency-cycle`.
pub fn dependency_order(chosen: &[AppName], all: &BTreeMap<AppName, &Descriptor>) -> Result<Vec<AppName>, Fault> {
    let mut wanted: BTreeSet<AppName> = BTreeSet::new();
    let mut open: Vec<AppName> = chosen.to_vec();
    while let Some(name) = open.pop() {
        let Some(descriptor) = all.get(&name) else {
            return Err(Fault::new("not-found", format!("There is no app {name}")));
        };
        if !wanted.insert(name) {
            continue;
        }
        if let Some(fault) = missing(descriptor, all).into_iter().next() {
            return Err(fault);
        }
        open.extend(required(descriptor).cloned());
    }
    let mut walk = Walk::new(all, Some(&wanted));
    for name in &wanted {
        if let Some(circle) = walk.visit(name) {
            return Err(in_a_circle(&circle));
        }
    }
    Ok(walk.done)
}

fn required(descriptor: &Descriptor) -> impl Iterator<Item = &AppName> {
    descriptor.spec.depends_on.iter().filter(|d| !d.optional).map(|d| &d.app)
}

fn missing(descriptor: &Descriptor, all: &BTreeMap<AppName, &Descriptor>) -> Vec<Fault> {
    required(descriptor)
        .filter(|app| !all.contains_key(*app))
        .map(|app| missing_fault(descriptor, app, all))
        .collect()
}

fn missing_fault(descriptor: &Descriptor, app: &AppName, all: &BTreeMap<AppName, &Descriptor>) -> Fault {
    let what = format!("{} depends on {app}, which is not registered", descriptor.name());
    match did_you_mean(app.as_str(), all.keys().map(AppName::as_str)) {
        Some(help) => Fault::new("dependency-missing", what).why(help),
        None => Fault::new("dependency-missing", what),
    }
}

fn in_a_circle(circle: &[AppName]) -> Fault {
    let path: Vec<&str> = circle.iter().map(AppName::as_str).collect();
    Fault::new("dependency-cycle", "The dependencies go in a circle").why(path.join(" → "))
}

// Depth first with an explicit stack: a chain of thousands of apps is as safe as a short one.
struct Walk<'a> {
    all: &'a BTreeMap<AppName, &'a Descriptor>,
    within: Option<&'a BTreeSet<AppName>>,
    seen: BTreeSet<AppName>,
    done: Vec<AppName>,
}

impl<'a> Walk<'a> {
    fn new(all: &'a BTreeMap<AppName, &'a Descriptor>, within: Option<&'a BTreeSet<AppName>>) -> Self {
        Self {
            all,
            within,
            seen: BTreeSet::new(),
            done: Vec::new(),
        }
    }

    fn needs(&self, name: &AppName) -> Vec<AppName> {
        let mut needs: Vec<AppName> = self
            .all
            .get(name)
            .map(|d| d.spec.depends_on.iter().map(|dep| dep.app.clone()).collect())
            .unwrap_or_default();
        needs.retain(|app| self.all.contains_key(app) && self.within.is_none_or(|set| set.contains(app)));
        needs.sort();
        needs.reverse();
        needs
    }

    fn visit(&mut self, start: &AppName) -> Option<Vec<AppName>> {
        if !self.seen.insert(start.clone()) {
            return None;
        }
        let mut stack = vec![(start.clone(), self.needs(start))];
        while let Some((_, needs)) = stack.last_mut() {
            match needs.pop() {
                Some(next) => {
                    if let Some(from) = stack.iter().position(|(name, _)| *name == next) {
                        let mut circle: Vec<AppName> = stack[from..].iter().map(|(name, _)| name.clone()).collect();
                        circle.push(next);
                        return Some(circle);
                    }
                    if self.seen.insert(next.clone()) {
                        let needs = self.needs(&next);
                        stack.push((next, needs));
                    }
                }
                None => {
                    if let Some((name, _)) = stack.pop() {
                        self.done.push(name);
                    }
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str, needs: &[&str]) -> Descriptor {
        let depends: Vec<serde_json::Value> = needs
            .iter()
            .map(|n| serde_json::json!({"app": n.trim_end_matches('?'), "optional": n.ends_with('?')}))
            .collect();
        serde_json::from_value(serde_json::json!({
            "apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": name},
            "spec": {"type": "service", "owners": {"dev": "a", "ops": "b"}, "repository": "/srv/git/x",
                     "recipes": [{"name": "command-app"}], "dependsOn": depends}
        }))
        .unwrap()
    }

    fn map(apps: &[Descriptor]) -> BTreeMap<AppName, &Descriptor> {
        apps.iter().map(|d| (d.name().clone(), d)).collect()
    }

    fn order(apps: &[Descriptor], chosen: &[&str]) -> Result<Vec<String>, String> {
        let chosen: Vec<AppName> = chosen.iter().map(|n| n.parse().unwrap()).collect();
        dependency_order(&chosen, &map(apps))
            .map(|names| names.into_iter().map(String::from).collect())
            .map_err(|f| f.to_string())
    }

    #[test]
    fn dependencies_come_first_and_nothing_else_comes() {
        let apps = [
            app("shop", &["catalog", "reviews"]),
            app("reviews", &["catalog"]),
            app("catalog", &[]),
            app("other", &[]),
        ];
        assert_eq!(order(&apps, &["shop"]).unwrap(), ["catalog", "reviews", "shop"]);
    }

    #[test]
    fn an_optional_dependency_comes_only_where_it_is_chosen_and_then_first() {
        let apps = [app("shop", &["mailer?"]), app("mailer", &[])];
        assert_eq!(order(&apps, &["shop"]).unwrap(), ["shop"]);
        assert_eq!(order(&apps, &["shop", "mailer"]).unwrap(), ["mailer", "shop"]);
    }

    #[test]
    fn a_circle_is_named_and_a_missing_app_too() {
        let apps = [app("aa", &["bb"]), app("bb", &["cc"]), app("cc", &["aa"])];
        let text = serde_json::to_string_pretty(&apps[0]).unwrap();
        let found = check_graph("aa.json", text.as_bytes(), &apps[0], &map(&apps[1..]), &Bundle::shipped());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].message.contains("aa → bb → cc → aa") && found[0].line > 1,
            "{}",
            found[0]
        );
        assert!(order(&apps, &["bb"]).unwrap_err().contains("aa → bb → cc → aa"));
        let lonely = app("shop", &["catalogue"]);
        let others = [app("catalog", &[])];
        let text = serde_json::to_string_pretty(&lonely).unwrap();
        let found = check_graph("shop.json", text.as_bytes(), &lonely, &map(&others), &Bundle::shipped());
        assert_eq!(found[0].help.as_deref(), Some("did you mean `catalog`?"));
    }
}
