//! Laws: what holds for any input.

use super::{document, valid};
use greenroom::recipes::descriptor::parse;
use greenroom::recipes::view::View;
use greenroom::recipes::{Bundle, compile};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn full() -> Value {
    document(
        "shop-front",
        json!({
            "dependsOn": [{"app": "catalog-api"}],
            "build": {"command": ["make"], "artifact": "dist/app", "timeout": "5m"},
            "readinessProbe": {"httpGet": {"path": "/health", "port": "web"}},
            "env": {"PORT": {"value": "{{ ports.web }}"}, "KEY": {"secret": true, "generator": "secret"}},
            "resources": {"db": {"type": "sqlite", "data": {"schema": "s.sql", "fixture": "f.sql"}}},
            "checks": [{"name": "Home", "httpGet": {"path": "/"}}],
        }),
    )
}

fn answered(bytes: &[u8]) {
    let (descriptor, found) = parse("shop.json", bytes);
    for finding in &found {
        assert!(
            finding.line > 0 && finding.column > 0 && !finding.code.is_empty(),
            "{finding}"
        );
        assert!(!finding.message.ends_with('.'), "{finding}");
    }
    if let Some(descriptor) = descriptor {
        let view = View::example(&descriptor, &BTreeMap::new());
        let bundle = Bundle::shipped();
        assert_eq!(compile(&bundle, &view), compile(&bundle, &view));
    } else {
        assert!(!found.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn bytes_changed_in_a_valid_descriptor_are_answered(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = serde_json::to_vec_pretty(&full()).unwrap();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        answered(&bytes);
    }

    #[test]
    fn a_piece_cut_out_or_doubled_is_answered(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), double in any::<bool>()) {
        let bytes = serde_json::to_vec(&full()).unwrap();
        let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
        let (a, b) = (a.min(b), a.max(b));
        let middle = if double { bytes[a..b].repeat(2) } else { Vec::new() };
        answered(&[&bytes[..a], &middle, &bytes[b..]].concat());
    }

    #[test]
    fn any_value_anywhere_is_answered(path in any::<prop::sample::Index>(), choice in 0_usize..10, text in "\\PC{0,40}") {
        let mut document = full();
        let mut places = Vec::new();
        pointers(&document, String::new(), &mut places);
        let value = [
            json!(null), json!(true), json!(-1), json!(1.5e300), json!([]), json!({}), json!([[text]]), json!({&text: &text}),
            json!(text), json!(format!("{{{{ {text} }}}}")),
        ][choice].clone();
        *document.pointer_mut(&places[path.index(places.len())]).unwrap() = value;
        answered(serde_json::to_string(&document).unwrap().as_bytes());
    }

    #[test]
    fn any_text_as_a_recipe_is_answered(text in "(recipe: x\n)?(description: y\n)?(states:\n)?(  - (file|git|execute): [\\PC\n]{0,80}\n)*[\\PC\n]{0,60}") {
        let mut bundle = Bundle::default();
        bundle.add("x.yaml", text.as_bytes());
        for finding in bundle.check() {
            prop_assert!(finding.line > 0 && !finding.code.is_empty(), "{}", finding);
        }
    }
}

fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, value)| pointers(value, format!("{at}/{key}"), all)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| pointers(value, format!("{at}/{index}"), all)),
        _ => {}
    }
    all.push(at);
}

#[test]
fn the_hash_of_a_configuration_is_the_same_every_time() {
    let view = View::example(&valid(&full()), &BTreeMap::new());
    let hash = || compile(&Bundle::shipped(), &view).unwrap().configuration.hash().unwrap();
    let first = hash();
    assert!(first.starts_with("sha256:") && first.len() == 71);
    assert!((0..5).all(|_| hash() == first));
}

#[test]
fn every_state_property_keeps_its_place() {
    let text = "\
recipe: x
description: y
states:
  - service:
      name: 1
      command: 2
      cwd: [3]
      env: 4
      path: 5
      restart: {policy: 6, limit: x}
      ready: {http: [7], exec: 8, timeout: 9}
      stop_timeout: [10]
      unknown: 11
";
    let mut bundle = Bundle::default();
    bundle.add("x.yaml", text.as_bytes());
    let lines: Vec<u32> = bundle.check().iter().map(|d| d.line).collect();
    for line in 5..=13 {
        assert!(lines.contains(&line), "nothing at line {line}: {lines:?}");
    }
}
