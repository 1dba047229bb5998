//! The commands that need no server, as a person sees them.

use super::document;
use clap::Parser as _;
use greenroom::cli::app_check::{ValidateArgs, schema, validate};
use greenroom::cli::recipe::{RecipeCommand, run};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(clap::Parser)]
struct Recipe {
    #[command(subcommand)]
    command: RecipeCommand,
}

fn recipe(args: &[&str]) -> (bool, String) {
    let parsed = Recipe::parse_from(std::iter::once("recipe").chain(args.iter().copied()));
    let mut out = Vec::new();
    let ok = run(&parsed.command, &mut out).unwrap();
    (ok, String::from_utf8(out).unwrap())
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_shipped_recipes_check_clean_and_are_listed() {
    assert_eq!(recipe(&["check"]), (true, "no findings\n".to_owned()));
    let (ok, text) = recipe(&["list"]);
    assert!(ok && text.contains("python-app\n    A Python app."), "{text}");
    let (_, text) = recipe(&["list", "--json"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    assert!(all.as_array().unwrap().iter().any(|r| r["name"] == "static-site"));
}

#[test]
fn check_reads_folders_recipes_and_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let recipes = folder.path().join("recipes");
    std::fs::create_dir(&recipes).unwrap();
    write(
        &recipes,
        "ours.yaml",
        "recipe: ours\ndescription: x\nstates:\n  - execute: {command: [make]}\n",
    );
    let app = write(
        folder.path(),
        "shop.json",
        &document("shop", json!({"recipes": [{"name": "ours"}]})).to_string(),
    );
    let (ok, text) = recipe(&["check", recipes.to_str().unwrap(), app.to_str().unwrap()]);
    assert!(
        ok && text.contains("warning[unguarded-execute]") && text.ends_with("0 errors, 1 warning\n"),
        "{text}"
    );
    let (ok, text) = recipe(&["check", "--json", folder.path().join("nothing").to_str().unwrap()]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(!ok && answer["diagnostics"][0]["code"] == "unreadable", "{text}");
}

#[test]
fn render_prints_the_configuration_or_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let app = write(folder.path(), "shop.json", &document("shop", json!({})).to_string());
    let (ok, text) = recipe(&["render", "--app", app.to_str().unwrap()]);
    let configuration: Value = serde_json::from_str(&text).unwrap();
    assert!(ok && configuration["states"].as_array().unwrap().len() > 5);
    let broken = write(
        folder.path(),
        "broken.json",
        &document("shop", json!({"owners": null})).to_string(),
    );
    let (ok, text) = recipe(&["render", "--app", broken.to_str().unwrap()]);
    assert!(!ok && text.contains("error[missing-field]"), "{text}");
    let view = write(folder.path(), "view.json", "{\"node\": 1}");
    let (ok, text) = recipe(&["render", "--app", app.to_str().unwrap(), "--view", view.to_str().unwrap()]);
    assert!(!ok && text.contains("error[view-invalid]"), "{text}");
}

#[test]
fn validate_checks_files_together_and_forgives_what_only_the_server_knows() {
    let folder = tempfile::tempdir().unwrap();
    let shop = document(
        "shop",
        json!({"dependsOn": [{"app": "catalog"}], "env": {"C": {"value": "{{ deps.catalog.url }}"}}}),
    );
    let shop = write(folder.path(), "shop.json", &shop.to_string());
    let catalog = write(folder.path(), "catalog.json", &document("catalog", json!({})).to_string());
    let check = |files: Vec<PathBuf>| {
        let mut out = Vec::new();
        let args = ValidateArgs {
            files,
            recipes: None,
            json: false,
        };
        (validate(&args, &mut out).unwrap(), String::from_utf8(out).unwrap())
    };
    let (ok, text) = check(vec![shop.clone()]);
    assert!(ok && text.contains("warning[dependency-missing]"), "{text}");
    assert_eq!(check(vec![shop, catalog]), (true, "no findings\n".to_owned()));
    let mut out = Vec::new();
    schema(&mut out).unwrap();
    assert!(serde_json::from_slice::<Value>(&out).unwrap()["properties"].is_object());
}
