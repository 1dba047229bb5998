//! A node that stands somewhere: its roles, its values by layer, its datacenter, its facts, and what it finds by searching.

use super::{bundle, codes, document, shown, valid};
use greenroom::model::configuration::{State, StateBody};
use greenroom::model::inventory::Role;
use greenroom::recipes::values::{Effect, Layer, LayerKind};
use greenroom::recipes::view::{DatacenterView, View};
use greenroom::recipes::{Compiled, Search, compile, compile_with, run_list, values};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const NGINX: &str = "\
recipe: nginx
description: a web server
params:
  workers: {type: int, default: 2}
  modules: {type: list, default: [gzip]}
  level: {type: choice, choices: [info, warn], default: warn}
  grace: {type: duration, default: 30s}
states:
  - file:
      path: /etc/nginx.conf
      content: |
        {{ node.name }} {{ dc.name }} {{ env.name }} {{ params.workers }} {{ params.modules | join(' ') }} {{ params.level }}
";

fn role(name: &str, spec: &Value) -> Role {
    serde_json::from_value(json!({"apiVersion": "greenroom/v1", "kind": "Role", "metadata": {"name": name}, "spec": spec}))
        .unwrap()
}

fn layer(kind: LayerKind, object: &str, values: &Value) -> Layer {
    Layer {
        kind,
        object: object.to_owned(),
        path: "spec.values".to_owned(),
        app: None,
        recipe: None,
        values: values.as_object().unwrap().clone(),
    }
}

/// A machine in dc1 of production with one role.
fn node(role: &Role, layers: Vec<Layer>) -> View {
    let mut view = View::example(&valid(&document("shop", json!({}))), &BTreeMap::new());
    view.apps.clear();
    view.stack = None;
    view.node.confined_to = None;
    view.node.name = "w1".to_owned();
    view.environment = "production".to_owned();
    view.datacenter = Some(DatacenterView {
        name: "dc1".to_owned(),
        standby_for: None,
    });
    view.facts = json!({"machine": {"os": "debian"}});
    view.run_list = run_list::expand(&[role.name().as_str()], &|_| Some(role), &[]).unwrap();
    view.layers = values::role(role);
    view.layers.extend(layers);
    view
}

fn content(compiled: &Compiled, id: &str) -> String {
    let found = compiled.configuration.states.iter().find(|state: &&State| state.id == id);
    match &found.unwrap_or_else(|| panic!("there is no {id}")).body {
        StateBody::File { content, .. } => content.clone(),
        other => panic!("{id} is {}", other.type_name()),
    }
}

#[test]
fn a_role_brings_recipes_and_every_layer_may_set_their_parameters() {
    let bundle = bundle(&[
        ("recipes/nginx.yaml", NGINX),
        ("recipes/values.yaml", "nginx: {+modules: geo}\n"),
    ]);
    let web = role("web", &json!({"recipes": [{"name": "nginx", "with": {"workers": 4}}]}));
    let compiled = compile(&bundle, &node(&web, Vec::new())).unwrap();
    assert_eq!(content(&compiled, "file/nginx.conf"), "w1 dc1 production 4 gzip geo warn\n");
    assert_eq!(compiled.configuration.states[0].app, None);

    let layers = vec![
        layer(LayerKind::Node, "node w1", &json!({"nginx": {"level": "info"}})),
        layer(
            LayerKind::Environment,
            "environment production",
            &json!({"nginx": {"workers": 16, "modules": ["h2"]}}),
        ),
        layer(
            LayerKind::EnvironmentDatacenter,
            "environment production",
            &json!({"nginx": {"workers": 32}}),
        ),
    ];
    let compiled = compile(&bundle, &node(&web, layers)).unwrap();
    assert_eq!(content(&compiled, "file/nginx.conf"), "w1 dc1 production 32 h2 info\n");
}

