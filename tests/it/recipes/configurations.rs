//! What compiles to what.

use super::{bundle, codes, document, shown, valid};
use greenroom::model::configuration::{EnvValue, StateBody};
use greenroom::model::stack::DataChoice;
use greenroom::recipes::view::{DependencyView, View};
use greenroom::recipes::{Bundle, compile};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn example(document: &Value) -> View {
    View::example(&valid(document), &BTreeMap::new())
}

fn compiled(view: &View) -> greenroom::model::configuration::NodeConfiguration {
    compile(&Bundle::shipped(), view)
        .unwrap_or_else(|found| panic!("{}", shown(&found)))
        .configuration
}

fn python_app() -> Value {
    document(
        "shop-front",
        json!({
            "dependsOn": [{"app": "catalog-api"}],
            "build": {"command": ["make", "all"], "artifact": "dist/app.js", "timeout": "5m"},
            "processes": {
                "web": {"command": ["python3", "app.py", "--port", "{{ ports.web }}"]},
                "worker": {"command": ["python3", "worker.py"]},
            },
            "readinessProbe": {"httpGet": {"path": "/health"}, "timeout": "20s"},
            "env": {
                "CATALOG_URL": {"value": "{{ deps.catalog_api.url }}/v1"},
                "DATABASE_URL": {"value": "{{ resources.db.url }}"},
                "CACHE": {"value": "{{ resources.cache.path }}"},
                "SESSION_KEY": {"secret": true, "generator": "secret"},
                "PAYMENTS": {"value": "https://pay.example.org", "stagingValue": "https://sandbox.pay.example.org"},
            },
            "resources": {
                "db": {"type": "postgres", "data": {"schema": "db/schema.sql", "fixture": "db/fixture.sql"}},
                "cache": {"type": "sqlite"},
            },
        }),
    )
}

#[test]
fn a_python_app_with_databases_and_secrets() {
    insta::assert_json_snapshot!("python_app", compiled(&example(&python_app())));
}

#[test]
fn a_rust_app_a_node_app_a_site_and_any_command() {
    let apps = [
        document(
            "api",
            json!({
                "recipes": [{"name": "cargo-app", "with": {"offline": true}}],
                "processes": {"web": {"command": ["target/release/api"]}}, "path": "services/api",
            }),
        ),
        document(
            "ui",
            json!({
                "recipes": [{"name": "node-app"}], "processes": {"web": {"command": ["node", "server.js"]}},
                "build": {"command": ["npm", "run", "build"]},
            }),
        ),
        document(
            "docs",
            json!({
                "recipes": [{"name": "static-site", "with": {"folder": "public"}}], "processes": null,
            }),
        ),
        document(
            "gallery",
            json!({
                "recipes": [{"name": "python-app", "with": {"packages": [".[server]", "gunicorn>=22"]}}],
                "processes": {"web": {"command": ["gunicorn", "--bind", "{{ node.address }}:{{ ports.web }}", "gallery:app"]}},
            }),
        ),
        document(
            "tool",
            json!({
                "recipes": [{"name": "command-app", "with": {"programs": ["sh", "make"]}}],
                "processes": {"main": {"command": ["sh", "run.sh"]}}, "ports": null,
            }),
        ),
    ];
    for app in apps {
        let name = app["metadata"]["name"].as_str().unwrap().to_owned();
        insta::assert_json_snapshot!(name, compiled(&example(&app)));
    }
}

#[test]
fn staging_and_production_differ_only_through_the_view() {
    let staging = example(&python_app());
    let mut production = staging.clone();
    production.environment = "production".to_owned();
    let (staging, production) = (compiled(&staging), compiled(&production));
    let differing: Vec<_> = staging
        .states
        .iter()
        .zip(&production.states)
        .filter(|(a, b)| a != b)
        .collect();
    assert_eq!(staging.states.len(), production.states.len());
    assert_eq!(differing.len(), 2, "only the two services, whose PAYMENTS differs");
    for (a, b) in differing {
        let (StateBody::Service { env: a, .. }, StateBody::Service { env: b, .. }) = (&a.body, &b.body) else {
            panic!("{} differs", a.id);
        };
        let names: Vec<&String> = a.keys().filter(|key| a[*key] != b[*key]).collect();
        assert_eq!(names, ["PAYMENTS"]);
    }
}

#[test]
fn a_new_commit_gets_a_folder_of_its_own() {
    let view = example(&python_app());
    let mut next = view.clone();
    next.apps[0].release.commit = "f".repeat(40);
    let folder = |view: &View| {
        compiled(view)
            .states
            .into_iter()
            .find_map(|s| match s.body {
                StateBody::Git { path, .. } => Some(path),
                _ => None,
            })
            .unwrap()
    };
    assert_ne!(folder(&view), folder(&next));
    assert!(folder(&next).ends_with(&format!("/shop-front/releases/{}", "f".repeat(40))));
}

#[test]
fn the_chosen_data_decides_whether_the_fixture_is_loaded() {
    let mut view = example(&python_app());
    let fixture = |view: &View| {
        compiled(view)
            .states
            .into_iter()
            .any(|s| matches!(s.body, StateBody::Database { fixture: Some(_), .. }))
    };
    assert!(fixture(&view));
    view.apps[0].resources.get_mut("db").unwrap().data = DataChoice::Empty;
    assert!(!fixture(&view));
}

