//! Files that mean harm: each gets a clear, coded answer, quickly and in little memory.

use super::{bundle, codes, document, shown, valid};
use greenroom::model::diagnostic::Diagnostic;
use greenroom::recipes::compile;
use greenroom::recipes::descriptor::parse;
use greenroom::recipes::view::View;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

fn only(found: &[Diagnostic], code: &str) {
    assert_eq!(codes(found), [code], "{}", shown(found));
    assert!(found[0].line > 0 && found[0].column > 0);
}

fn descriptor(bytes: &[u8]) -> Vec<Diagnostic> {
    let started = Instant::now();
    let (descriptor, found) = parse("evil.json", bytes);
    assert!(descriptor.is_none());
    assert!(started.elapsed() < Duration::from_secs(2));
    found
}

fn recipe(bytes: &[u8]) -> Vec<Diagnostic> {
    let started = Instant::now();
    let mut bundle = greenroom::recipes::Bundle::shipped();
    bundle.add("evil.yaml", bytes);
    assert!(started.elapsed() < Duration::from_secs(5));
    bundle.check()
}

fn compiled(recipe: &str) -> Vec<Diagnostic> {
    let bundle = bundle(&[("evil.yaml", recipe)]);
    let app = valid(&document("shop", json!({"recipes": [{"name": "evil"}]})));
    let started = Instant::now();
    let found = compile(&bundle, &View::example(&app, &BTreeMap::new())).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    found
}

#[test]
fn what_is_not_utf8_is_refused_at_its_first_byte() {
    let found = descriptor(b"{\n  \"a\": \"\xff\"}");
    only(&found, "not-utf8");
    assert_eq!((found[0].line, found[0].column), (2, 9));
    only(&recipe(b"recipe: \xfe\xff"), "not-utf8");
    only(&recipe(&[0xff; 16]), "not-utf8");
}

#[test]
fn ten_megabytes_are_refused_unread() {
    let mut large = b"{\"a\": \"".to_vec();
    large.resize(10 * 1024 * 1024, b'x');
    only(&descriptor(&large), "too-large");
    only(&recipe(&large), "too-large");
    let mut almost = b"[".repeat(200 * 1024);
    almost.extend(b"]".repeat(10));
    only(&descriptor(&almost), "too-deep");
}

#[test]
fn a_hundred_thousand_levels_are_refused() {
    let levels = 100_000;
    only(&descriptor(&[b"[".repeat(levels), b"]".repeat(levels)].concat()), "too-deep");
    let maps = [b"{\"a\":".repeat(levels / 4), b"1".to_vec(), b"}".repeat(levels / 4)].concat();
    only(&descriptor(&maps), "too-deep");
    for text in [
        "[".repeat(levels),
        "{a: ".repeat(levels),
        "- ".repeat(levels),
        "? ".repeat(levels),
        "a:\n".repeat(3),
    ] {
        let found = recipe(text.as_bytes());
        assert!(!found.is_empty() && found[0].line > 0, "{}", shown(&found));
    }
    let mut indented = String::new();
    for level in 0..400 {
        let _ = writeln!(indented, "{}a:", " ".repeat(level));
    }
    only(&recipe(indented.as_bytes()), "too-complex");
}

#[test]
fn huge_numbers_and_lists_are_refused_where_they_stand() {
    let text = document("shop", json!({})).to_string();
    let with = |from: &str, to: &str| descriptor(text.replace(from, to).as_bytes());
    only(&with("{\"public\":true}", "{\"port\":1e999}"), "out-of-range");
    only(
        &with("{\"public\":true}", &format!("{{\"port\":{}}}", "9".repeat(5_000))),
        "out-of-range",
    );
    let many = vec!["\"x\""; 20_000].join(",");
    only(&with("\"app.py\"", &many), "too-long");
    let ports: Vec<String> = (0..5_000).map(|n| format!("\"P{n}\":{{}}")).collect();
    let found = with("\"web\":{\"public\":true}", &ports.join(","));
    assert!(found.len() <= 101, "findings are cut off");
}

#[test]
fn an_alias_bomb_does_not_go_off() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{row}]");
    }
    only(&recipe(text.as_bytes()), "too-complex");
    let found = recipe(b"recipe: &a evil\ndescription: *b\n");
    assert!(!found.is_empty() && found[0].line > 0);
    let found = recipe(b"a: &a [*a]\n");
    assert!(!found.is_empty() && found[0].line > 0);
}

