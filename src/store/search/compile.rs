//! From a question to SQL over the index: each leaf becomes a list of documents, and the operators between them the
//! operators of a condition. What people wrote is bound, never put into the text.

use crate::model::search::{Leaf, Pattern, Piece, Query, Spelling, Test, chef_name};
use std::fmt::Write as _;

/// A condition on `d.id`, and what is bound to its placeholders.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) binds: Vec<String>,
    /// Leaves that look at every value of many keys.
    pub(super) wide: usize,
    /// Whether the documents that it finds are all in the list of one of its leaves.
    pub(super) is_selective: bool,
}

/// The condition of a question about documents of a kind.
pub(super) fn compile(kind: &str, query: &Query, spelling: Spelling) -> Condition {
    let mut compiler = Compiler {
        spelling,
        binds: vec![kind.to_owned()],
        wide: 0,
    };
    let mut text = String::new();
    compiler.query(query, &mut text);
    Condition {
        text,
        binds: compiler.binds,
        wide: compiler.wide,
        is_selective: is_selective(query),
    }
}

fn is_selective(query: &Query) -> bool {
    match query {
        Query::Term(_) => true,
        Query::And(parts) => parts.iter().any(is_selective),
        Query::All | Query::Or(_) | Query::Not(_) => false,
    }
}

struct Compiler {
    spelling: Spelling,
    // The first is the kind.
    binds: Vec<String>,
    wide: usize,
}

impl Compiler {
    fn bind(&mut self, value: impl Into<String>) -> String {
        self.binds.push(value.into());
        format!("${}", self.binds.len())
    }

    fn query(&mut self, query: &Query, out: &mut String) {
        match query {
            Query::All => out.push_str("1 = 1"),
            Query::And(parts) => self.list(parts, " AND ", out),
            Query::Or(parts) => self.list(parts, " OR ", out),
            Query::Not(inner) => {
                out.push_str("NOT (");
                self.query(inner, out);
                out.push(')');
            }
            Query::Term(leaf) => {
                out.push_str("d.id IN (SELECT t.document FROM index_terms t WHERE t.key_id IN (SELECT k.id FROM index_keys k WHERE k.kind = $1");
                self.key(leaf.field.as_ref(), out);
                out.push(')');
                self.value(leaf, out);
                out.push(')');
            }
        }
    }

    fn list(&mut self, parts: &[Query], join: &str, out: &mut String) {
        out.push('(');
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                out.push_str(join);
            }
            self.query(part, out);
        }
        out.push(')');
    }

    fn key(&mut self, field: Option<&Pattern>, out: &mut String) {
        let Some(field) = field else { return };
        if let Some(text) = field.as_text() {
            if self.spelling == Spelling::Strict {
                let path = self.bind(text);
                let _ = write!(out, " AND k.path = {path}");
            } else {
                let name = chef_name(text);
                let (path, plain, joined) = (self.bind(text), self.bind(name), self.bind(name.replace('.', "_")));
                let _ = write!(
                    out,
                    " AND (k.path = {path} OR k.path = {plain} OR k.leaf = {plain} OR k.joined = {joined})"
                );
            }
            return;
        }
        let like = self.bind(pattern(field));
        if self.spelling == Spelling::Strict {
            let _ = write!(out, " AND k.path LIKE {like} ESCAPE '!'");
        } else {
            let _ = write!(
                out,
                " AND (k.path LIKE {like} ESCAPE '!' OR k.leaf LIKE {like} ESCAPE '!' OR k.joined LIKE {like} ESCAPE '!')"
            );
        }
    }

    fn value(&mut self, leaf: &Leaf, out: &mut String) {
        let many_keys = leaf.field.as_ref().is_none_or(|field| field.as_text().is_none());
        match &leaf.test {
            Test::Like(wanted) => {
                if let Some(text) = wanted.as_text() {
                    let value = self.bind(text);
                    let _ = write!(out, " AND t.value = {value}");
                } else {
                    let prefix = wanted.prefix();
                    if prefix.is_empty() {
                        self.wide += usize::from(many_keys);
                    } else {
                        let (low, high) = (self.bind(prefix), self.bind(format!("{prefix}\u{10ffff}")));
                        let _ = write!(out, " AND t.value >= {low} AND t.value < {high}");
                    }
                    if !wanted.is_anything() {
                        let like = self.bind(pattern(wanted));
                        let _ = write!(out, " AND t.value LIKE {like} ESCAPE '!'");
                    }
                }
            }
            Test::Range { low, high, inclusive } => {
                self.wide += usize::from(many_keys);
                let (above, below) = if *inclusive { (">=", "<=") } else { (">", "<") };
                if let Some((low, high)) = leaf.numbers() {
                    // Numbers go as text and are cast, as where they are written.
                    for (end, operator) in [(low, above), (high, below)] {
                        if let Some(end) = end {
                            let end = self.bind(end.to_string());
                            let _ = write!(out, " AND t.number {operator} CAST(CAST({end} AS TEXT) AS DOUBLE PRECISION)");
                        }
                    }
                    *out += " AND t.number IS NOT NULL";
                    return;
                }
                for (end, operator) in [(low, above), (high, below)] {
                    if let Some(end) = end {
                        let end = self.bind(end.clone());
                        let _ = write!(out, " AND t.value {operator} {end}");
                    }
                }
            }
        }
    }
}

// For LIKE with `!` as its escape.
fn pattern(wanted: &Pattern) -> String {
    let mut like = String::new();
    for piece in &wanted.0 {
        match piece {
            Piece::One => like.push('_'),
            Piece::Many => like.push('%'),
            Piece::Text(text) => {
                for c in text.chars() {
                    if matches!(c, '!' | '%' | '_') {
                        like.push('!');
                    }
                    like.push(c);
                }
            }
        }
    }
    like
}