#[test]
fn an_absent_optional_dependency_can_be_asked_for() {
    let text = document(
        "shop",
        json!({
            "dependsOn": [{"app": "mailer", "optional": true}],
            "env": {"MAILER": {"value": "{{ deps.mailer.url if deps.mailer is defined else 'none' }}"}},
        }),
    );
    let mailer = |view: &View| match &compiled(view).states.last().unwrap().body {
        StateBody::Service { env, .. } => env["MAILER"].clone(),
        _ => panic!("the last state is the service"),
    };
    let mut view = example(&text);
    assert_eq!(mailer(&view), EnvValue::Text("http://127.0.0.1:9001".to_owned()));
    view.apps[0].deps.clear();
    assert_eq!(mailer(&view), EnvValue::Text("none".to_owned()));
}

#[test]
fn a_dependency_without_ports_has_no_address() {
    let text = document(
        "shop",
        json!({
            "dependsOn": [{"app": "worker"}], "env": {"HOST": {"value": "{{ deps.worker.host }}"}},
        }),
    );
    let mut view = example(&text);
    let lonely = DependencyView {
        url: None,
        host: "127.0.0.1".to_owned(),
        port: None,
        ports: BTreeMap::new(),
        hosts: Vec::new(),
    };
    view.apps[0].deps.insert("worker".to_owned(), lonely);
    compiled(&view);
}

#[test]
fn a_view_survives_its_json() {
    let view = example(&python_app());
    let text = serde_json::to_string(&view).unwrap();
    assert_eq!(serde_json::from_str::<View>(&text).unwrap(), view);
}

#[test]
fn secrets_never_stand_in_clear_and_never_belong_to_another_app() {
    let stolen = document("thief", json!({"env": {"X": {"value": "\u{e000}shop/env/KEY\u{e001}"}}}));
    let found = compile(&Bundle::shipped(), &example(&stolen)).unwrap_err();
    assert!(codes(&found).contains(&"invalid-value"), "{}", shown(&found));

    let argument = document(
        "shop",
        json!({
            "resources": {"db": {"type": "postgres"}},
            "processes": {"web": {"command": ["run", "{{ resources.db.password }}"]}},
        }),
    );
    let found = compile(&Bundle::shipped(), &example(&argument)).unwrap_err();
    assert_eq!(codes(&found), ["secret-in-clear"], "{}", shown(&found));

    let file = "recipe: leaky\ndescription: x\nstates:\n  - file: {path: '{{ dirs.config }}/x', content: '{{ app.env.KEY }}'}\n";
    let app = document(
        "shop",
        json!({
            "recipes": [{"name": "leaky"}], "env": {"KEY": {"secret": true, "generator": "secret"}},
        }),
    );
    let found = compile(&bundle(&[("leaky.yaml", file)]), &example(&app)).unwrap_err();
    assert_eq!(codes(&found), ["secret-in-clear"], "{}", shown(&found));
}

#[test]
fn what_leaves_the_sandbox_is_refused_with_advice() {
    let literal = "\
recipe: literal
description: Refused before any compile
states:
  - directory: {path: /sandbox/../etc}
  - directory: {path: \"/sandbox/a\\nb\"}
  - directory: {path: relative/x}
  - directory: {path: /sandbox//x}
";
    let found = bundle(&[("recipes/literal.yaml", literal)]).check();
    assert_eq!(codes(&found), ["invalid-value"; 4], "{}", shown(&found));

    let recipe = "\
recipe: outside
description: Leaves the sandbox in every way there is
states:
  - file: {path: /etc/motd, content: hello}
  - directory: {path: '{{ dirs.app }}/../../../etc'}
  - directory: {id: sibling, path: /sandbox-other/x}
  - git: {path: /opt/x, repository: /srv/git/x, commit: '{{ release.commit }}'}
  - execute: {id: cwd, command: ['true'], cwd: /root, creates: /tmp/x}
  - file: {id: newline, path: \"{{ dirs.app }}/{{ 'a' ~ '\\\\n' ~ 'b' }}\", content: x}
";
    let app = document("shop", json!({"recipes": [{"name": "outside"}]}));
    let bundle = bundle(&[("recipes/outside.yaml", recipe)]);
    let found = compile(&bundle, &example(&app)).unwrap_err();
    insta::assert_snapshot!("outside", shown(&found));
    let mut whole_machine = example(&app);
    whole_machine.node.confined_to = None;
    let found = compile(&bundle, &whole_machine).unwrap_err();
    assert!(!codes(&found).contains(&"configuration-refused"), "{}", shown(&found));
}

#[test]
fn five_thousand_states_compile_quickly() {
    let recipe = "\
recipe: many
description: x
states:
  - file: {for: n in range(1000), id: 'a{{ n }}', path: '{{ dirs.config }}/a/{{ n }}', content: 'port {{ ports.web }}', mode: 0640}
  - file: {for: n in range(1000), id: 'b{{ n }}', path: '{{ dirs.config }}/b/{{ n }}', content: 'port {{ ports.web }}', mode: 0640}
  - file: {for: n in range(1000), id: 'c{{ n }}', path: '{{ dirs.config }}/c/{{ n }}', content: 'port {{ ports.web }}', mode: 0640}
  - file: {for: n in range(1000), id: 'd{{ n }}', path: '{{ dirs.config }}/d/{{ n }}', content: 'port {{ ports.web }}', mode: 0640}
  - file: {for: n in range(1000), id: 'e{{ n }}', path: '{{ dirs.config }}/e/{{ n }}', content: 'port {{ ports.web }}', mode: 0640}
";
    let view = example(&document("shop", json!({"recipes": [{"name": "many"}]})));
    let bundle = bundle(&[("many.yaml", recipe)]);
    let started = std::time::Instant::now();
    let compiled = compile(&bundle, &view).unwrap_or_else(|found| panic!("{}", shown(&found)));
    let took = started.elapsed();
    assert_eq!(compiled.configuration.states.len(), 5_000);
    println!("5,000 states in {took:?}");
    assert!(took.as_secs() < 5, "{took:?} even without optimisation");
}
