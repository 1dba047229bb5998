//! The databases against the oracle: what SQL finds is what a plain reading of the question finds.

use crate::store::inventory::TEST;
use crate::store::objects::{node, put, role};
use crate::support::database::TestDatabase;
use greenroom::model::inventory::{FactsFormat, Object, ObjectKind, node_facts_document, object_document};
use greenroom::model::search::{Query, Spelling, Term, matches, parse, terms};
use greenroom::store::Store;
use greenroom::store::search::{Found, Search};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

fn search(query: &Query, spelling: Spelling) -> Search<'_> {
    Search {
        kind: "node",
        query,
        spelling,
        after: None,
        start: 0,
        rows: 1000,
        facts: true,
    }
}

async fn find(store: &Store, search: &Search<'_>) -> Found {
    store.search(search).await.unwrap().unwrap()
}

async fn names(store: &Store, text: &str, spelling: Spelling) -> Vec<String> {
    let query = parse(text).unwrap();
    let found = find(store, &search(&query, spelling)).await;
    assert_eq!(found.total, i64::try_from(found.rows.len()).unwrap(), "{text}");
    found.rows.into_iter().map(|row| row.name).collect()
}

async fn facts(store: &Store, name: &str, facts: &Value) {
    let mut tx = store.journal().await.unwrap();
    tx.put_facts(name, facts, FactsFormat::Ohai).await.unwrap();
    tx.commit().await.unwrap();
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec!["web", "db", "Web", "w%b", "w_b", "we!b", "", "a b", "é", "web-1"]).prop_map(str::to_owned),
        1 => (-20_i32..20).prop_map(|n| n.to_string()),
        1 => (-20_i32..20).prop_map(|n| format!("{n}.5")),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let scalar = || {
        prop_oneof![
            3 => word().prop_map(Value::from),
            1 => (-20_i64..20).prop_map(Value::from),
            1 => any::<bool>().prop_map(Value::from),
            1 => Just(Value::Null),
        ]
    };
    let list = proptest::collection::vec(scalar(), 0..3).prop_map(Value::from);
    let name = proptest::sample::select(vec!["kernel", "name", "release", "x"]);
    let inner = proptest::collection::btree_map(name.clone(), prop_oneof![scalar(), list], 0..3);
    let inner = inner.prop_map(|map| json!(map));
    proptest::collection::btree_map(name, prop_oneof![scalar(), inner], 0..4).prop_map(|map| json!(map))
}

fn question() -> impl Strategy<Value = String> {
    let field = proptest::sample::select(vec![
        "",
        "values.x:",
        "values.kernel.name:",
        "facts.kernel.release:",
        "values.*:",
        "kernel_release:",
        "kernel.release:",
        "name:",
        "x:",
        "k*:",
        "role:",
        "roles:",
        "*:",
        "chef_environment:",
        "release:",
    ]);
    let quoted = word().prop_map(|word| format!("\"{word}\""));
    let wild = proptest::sample::select(vec!["*", "w*", "*b", "w?b", "w%*", "*_*", "??", "-*", "W*"]).prop_map(str::to_owned);
    let range = (word(), word(), any::<bool>()).prop_map(|(low, high, inclusive)| {
        if inclusive {
            format!("[\"{low}\" TO \"{high}\"]")
        } else {
            format!("{{\"{low}\" TO \"{high}\"}}")
        }
    });
    let open = word().prop_map(|low| format!("[\"{low}\" TO *]"));
    let leaf = (field, prop_oneof![3 => quoted, 2 => wild, 1 => range, 1 => open]).prop_map(|(field, test)| {
        let field = if test.starts_with(['[', '{']) && field.is_empty() {
            "x:"
        } else {
            field
        };
        format!("{field}{test}")
    });
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} -{b})")),
            inner.prop_map(|a| format!("(NOT {a})")),
        ]
    })
}