#[test]
fn odd_yaml_is_answered_and_never_crashes() {
    for text in [
        "",
        "---\n---\n",
        "--- a\n--- b\n",
        "\t",
        "%YAML 9.9\n---\na",
        "!!binary x",
        "recipe: !!int x",
        "? [a, b]\n: c",
        "{{ x }}: y",
        "a: {{ x }}",
        "<<: {a: b}",
        "recipe: |\n  x\n y",
        "- - - -",
        "&",
        "*",
        "@",
        "`",
        "recipe: .nan",
        "recipe: .inf\ndescription: ~",
        "null",
        "[]",
        "recipe: evil\nrecipe: evil\n",
        "\u{0}",
        "a: \"\\x\"",
    ] {
        let found = recipe(text.as_bytes());
        assert!(!found.is_empty(), "{text:?}");
        for finding in found {
            assert!(finding.line > 0 && !finding.code.is_empty(), "{text:?}: {finding}");
        }
    }
}

#[test]
fn a_template_that_would_run_for_ever_runs_out_of_fuel() {
    let evil = |content: &str| {
        let content = serde_json::to_string(content).unwrap();
        compiled(&format!(
            "recipe: evil\ndescription: x\nstates:\n  - file: {{path: /sandbox/x, content: {content}}}\n"
        ))
    };
    for content in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 999999999999 }}",
        "{{ ('x' * 99999) * 99999 }}",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{{ range(9999999999) | list }}",
        "{% include 'evil.yaml' %}",
        "{% extends 'x' %}",
    ] {
        only(&evil(content), "template-failed");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    let bundle = bundle(&[(
        "evil.yaml",
        &format!("recipe: evil\ndescription: x\nstates:\n  - file: {{path: /x, content: '{deep}'}}\n"),
    )]);
    only(&bundle.check(), "template-syntax");
}

#[test]
fn loops_and_includes_have_bounds() {
    let found =
        compiled("recipe: evil\ndescription: x\nstates:\n  - directory: {path: '/sandbox/{{ n }}', for: n in range(5000)}\n");
    only(&found, "too-complex");
    let found = compiled("recipe: evil\ndescription: x\ninclude: [evil]\n");
    only(&found, "include-cycle");
}

#[test]
fn hostile_names_paths_and_revisions_are_refused() {
    let cases = [
        json!({"repository": "--upload-pack=touch /tmp/x"}),
        json!({"repository": "https://example.org/a\nb"}),
        json!({"repository": "ext::sh -c touch% /tmp/x"}),
        json!({"defaultRef": "--output=/etc/passwd"}),
        json!({"defaultRef": "a;b"}),
        json!({"path": "../other"}),
        json!({"path": "/etc"}),
        json!({"processes": {"a/../b": {"command": ["x"]}}}),
        json!({"processes": {"a\nb": {"command": ["x"]}}}),
        json!({"processes": {"web": {"command": ["x\u{0}y"]}}}),
        json!({"ports": {"a b": {}}}),
        json!({"env": {"A=B": {"value": "x"}}}),
        json!({"resources": {"../db": {"type": "sqlite"}}}),
        json!({"resources": {"db": {"type": "sqlite", "data": {"fixture": "../../secrets.sql"}}}}),
        json!({"recipes": [{"name": "../../etc/passwd"}]}),
        json!({"dependsOn": [{"app": "a;rm -rf"}]}),
        json!({"env": {"X": {"value": "{% for x in range(9) %}{% endfor %}"}}}),
        json!({"env": {"X": {"value": "{{ 'x' * 99999999999 "}}}),
    ];
    for case in cases {
        let text = document("shop", case.clone()).to_string();
        let found = descriptor(text.as_bytes());
        assert!(found.iter().all(|d| d.line > 0), "{case}");
    }
    for name in ["../x", "a\nb", "A", "a;b", "-x", ""] {
        descriptor(document(name, json!({})).to_string().as_bytes());
    }
}

#[test]
fn a_value_that_eats_memory_fails_when_it_is_compiled() {
    let app = document("shop", json!({"env": {"X": {"value": "{{ 'x' * 99999999999 }}"}}}));
    let app = valid(&app);
    let found = compile(&bundle(&[]), &View::example(&app, &BTreeMap::new())).unwrap_err();
    assert_eq!(codes(&found), ["template-failed"], "{}", shown(&found));
}