#[test]
fn a_wrong_value_is_found_in_the_object_that_gives_it() {
    let bundle = bundle(&[("recipes/nginx.yaml", NGINX)]);
    let web = role("web", &json!({"recipes": [{"name": "nginx"}]}));
    let wrong = json!({"nginx": {"wrokers": 1, "workers": "many", "level": "wran", "grace": "soon"}});
    let layers = vec![layer(LayerKind::Environment, "environment production", &wrong)];
    let found = compile(&bundle, &node(&web, layers)).unwrap_err();
    assert_eq!(
        codes(&found),
        ["unknown-param", "wrong-type", "wrong-type", "wrong-type"],
        "{}",
        shown(&found)
    );
    assert!(found.iter().all(|finding| finding.file == "environment production"));
    assert_eq!(found[0].path, "spec.values.nginx.wrokers");
    assert_eq!(found[0].help.as_deref(), Some("did you mean `workers`?"));
    assert!(found[2].message.contains("did you mean `warn`?"), "{}", shown(&found));
}

#[test]
fn explain_names_the_layer_the_line_and_what_was_overridden() {
    let bundle = bundle(&[("recipes/nginx.yaml", NGINX)]);
    let web = role("web", &json!({"recipes": [{"name": "nginx", "with": {"workers": 4}}]}));
    let mut layers = vec![values::recipe_defaults(bundle.recipe("nginx").unwrap())];
    layers.extend(
        node(
            &web,
            vec![layer(LayerKind::Node, "node w1", &json!({"nginx": {"workers": 8}}))],
        )
        .layers,
    );
    let document = |layer: &Layer| bundle.source(&layer.object).cloned();
    let found = values::explain(&values::in_order(&layers, None), "nginx.workers", &document);
    let told: Vec<_> = found
        .layers
        .iter()
        .map(|l| (l.layer, l.path.as_str(), l.value.clone(), l.effect))
        .collect();
    assert_eq!(
        told,
        [
            (LayerKind::RecipeDefault, "params.workers", json!(2), Effect::Set),
            (LayerKind::Role, "spec.recipes.0.with.workers", json!(4), Effect::Overrode),
            (LayerKind::Node, "spec.values.nginx.workers", json!(8), Effect::Overrode),
        ]
    );
    assert_eq!(found.layers[0].line, Some(4));
}

struct Fleet(usize);

impl Search for Fleet {
    fn search(&self, kind: &str, query: &str) -> Result<Vec<Value>, String> {
        match query {
            "role:web AND datacenter:dc1" => Ok((0..self.0)
                .map(|n| json!({"name": format!("w{n:04}"), "kind": kind}))
                .collect()),
            _ => Err("column 1: a field was expected".to_owned()),
        }
    }
}

#[test]
fn a_search_is_answered_recorded_and_limited() {
    let text = "recipe: lb\ndescription: x\nstates:\n  - file:\n      path: /etc/hosts.lb\n      content: \"{% for n in search('role:web AND datacenter:' ~ dc.name) %}{{ n.name }} {% endfor %}\"\n";
    let bundle = bundle(&[("recipes/lb.yaml", text)]);
    let view = node(&role("lb", &json!({"recipes": [{"name": "lb"}]})), Vec::new());
    let two = compile_with(&bundle, &view, Arc::new(Fleet(2))).unwrap();
    assert_eq!(content(&two, "file/hosts.lb"), "w0000 w0001 ");
    assert_eq!(two.searches.len(), 1);
    assert_eq!(
        (two.searches[0].kind.as_str(), two.searches[0].query.as_str()),
        ("node", "role:web AND datacenter:dc1")
    );
    let three = compile_with(&bundle, &view, Arc::new(Fleet(3))).unwrap();
    assert_ne!(two.searches[0].answer, three.searches[0].answer);

    let found = compile_with(&bundle, &view, Arc::new(Fleet(1_001))).unwrap_err();
    assert!(found[0].message.contains("more than 1000"), "{}", shown(&found));
    assert_eq!((found[0].file.as_str(), found[0].line), ("recipes/lb.yaml", 6));
}