#[tokio::test]
async fn the_databases_find_what_a_plain_reading_finds() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
        );
        put(&store, &role("web", &["base"])).await;
        put(&store, &role("base", &[])).await;
        let Object::Role(web) = role("web", &["base"]) else {
            unreachable!()
        };
        let find_role = |name: &greenroom::model::name::RoleName| (name.as_str() == "web").then_some(&web);
        let mut world: BTreeMap<String, BTreeSet<Term>> = BTreeMap::new();
        for round in 0..3 {
            for index in 0..12 {
                let name = format!("node-{index:02}");
                let values = document().new_tree(&mut runner).unwrap().current();
                let reported = document().new_tree(&mut runner).unwrap().current();
                let roles: &[&str] = if (index + round) % 3 == 0 { &["web"] } else { &[] };
                let object = node(&name, roles, &values);
                put(&store, &object).await;
                facts(&store, &name, &reported).await;
                let mut all = terms(&object_document(&object, &find_role));
                all.extend(terms(&node_facts_document(&reported)));
                world.insert(name, all);
            }
            for _ in 0..120 {
                let text = question().new_tree(&mut runner).unwrap().current();
                let query = parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
                for spelling in [Spelling::Strict, Spelling::Chef] {
                    let expected: Vec<&String> = world
                        .iter()
                        .filter(|(_, terms)| matches(&query, terms, spelling))
                        .map(|(name, _)| name)
                        .collect();
                    let found = names(&store, &text, spelling).await;
                    assert_eq!(
                        found.iter().collect::<Vec<_>>(),
                        expected,
                        "{text} on {} ({spelling:?})",
                        store.backend_name()
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn pages_by_place_and_by_cursor_are_the_whole_and_totals_are_exact() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        for index in 0..25 {
            put(
                &store,
                &node(&format!("node-{index:02}"), &[], &json!({"even": index % 2 == 0})),
            )
            .await;
        }
        let query = parse("values.even:true").unwrap();
        let all = names(&store, "values.even:true", Spelling::Strict).await;
        assert_eq!(all.len(), 13);
        for by_cursor in [true, false] {
            let mut seen: Vec<String> = Vec::new();
            loop {
                let start = if by_cursor { 0 } else { i64::try_from(seen.len()).unwrap() };
                let after = seen.last().cloned().filter(|_| by_cursor);
                let page = Search {
                    after: after.as_deref(),
                    start,
                    rows: 4,
                    ..search(&query, Spelling::Strict)
                };
                let page = find(&store, &page).await;
                assert_eq!(page.total, 13);
                if page.rows.is_empty() {
                    break;
                }
                seen.extend(page.rows.into_iter().map(|row| row.name));
            }
            assert_eq!(seen, all);
        }
        let none = Search {
            rows: 0,
            ..search(&query, Spelling::Strict)
        };
        let none = find(&store, &none).await;
        assert_eq!((none.total, none.rows.len()), (13, 0));
        let gone = parse("values.even:maybe").unwrap();
        assert_eq!(find(&store, &search(&gone, Spelling::Strict)).await.total, 0);
    }
}

#[tokio::test]
async fn chefs_spellings_count_only_where_they_are_asked_for() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        put(&store, &node("web1", &[], &json!({"nginx": {"port": 80}}))).await;
        facts(&store, "web1", &json!({"kernel": {"release": "6.1"}, "platform": "debian"})).await;
        for text in [
            "kernel_release:6.1",
            "kernel.release:6*",
            "release:6.1",
            "platform:debian",
            "nginx_port:[1 TO 99]",
            "chef_environment:production",
        ] {
            assert_eq!(names(&store, text, Spelling::Chef).await, ["web1"], "{text}");
            assert!(names(&store, text, Spelling::Strict).await.is_empty(), "{text}");
        }
        for text in [
            "facts.kernel.release:6.1",
            "values.nginx.port:{79 TO 81}",
            "environment:production",
            "6.1",
            "*eb*",
        ] {
            assert_eq!(names(&store, text, Spelling::Strict).await, ["web1"], "{text}");
        }
    }
}

#[tokio::test]
async fn apps_stacks_and_their_nodes_are_found_too_and_no_longer_once_they_are_gone() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let owner = crate::store::inventory::owner(&store).await;
        let mut stack = crate::store::inventory::stack(&store, &owner, "quiet-otter");
        let machine = greenroom::model::id::NodeId::from_bits(store.next_id());
        let mut tx = store.write(&TEST, "stack.launch", "x").await.unwrap();
        tx.insert_stack(&stack).await.unwrap();
        tx.insert_node(&machine, &stack.id, "fake").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(names(&store, "stack:quiet-otter", Spelling::Strict).await, [machine.as_str()]);
        let query = parse("state:building").unwrap();
        let stacks = Search {
            kind: "stack",
            ..search(&query, Spelling::Strict)
        };
        assert_eq!(find(&store, &stacks).await.rows[0].document["name"], "quiet-otter");
        stack.state = greenroom::model::stack::StackState::Destroyed;
        let mut tx = store.write(&TEST, "stack.destroy", "x").await.unwrap();
        tx.update_stack(&mut stack).await.unwrap();
        tx.set_node_gone(&machine).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(find(&store, &search(&Query::All, Spelling::Strict)).await.total, 0);
        assert_eq!(
            find(
                &store,
                &Search {
                    kind: "stack",
                    ..search(&Query::All, Spelling::Strict)
                }
            )
            .await
            .total,
            0
        );
        let environment = Object::from_json(
            ObjectKind::Environment,
            r#"{"apiVersion":"greenroom/v1","kind":"Environment","metadata":{"name":"uat"},"spec":{"restorable":true}}"#,
        );
        put(&store, &environment.unwrap()).await;
        let query = parse("restorable:true").unwrap();
        let found = find(
            &store,
            &Search {
                kind: "environment",
                ..search(&query, Spelling::Strict)
            },
        )
        .await;
        assert_eq!(found.rows[0].name, "uat");
    }
}
