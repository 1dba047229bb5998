//! The reference of recipes as Markdown, out of the same tables that check them.

use super::bundle::Bundle;
use super::shape::{Field, Record, Shape, listed};
use super::values::LayerKind;
use super::{template, types};
use std::fmt::Write as _;

const TRYING: &str = "
## Trying a recipe

`greenroom recipe check FOLDER` finds what is wrong in recipes, all of it at once, with file, line and column. On a machine of your
own, without a server, `greenroom recipe apply NAME --recipes FOLDER --set NAME.port=8080 --plan` says what would change; without
`--plan` it is changed, by the agent that servers run. The exit code is 0 where nothing changed, 2 where something did, 4 where it
failed and 6 for both. `greenroom recipe render` prints what other targets are given.
";

/// Everything that can be written in a recipe, and the recipes of a bundle.
pub fn markdown(bundle: &Bundle) -> String {
    let mut text = String::from(
        "# Recipes\n\n\
         A recipe is a YAML file of typed states that should be true on a node, in written order. The same recipes build\n\
         staging and production. This page is made by `greenroom recipe types` from the tables that check recipes.\n",
    );
    text.push_str(TRYING);
    library(bundle, &mut text);
    language(&mut text);
    values(&mut text);
    lint(&mut text);
    text.push_str("\n## A recipe file\n\n");
    table(types::RECIPE.fields, &mut text);
    text.push_str("\nEach parameter under `params`:\n\n");
    table(types::PARAM.fields, &mut text);
    text.push_str("\nAn include, where more than its name is given:\n\n");
    table(types::INCLUDE.fields, &mut text);
    text.push_str("\n## Properties of every state\n\n");
    table(types::COMMON, &mut text);
    text.push_str("\n## State types\n");
    for record in types::STATES {
        let _ = write!(text, "\n### {}\n\n{}.\n\n", record.name, record.doc);
        table(record.fields, &mut text);
        for field in record.fields {
            if let Some(inner) = inner_record(&field.shape) {
                let _ = write!(text, "\nWithin `{}`:\n\n", field.name);
                table(inner.fields, &mut text);
            }
        }
    }
    text
}

fn library(bundle: &Bundle, text: &mut String) {
    text.push_str("\n## Shipped recipes\n\n| recipe | what it does | parameters |\n|---|---|---|\n");
    for recipe in bundle.recipes() {
        let params: Vec<String> = recipe
            .params
            .iter()
            .map(|p| {
                format!(
                    "`{}` ({}{})",
                    p.name,
                    p.kind,
                    if p.default.is_none() { ", required" } else { "" }
                )
            })
            .collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            recipe.name,
            recipe.description.replace('\n', " "),
            params.join(", ")
        );
    }
}

fn language(text: &mut String) {
    text.push_str(
        "\n## Templates\n\n\
         Every text may hold `{{ … }}`. A text that is one expression and nothing else keeps the type of its value, so\n\
         `command: \"{{ process.command }}\"` is a list. A property whose value is none counts as left out. What is not\n\
         defined is an error. A value that starts with `{{` must be in quotes, for YAML reads `{` as a map. A name with a\n\
         dash is written with an underscore: `deps.catalog_api.url`.\n\n\
         | namespace | what is in it |\n|---|---|\n",
    );
    for name in template::RECIPE_NAMESPACES {
        let what = match *name {
            "app" => "`name`, `title`, `description`, `type`, `env`, `build` (`command`, `artifact`, `timeout`), `processes` (each `name`, `service`, `command`, `ready`, `cwd`), `databases` (each `name`, `schema`, `fixture`)".to_owned(),
            "deps" => "each app it needs, as it is reached from here: `url`, `host`, `port`, `ports`, `hosts` (all, the nearest first)".to_owned(),
            "dc" => "`name`, `standby_for`: the datacenter; a stack's node may have none".to_owned(),
            "facts" => "what the node reported of itself, such as `facts.machine.os`".to_owned(),
            "values" => "the values of all layers, merged; see below".to_owned(),
            "secrets" => "the app's secrets by name, for `env` only: they travel by reference".to_owned(),
            "resources" => "each of its databases: `engine`, `url`, and `path` (sqlite) or `host`, `port`, `database`, `user`, `password` (postgres)".to_owned(),
            "ports" => "each of its ports as a number".to_owned(),
            "params" => "the recipe's parameters".to_owned(),
            "release" => "`commit`, `revision`, `repository`, `root` (the checkout), `dir` (the app's folder in it)".to_owned(),
            other => template::NAMESPACES
                .iter()
                .find(|(name, _)| *name == other)
                .map(|(_, properties)| properties.iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", "))
                .unwrap_or_default(),
        };
        let _ = writeln!(text, "| `{name}` | {what} |");
    }
    text.push_str(
        "\n`search(\"role:web AND datacenter:\" ~ dc.name)` gives the nodes that a query finds, sorted by name, at most 1,000; a\n\
         second argument is another kind than `node`. The configuration remembers the question, and is compiled again when\n\
         the answer changes. Templates have fuel and may make at most 1 MiB of text, so none runs for ever or eats memory.\n\n\
         ## Secrets\n\n\
         A secret is named, never written: `{secret: NAME}` as a value of `env` or as a `password`. An app names its own, such as\n\
         `shop/env/SESSION_KEY`; a stack makes those up, and for nodes of the inventory people give them with `greenroom secret set NAME\n\
         --environment production < FILE`. The recipes of a role may name any secret that people gave. The server keeps values sealed\n\
         and hands one only to a node whose configuration names it, at the moment of use; no configuration, log, report or plan\n\
         shows it.\n\n\
         ## Only looking\n\n\
         `audit: true` on a state, in a node's `spec`, or `--audit` of its agent: what differs is reported, as changed from outside\n\
         (`corrective`) or newly wanted (`intentional`), and left as it is.\n",
    );
}

