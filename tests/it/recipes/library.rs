//! What is said of broken recipes.

use super::{bundle, codes, document, shown, valid};
use greenroom::recipes::view::View;
use greenroom::recipes::{Bundle, compile};
use serde_json::json;
use std::collections::BTreeMap;

fn check(files: &[(&str, &str)]) -> String {
    shown(&bundle(files).check())
}

#[test]
fn every_mistake_of_a_recipe_is_found_in_one_pass_at_its_place() {
    let text = "\
recipe: shop
describtion: x
params:
  port: {type: integer, default: 8080}
  name: {type: int, default: shop}
include: [checkot, {recipe: build, with: {comand: [make]}}]
states:
  - pakage: {name: git}
  - package: {nam: git}
  - file:
      path: etc/motd
      content: [a, b]
      mode: 0999
  - file: {path: /etc/a, content: x, mode: 0o644, colour: red}
    template: {path: /x, source: y.j2}
  - template: {path: '{{ dirs.config }}/x', source: missing.j2}
  - execute: {command: make all}
  - execute: {command: [make], timeout: soon, creates: '{{ dirs.app'}
  - service: {name: Shop Web, command: [run], restart: {policy: sometimes, limit: -1}}
  - directory: {id: same, path: /a, mode: 0755}
  - directory: {id: same, path: /b, mode: 0755}
  - directory: {path: /c, for: x of app.processes, when: '{{ true }}'}
  - git: {path: /a, repository: 'ext::sh', commit: main}
  - file: {path: '{{ dirs.apps }}/x', content: '{{ param.port }} {{ params.prot }} {{ process.name }}'}
";
    insta::assert_snapshot!("every_mistake_of_a_recipe", check(&[("recipes/shop.yaml", text)]));
}

#[test]
fn a_template_without_quotes_is_advised_to_take_some() {
    let text = "recipe: shop\ndescription: x\nstates:\n  - directory: {path: {{ dirs.app }}}\n";
    insta::assert_snapshot!("without_quotes", check(&[("shop.yaml", text)]));
}

#[test]
fn references_between_recipes_are_checked() {
    let a = "recipe: aa\ndescription: x\ninclude: [bb]\n";
    let b = "recipe: bb\ndescription: x\ninclude: [{recipe: cc, with: {colour: red}}]\n";
    let c = "recipe: cc\ndescription: x\nparams:\n  color: {type: text}\ninclude: [aa, checkot]\nstates:\n  - template: {path: /a, source: nothing.j2}\n";
    insta::assert_snapshot!("references", check(&[("aa.yaml", a), ("bb.yaml", b), ("cc.yaml", c)]));
}

#[test]
fn an_organisations_recipe_takes_the_place_of_the_shipped_one() {
    let own = "recipe: checkout\ndescription: Ours\nstates:\n  - directory: {id: ours, path: '{{ dirs.app }}'}\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("checkout.yaml"), own).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "ignored").unwrap();
    let bundle = Bundle::with_folder(folder.path()).unwrap();
    assert_eq!(bundle.recipe("checkout").unwrap().description, "Ours");
    let app = valid(&document("shop", json!({})));
    let compiled = compile(&bundle, &View::example(&app, &BTreeMap::new())).unwrap();
    assert_eq!(compiled.configuration.states[0].id, "shop/directory/ours");
    assert!(Bundle::with_folder(&folder.path().join("nothing")).is_err());
}

#[test]
fn what_only_a_compile_can_see_is_said_at_its_place() {
    let recipe = "\
recipe: late
description: x
params: {count: {type: int, default: 1}}
states:
  - directory: {id: one, path: '{{ dirs.app }}/{{ app.colour }}'}
  - directory: {id: two, path: '{{ deps.nobody.url }}'}
  - directory: {id: three, path: '{{ dirs.app }}', for: x in app.name}
  - directory: {id: four, path: '{{ dirs.app }}/x', when: app.env.NOTHING.x}
  - directory: {id: five, path: '{{ dirs.app }}/5', restarts: [service/nothing]}
  - directory: {id: six, path: '{{ dirs.app }}/6', changed: directory/seven}
  - directory: {id: '{{ app.name }}', path: '{{ dirs.app }}/7'}
  - directory: {id: shop, path: '{{ dirs.app }}/8'}
  - database: {resource: db}
  - template: {path: '{{ dirs.config }}/x.conf', source: late.j2}
  - include: {recipe: many, with: {number: many}}
  - execute:
      id: block
      creates: /sandbox/x
      command:
        - sh
        - |
          echo {{ app.name }}
          echo {{ app.nothing.x }}
";
    let many = "recipe: many\ndescription: x\nparams: {number: {type: int}}\n";
    let bundle = bundle(&[
        ("late.yaml", recipe),
        ("many.yaml", many),
        ("late.j2", "line\nport {{ ports.wbe }}\n"),
    ]);
    assert_eq!(codes(&bundle.check()), Vec::<&str>::new(), "{}", shown(&bundle.check()));
    let app = valid(&document("shop", json!({"recipes": [{"name": "late"}]})));
    let found = compile(&bundle, &View::example(&app, &BTreeMap::new())).unwrap_err();
    insta::assert_snapshot!("late", shown(&found));
}

#[test]
fn file_modes_are_kept_as_written_and_templates_render_files() {
    let recipe = "\
recipe: modes
description: x
params: {greeting: {type: text, default: Hello}}
states:
  - file: {id: a, path: /sandbox/a, content: \"x\\n\", mode: 0644}
  - file: {id: b, path: /sandbox/b, content: x, mode: '0600'}
  - file: {id: c, path: /sandbox/c, content: x, mode: 0o755}
  - file: {id: d, path: /sandbox/d, content: x, mode: 755}
  - package: {name: python3, min_version: 3.10}
  - template: {path: /sandbox/e, source: hello.j2, vars: {who: world}, mode: 0640}
";
    let bundle = bundle(&[
        ("modes.yaml", recipe),
        (
            "hello.j2",
            "{{ params.greeting }}, {{ who }} at {{ ports.web }}\n{% for p in app.processes %}{{ p.service }}\n{% endfor %}",
        ),
    ]);
    let app = valid(&document("shop", json!({"recipes": [{"name": "modes"}]})));
    let compiled = compile(&bundle, &View::example(&app, &BTreeMap::new())).unwrap_or_else(|f| panic!("{}", shown(&f)));
    let states = serde_json::to_value(&compiled.configuration.states).unwrap();
    let modes: Vec<&str> = states.as_array().unwrap().iter().filter_map(|s| s["mode"].as_str()).collect();
    assert_eq!(modes, ["0644", "0600", "0755", "0755", "0640"]);
    assert_eq!(states[0]["content"], "x\n");
    assert_eq!(states[4]["min_version"], "3.10");
    assert_eq!(states[5]["content"], "Hello, world at 8001\nshop-web\n");
}