#[test]
fn a_search_that_is_no_query_is_an_error_at_its_place() {
    let text =
        "recipe: lb\ndescription: x\nstates:\n  - file:\n      path: /etc/lb\n      content: \"{{ search('((') | length }}\"\n";
    let view = node(&role("lb", &json!({"recipes": [{"name": "lb"}]})), Vec::new());
    let found = compile_with(&bundle(&[("recipes/lb.yaml", text)]), &view, Arc::new(Fleet(1))).unwrap_err();
    assert_eq!(codes(&found), ["template-failed"]);
    assert!(found[0].message.contains("a field was expected"), "{}", shown(&found));
}

#[test]
fn a_bundle_is_its_files_and_its_name_the_hash_of_them() {
    let files = bundle(&[("/anywhere/nginx.yaml", NGINX), ("elsewhere/values.yaml", "a: 1\n")]).files();
    let again = greenroom::recipes::Bundle::of_files(&files);
    assert_eq!(again.files(), files);
    let hash = greenroom::recipes::Bundle::hash_of(&files);
    assert!(hash.starts_with("sha256:") && hash.len() == 71);
    let mut changed = files.clone();
    changed.insert("values.yaml".to_owned(), "a: 2\n".to_owned());
    assert_ne!(greenroom::recipes::Bundle::hash_of(&changed), hash);
    assert_eq!(again.values().unwrap().object, "recipes/values.yaml");
}

#[test]
fn lint_names_what_would_differ_other_than_through_the_view() {
    let text = "\
recipe: bad
description: x
params:
  db_password: {type: text, default: hunter2}
states:
  - file:
      path: /etc/x
      when: env.name == 'production'
      content: \"{{ 'a' if dc.name != 'dc1' else 'b' }}\"
  - git:
      path: /srv/x
      repository: https://example.org/x.git
      commit: \"{{ release.revision }}\"
  - execute:
      command: [make]
      env: {API_TOKEN: abcdef}
";
    let found = bundle(&[("recipes/bad.yaml", text)]).check();
    let told: Vec<(&str, u32)> = found.iter().map(|finding| (finding.code.as_str(), finding.line)).collect();
    assert_eq!(
        told,
        [
            ("secret-in-clear", 4),
            ("place-in-recipe", 8),
            ("place-in-recipe", 9),
            ("branch-not-commit", 13),
            ("unguarded-execute", 14),
            ("secret-in-clear", 16),
        ],
        "{}",
        shown(&found)
    );
    let found = bundle(&[("recipes/bad.yaml", "recipe: bad\ndescription: {{ x }}\n")]).check();
    assert_eq!(
        (found[0].code.as_str(), found[0].line),
        ("unquoted-template", 2),
        "{}",
        shown(&found)
    );
    let found = bundle(&[("recipes/bad.conf.j2", "a\n{% if env.name in ['x'] %}b{% endif %}\n")]).check();
    assert_eq!(
        (found[0].code.as_str(), found[0].line),
        ("place-in-recipe", 2),
        "{}",
        shown(&found)
    );
}

#[test]
fn many_templates_together_run_out_of_fuel_too() {
    let text = "recipe: slow\ndescription: x\nstates:\n  - file:\n      for: n in range(1000)\n      path: \"/etc/{{ n }}\"\n      \
                content: \"{% for a in range(9000) %}{{ a }}{% endfor %}\"\n";
    let view = node(&role("slow", &json!({"recipes": [{"name": "slow"}]})), Vec::new());
    let found = compile(&bundle(&[("recipes/slow.yaml", text)]), &view).unwrap_err();
    assert!(found[0].message.contains("altogether"), "{}", shown(&found));
    assert_eq!((found[0].file.as_str(), found[0].line), ("recipes/slow.yaml", 7));
    assert!(found.len() < 200, "{}", found.len());
}