// The one order of precedence, and how layers become one.
fn values(text: &mut String) {
    text.push_str(
        "\n## Values\n\n\
         Whatever differs between places is a value, never a condition in a recipe. Values come in layers; a later layer wins:\n\n",
    );
    for (index, kind) in LayerKind::ALL.iter().enumerate() {
        let place = match kind {
            LayerKind::RecipeDefault => "`default` of a parameter",
            LayerKind::Organisation => "the file `values.yaml` beside the organisation's recipes",
            LayerKind::App => "`spec.values` and `spec.recipes[].with` of the descriptor",
            LayerKind::Role => "`spec.values` and `spec.recipes[].with` of each role; of several, the later in the run list wins",
            LayerKind::Datacenter => "`spec.values` of the datacenter",
            LayerKind::Environment => "`spec.values` of the environment",
            LayerKind::EnvironmentDatacenter => "`spec.datacenters.NAME.values` of the environment",
            LayerKind::AppEnvironment => "`spec.apps.NAME.values` of the environment",
            LayerKind::Node => "`spec.values` of the node",
            LayerKind::Run => "given for one run only",
        };
        let _ = writeln!(text, "{}. {}: {place}", index + 1, kind.title());
    }
    text.push_str(
        "\nMaps merge deeply, lists are replaced, and `+name` appends to the list `name`. Values under a recipe's name are its\n\
         parameters: `nginx: {workers: 8}` sets the parameter `workers` of the recipe `nginx`, unless an include gives it under\n\
         `with`. All values are in `values`. `greenroom node explain NODE nginx.workers` tells which layer, object and line gave\n\
         a value, and what it overrode.\n",
    );
}

fn lint(text: &mut String) {
    text.push_str("\n## What `greenroom recipe check` warns of\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in super::lint::CODES {
        let _ = writeln!(text, "| `{code}` | {meaning} |");
    }
}

fn table(fields: &[Field], text: &mut String) {
    text.push_str("| property | value | meaning |\n|---|---|---|\n");
    for field in fields {
        let need = if field.required { ", required" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {}{need} | {} |",
            field.name,
            value(&field.shape),
            field.doc.replace('|', "\\|")
        );
    }
}

fn value(shape: &Shape) -> String {
    match shape {
        Shape::Text(rule) => rule.what.to_owned(),
        Shape::Choice(words) => listed(words).replace(" and ", " or "),
        Shape::Bool => "true or false".to_owned(),
        Shape::Integer { .. } => "a whole number".to_owned(),
        Shape::List { of, .. } => match **of {
            Shape::OneKey(_) => "a list of states".to_owned(),
            ref item => format!("a list, each {}", value(item)),
        },
        Shape::Map { of, .. } => format!("a map, each {}", value(of)),
        Shape::Record(record) => format!("{} {}", article(record.name), record.name),
        Shape::OneKey(_) => "a state".to_owned(),
        Shape::Either(a, b) if matches!(**b, Shape::Any) => value(a),
        Shape::Either(a, b) => format!("{} or {}", value(a), value(b)),
        Shape::Any => "anything".to_owned(),
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" }
}

fn inner_record(shape: &Shape) -> Option<&'static Record> {
    match shape {
        Shape::Record(record) => Some(record),
        Shape::Either(_, other) => inner_record(other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_beside_the_recipes_is_the_generated_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/README.md");
        let made = markdown(&Bundle::shipped());
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stored == made,
            "recipes/README.md is old: run this test with UPDATE_REFERENCE=1"
        );
    }
}
