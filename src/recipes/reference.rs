//! The reference of recipes as Markdown, out of the same tables that check them.

use super::bundle::Bundle;
use super::shape::{Field, Record, Shape, listed};
use super::{template, types};
use std::fmt::Write as _;

/// Everything that can be written in a recipe, and the recipes of a bundle.
pub fn markdown(bundle: &Bundle) -> String {
    let mut text = String::from(
        "# Recipes\n\n\
         A recipe is a YAML file of typed states that should be true on a node, in written order. The same recipes build\n\
         staging and production. This page is made by `greenroom recipe types` from the tables that check recipes.\n",
    );
    library(bundle, &mut text);
    language(&mut text);
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
            "deps" => "each app it needs: `url`, `host`, `port`, `ports`".to_owned(),
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
