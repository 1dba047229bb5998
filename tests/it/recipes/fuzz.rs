//! Byte soup and mutated real files: every one is answered, quickly, each finding with its place; and what compiles does so to
//! the same bytes every time.

use super::{document, valid};
use greenroom::recipes::values::{self, Layer, LayerKind};
use greenroom::recipes::view::View;
use greenroom::recipes::{Bundle, compile};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

// A debug build on a busy machine takes a few milliseconds.
const LIMIT: Duration = Duration::from_secs(5);

fn answered(file: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    let started = Instant::now();
    let mut bundle = Bundle::shipped();
    bundle.add(file, bytes);
    for finding in bundle.check() {
        prop_assert!(
            finding.line > 0 && finding.column > 0 && !finding.code.is_empty(),
            "{}",
            finding
        );
    }
    let mut app = document("shop", json!({}));
    let name = file.trim_end_matches(".yaml");
    if bundle.recipe(name).is_some() {
        app["spec"]["recipes"] = json!([{"name": name}]);
    }
    let view = View::example(&valid(&app), &BTreeMap::new());
    prop_assert_eq!(compile(&bundle, &view), compile(&bundle, &view));
    prop_assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    Ok(())
}

fn shipped() -> Vec<(String, String)> {
    Bundle::shipped().files().into_iter().collect()
}

/// A value of a few levels, with keys that meet each other often.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_i64..4).prop_map(Value::from),
        "[a-c]".prop_map(Value::from),
        prop::collection::vec((0_i64..4).prop_map(Value::from), 0..3).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop::collection::btree_map("\\+?[a-c]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let one = (
        0..LayerKind::ALL.len(),
        prop::collection::btree_map("\\+?[a-c]", tree(), 0..4),
    );
    prop::collection::vec(one, 0..7).prop_map(|all| {
        let layer = |(kind, values): (usize, BTreeMap<String, Value>)| Layer {
            kind: LayerKind::ALL[kind],
            object: "object".to_owned(),
            path: String::new(),
            app: None,
            recipe: None,
            values: values.into_iter().collect(),
        };
        all.into_iter().map(layer).collect()
    })
}

fn keys(values: &Map<String, Value>, above: &str, all: &mut Vec<String>) {
    for (key, value) in values {
        let path = if above.is_empty() {
            key.clone()
        } else {
            format!("{above}.{key}")
        };
        if let Value::Object(inner) = value {
            keys(inner, &path, all);
        }
        all.push(path);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn byte_soup_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        answered("evil.yaml", &bytes)?;
        answered("values.yaml", &bytes)?;
        let started = Instant::now();
        let (descriptor, found) = greenroom::recipes::descriptor::parse("evil.json", &bytes);
        prop_assert!(descriptor.is_some() || found.iter().all(|f| f.line > 0) && !found.is_empty());
        prop_assert!(started.elapsed() < LIMIT);
    }

    #[test]
    fn mutated_shipped_recipes_are_answered(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..8),
    ) {
        let all = shipped();
        let (name, text) = &all[which.index(all.len())];
        let mut bytes = text.clone().into_bytes();
        for (index, byte, how) in changes {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, byte),
                // A line twice: what people do by mistake.
                _ => {
                    let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n + 1);
                    let line = bytes[at..end].to_vec();
                    bytes.splice(at..at, line);
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        answered(name, &bytes)?;
    }

    #[test]
    fn explain_says_of_every_key_what_merge_gives(layers in layers()) {
        let ordered = values::in_order(&layers, None);
        let merged = values::merge(&ordered);
        prop_assert_eq!(&merged, &values::merge(&ordered), "merging is a function");
        let mut all = vec!["a.b.c".to_owned(), "c".to_owned()];
        keys(&merged, "", &mut all);
        for key in all.iter().filter(|key| !key.contains('+')) {
            let path: Vec<&str> = key.split('.').collect();
            let found = values::explain(&ordered, key, &|_| None);
            let wanted = values::find(&merged, &path);
            prop_assert_eq!(found.found, wanted.is_some(), "{}", key);
            prop_assert_eq!(&found.value, wanted.unwrap_or(&Value::Null), "{}", key);
            if found.found {
                prop_assert!(found.winner().is_some(), "somebody gave {}", key);
            }
        }
    }
}
