//! The parser of queries: no text breaks it, and what it reads it can write and read again.

use greenroom::model::search::{Leaf, Pattern, Piece, Query, Test, parse};
use proptest::prelude::*;

// Noise that is made of what the grammar is made of gets further in than letters do.
fn noise() -> impl Strategy<Value = String> {
    let words = [
        "a",
        "role",
        ":",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "AND",
        "OR",
        "NOT",
        "TO",
        "&&",
        "||",
        "!",
        "+",
        "-",
        "*",
        "?",
        "\"",
        "\\",
        "~",
        "^",
        " ",
        "\n",
        "1",
        "-5",
        "é",
        "\u{1f600}",
        "\u{0}",
        ".",
        "/",
        "@",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40).prop_map(|parts| parts.concat())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,6}", "[ -~é]{1,6}", Just("AND".to_owned()), Just("TO".to_owned())]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        4 => text().prop_map(Pattern::text),
        1 => text().prop_map(|text| Pattern(vec![Piece::Text(text), Piece::Many])),
        1 => text().prop_map(|text| Pattern(vec![Piece::One, Piece::Text(text), Piece::Many])),
    ]
}

fn leaf() -> impl Strategy<Value = Query> {
    let end = || proptest::option::of(text());
    let test = prop_oneof![
        3 => pattern().prop_map(Test::Like),
        1 => (end(), end(), any::<bool>()).prop_map(|(low, high, inclusive)| Test::Range { low, high, inclusive }),
    ];
    (proptest::option::of(pattern()), test).prop_map(|(field, test)| {
        // A range is always of a field.
        let field = match test {
            Test::Range { .. } => Some(field.unwrap_or_else(|| Pattern::text("x"))),
            Test::Like(_) => field,
        };
        Query::Term(Leaf { field, test })
    })
}

fn query() -> impl Strategy<Value = Query> {
    leaf().prop_recursive(4, 20, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Query::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Query::Or),
            inner.prop_map(|query| Query::Not(Box::new(query))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_parser_and_errors_point_into_it(text in noise()) {
        if let Err(error) = parse(&text) {
            let lines: Vec<&str> = text.split('\n').collect();
            let line = lines.get(error.line as usize - 1).copied();
            prop_assert!(line.is_some_and(|line| error.column as usize <= line.chars().count() + 1), "{text:?}: {error}");
            prop_assert!(!error.expected.is_empty() && !error.message.is_empty());
        }
    }

    #[test]
    fn any_text_at_all_is_read_or_refused(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn a_query_that_is_written_reads_as_the_same(query in query()) {
        let written = query.to_string();
        let read = parse(&written);
        prop_assert!(read.is_ok(), "{written}: {read:?}");
        prop_assert_eq!(read.unwrap().to_string(), written);
    }
}
