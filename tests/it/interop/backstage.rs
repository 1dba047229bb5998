//! Backstage's catalogue, out and in.

use greenroom::recipes::backstage::{Defaults, Imported, export, import};
use greenroom::recipes::descriptor;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

fn app(name: &str, more: &str) -> String {
    format!(
        r#"{{"apiVersion": "greenroom/v1", "kind": "App", "metadata": {{"name": "{name}", "title": "The {name}", "tags": ["books"]}},
        "spec": {{"type": "service", "owners": {{"dev": "team-a", "ops": "night shift"}}, "repository": "https://example.org/{name}.git",
        "system": "Book Shop", "defaultRef": "trunk", "recipes": [{{"name": "python-app"}}],
        "processes": {{"web": {{"command": ["python3", "app.py"]}}}}{more}}}}}"#
    )
}

#[test]
fn an_exported_app_comes_back_as_what_it_was() {
    let shop = app(
        "shop",
        r#", "dependsOn": [{"app": "stock"}], "resources": {"db": {"type": "sqlite"}}"#,
    );
    let texts = [shop, app("stock", "")];
    let apps: Vec<_> = texts
        .iter()
        .map(|text| descriptor::parse("app.json", text.as_bytes()).0.expect("a good descriptor"))
        .collect();
    let catalogue = export(apps.iter(), "https://greenroom.example.org");
    for part in [
        "component:default/stock",
        "resource:default/shop-db",
        "group:default/team-a",
        "\"Book-Shop\"",
    ] {
        assert!(catalogue.contains(part), "{part} in\n{catalogue}");
    }
    let imported = import(&catalogue, &Defaults::default()).unwrap();
    let apps_back: Vec<_> = imported
        .iter()
        .filter_map(|one| match one {
            Imported::App { name, text, findings } => Some((name.as_str(), text, findings)),
            Imported::Skipped { .. } => None,
        })
        .collect();
    assert_eq!(apps_back.len(), 2);
    let (back, findings) = descriptor::parse("shop.json", apps_back[0].1.as_bytes());
    let back = back.unwrap_or_else(|| panic!("{findings:?}"));
    assert_eq!(back.metadata.title, apps[0].metadata.title);
    assert_eq!(back.spec.owners, apps[0].spec.owners);
    assert_eq!(back.spec.repository, apps[0].spec.repository);
    assert_eq!(back.spec.default_ref, "trunk");
    assert_eq!(back.spec.depends_on, apps[0].spec.depends_on);
    assert_eq!(back.spec.recipes[0].name, "python-app");
}

const CATALOGUE: &str = "\
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: Artist_Web
  description: The place to be
  annotations:
    github.com/project-slug: example/artist-web
spec: {type: website, lifecycle: production, owner: 'group:default/artists', dependsOn: ['component:default/albums', 'resource:default/db']}
---
apiVersion: backstage.io/v1alpha1
kind: API
metadata: {name: albums-api}
spec: {type: openapi, lifecycle: production, owner: artists, definition: x}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: nowhere}
spec: {type: service, lifecycle: production, owner: artists}
";

#[test]
fn the_command_writes_a_descriptor_an_app_and_says_what_it_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog-info.yaml");
    std::fs::write(&file, CATALOGUE).unwrap();
    let go = || {
        Command::new(env!("CARGO_BIN_EXE_greenroom"))
            .args([
                "inventory",
                "import-backstage",
                "catalog-info.yaml",
                "--out",
                "apps",
                "--ops-owner",
                "ops",
            ])
            .args(["--recipe", "static-site"])
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    let first = go();
    let said = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(said.contains("wrote    apps/artist-web.json"), "{said}");
    assert!(
        said.contains("skipped  API albums-api") && said.contains("skipped  Component nowhere"),
        "{said}"
    );
    let text = std::fs::read(folder.path().join("apps/artist-web.json")).unwrap();
    let (app, findings) = descriptor::parse("artist-web.json", &text);
    let app = app.unwrap_or_else(|| panic!("{findings:?}"));
    assert_eq!(app.spec.repository.to_string(), "https://github.com/example/artist-web");
    assert_eq!(app.spec.depends_on[0].app.as_str(), "albums");
    assert_eq!(
        (app.spec.owners.dev.as_str(), app.spec.owners.ops.as_str()),
        ("artists", "ops")
    );
    let second = go();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stdout).contains("it is there already"));
}

#[test]
fn a_catalogue_that_is_no_yaml_is_refused_with_its_place() {
    let error = import("kind: [", &Defaults::default()).unwrap_err();
    assert!(error.contains("line"), "{error}");
}

#[test]
fn backstage_itself_accepts_what_is_exported() {
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backstage");
    if !checks.join("node_modules").is_dir() {
        assert!(
            std::env::var_os("CI").is_none(),
            "Backstage's model is missing; tests/all installs it"
        );
        let _ = writeln!(
            std::io::stderr(),
            "left out: Backstage's model is missing; tests/all installs it"
        );
        return;
    }
    let shop = app(
        "shop",
        r#", "dependsOn": [{"app": "stock"}], "resources": {"db": {"type": "sqlite"}}"#,
    );
    let texts = [shop, app("stock", "")];
    let apps: Vec<_> = texts
        .iter()
        .map(|text| descriptor::parse("app.json", text.as_bytes()).0.expect("a good descriptor"))
        .collect();
    let check = |catalogue: &str| {
        let mut child = Command::new("node")
            .arg(checks.join("check.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(catalogue.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let catalogue = export(apps.iter(), "https://greenroom.example.org");
    let accepted = check(&catalogue);
    let said = String::from_utf8_lossy(&accepted.stderr);
    assert!(accepted.status.success(), "{said}\n{catalogue}");
    let entities = String::from_utf8_lossy(&accepted.stdout).into_owned();
    for entity in [
        "component:default/shop",
        "component:default/stock",
        "resource:default/shop-db",
        "system:default/book-shop",
    ] {
        assert!(entities.lines().any(|line| line == entity), "{entity} in {entities}");
    }
    // The rules are real ones: the same catalogue with a name that Backstage does not take.
    assert!(!check(&catalogue.replace("shop-db", "shop db")).status.success());
}
