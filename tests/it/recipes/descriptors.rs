//! What the validator says of descriptors.

use super::{codes, document, shown, valid};
use greenroom::model::name::AppName;
use greenroom::recipes::Bundle;
use greenroom::recipes::descriptor::{check_graph, json_schema, parse};
use serde_json::json;
use std::collections::BTreeMap;

const MISTAKES: &str = r#"{
  "apiVersion": "greenroom/v2",
  "kind": "App",
  "metadata": {"name": "Shop", "labels": {"any-name": "is fine"}, "titel": "Shop"},
  "spec": {
    "type": "website",
    "owner": "team-shop",
    "owners": {"dev": "team-shop"},
    "repository": "ext::sh -c touch",
    "defaultRef": "--upload-pack=touch",
    "path": "../../etc",
    "recipes": [{"name": "python-app"}, {"name": "python-app"}],
    "dependsOn": [{"app": "catalog"}, {"app": "catalog"}, "reviews"],
    "build": {"command": "make all", "timeout": "soon"},
    "processes": {"web": {"command": ["python3", "app.py", "{{ ports.wbe }}"], "quantity": 2}},
    "ports": {"web": {"port": "8080"}, "admin": {"port": 99999, "protocol": "https"}},
    "ports": {},
    "readinessProbe": {"httpGet": {"path": "health", "port": "wbe"}, "exec": ["true"]},
    "env": {
      "CATALOG": {"value": "{{ deps.catalogue.url }}"},
      "BROKEN": {"value": "{{ ports.web"},
      "KEY": {"secret": true},
      "NOTHING": {"description": "no value"},
      "1ST": {"value": 1}
    },
    "resources": {"db": {"type": "mysql", "data": {"default": "fixture"}}},
    "schedules": {"nightly": {"cron": "0 25 * * *", "command": ["true"], "inStaging": "no"}},
    "checks": [{"name": "home", "httpGet": {"path": "/", "port": "web"}, "contains": null}]
  }
}"#;

#[test]
fn every_mistake_is_found_in_one_pass_at_its_place() {
    let (descriptor, found) = parse("shop.json", MISTAKES.as_bytes());
    assert!(descriptor.is_none());
    insta::assert_snapshot!("every_mistake", shown(&found));
}

#[test]
fn what_is_no_json_is_said_with_its_place() {
    let cases = [
        "",
        "   \n\n",
        "[]",
        "\"text\"",
        "{\"a\": 1,}",
        "{\n  \"a\": // why\n 1}",
        "{'a': 1}",
        "{\"a\" 1}",
        "{\"a\": 01}",
        "{\"a\": 1} x",
        "{\"a\": \"\\ud800\"}",
        "{\"a\": \"line\nbreak\"}",
        "\u{feff}{\"apiVersion\": 1e999}",
    ];
    let all: Vec<String> = cases
        .iter()
        .map(|text| {
            let (descriptor, found) = parse("a.json", text.as_bytes());
            assert!(descriptor.is_none());
            format!("--- {text:?}\n{}", shown(&found))
        })
        .collect();
    insta::assert_snapshot!("no_json", all.join("\n"));
}

#[test]
fn a_full_descriptor_is_accepted_and_survives_a_round_trip() {
    let text = document(
        "shop-front",
        json!({
            "lifecycle": "production", "system": "shop", "defaultRef": "main", "path": "apps/shop",
            "dependsOn": [{"app": "catalog-api"}, {"app": "mailer", "optional": true}],
            "build": {"command": ["make"], "artifact": "dist/app", "timeout": "5m"},
            "readinessProbe": {"httpGet": {"path": "/health", "port": "web"}, "timeout": "20s"},
            "env": {
                "PORT": {"value": "{{ ports.web }}"},
                "CATALOG_URL": {"value": "{{ deps.catalog_api.url }}"},
                "MAILER_URL": {"value": "{{ deps.mailer.url if deps.mailer is defined else '' }}"},
                "DB": {"value": "{{ resources.db.url }}"},
                "KEY": {"secret": true, "generator": "secret", "description": "Signs sessions"},
                "MODE": {"value": "live", "stagingValue": "test"},
            },
            "resources": {"db": {"type": "postgres", "data": {"schema": "s.sql", "fixture": "f.sql", "default": "empty"}}},
            "outbound": {"allow": ["*.example.org", "api.example.org:443"]},
            "schedules": {"nightly": {"cron": "0 3 * * mon-fri", "command": ["python3", "report.py"]}},
            "checks": [{"name": "Home", "httpGet": {"path": "/"}, "contains": "Shop"}],
        }),
    );
    let descriptor = valid(&text);
    let again = valid(&serde_json::to_value(&descriptor).unwrap());
    assert_eq!(descriptor, again);
}

#[test]
fn owners_of_code_and_of_the_night_are_both_required() {
    for owners in [
        json!({"dev": "a"}),
        json!({"ops": "b"}),
        json!({"dev": "a", "ops": ""}),
        json!("a"),
    ] {
        let text = document("shop", json!({ "owners": owners })).to_string();
        assert!(parse("a.json", text.as_bytes()).0.is_none(), "{text}");
    }
}

#[test]
fn labels_and_annotations_take_any_name_but_nothing_else_does() {
    let mut text = document("shop", json!({}));
    text["metadata"]["labels"] = json!({"team.example.org/tier": "1"});
    text["metadata"]["annotations"] = json!({"anything": "at all\nin lines"});
    valid(&text);
    text["metadata"]["nickname"] = json!("x");
    assert_eq!(codes(&parse("a.json", text.to_string().as_bytes()).1), ["unknown-field"]);
}

#[test]
fn what_does_not_fit_among_the_others_is_said_at_its_place() {
    let shop = valid(&document(
        "shop",
        json!({
            "dependsOn": [{"app": "catalogue"}],
            "recipes": [{"name": "pyton-app"}, {"name": "static-site", "with": {"foldr": "x"}}],
        }),
    ));
    let catalog = valid(&document("catalog", json!({})));
    let others: BTreeMap<AppName, _> = [(catalog.name().clone(), &catalog)].into();
    let text = serde_json::to_string_pretty(&shop).unwrap();
    let found = check_graph("shop.json", text.as_bytes(), &shop, &others, &Bundle::shipped());
    insta::assert_snapshot!("among_the_others", shown(&found));
}

#[test]
fn the_published_schema_says_the_same_names() {
    let schema = json_schema();
    let spec = &schema["properties"]["spec"];
    assert_eq!(spec["additionalProperties"], json!(false));
    for field in ["type", "owners", "repository", "recipes"] {
        assert!(spec["required"].as_array().unwrap().contains(&json!(field)), "{field}");
    }
    assert_eq!(
        schema["properties"]["metadata"]["properties"]["labels"]["additionalProperties"]["type"],
        "string"
    );
    assert_eq!(greenroom::recipes::recipe_schema()["properties"]["states"]["type"], "array");
}
