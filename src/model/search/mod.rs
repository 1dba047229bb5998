//! Search: queries in Chef's grammar, and documents as terms. Pure; the store keeps the terms, and finds documents by them.
//!
//! The grammar, besides what everyone guesses: words beside each other are alternatives, `AND` binds tighter than `OR`,
//! `-x`, `!x` and `NOT x` beside other words take away from them and `+x` is required; `field:(a b)`, `field:"two words"`,
//! `field:[1 TO 9]` with both ends and `field:{1 TO 9}` without; `*` and `?` stand for any characters and for one; a back
//! slash takes the meaning from the next character.
//!
//! Invariant: [`matches()`] says of a document what the store's SQL says of its terms.

mod evaluate;
mod parse;
mod scan;
mod terms;

pub use evaluate::matches;
pub use parse::parse;
pub use terms::{Term, number_of, spellings, terms};

use std::fmt;

/// What can be searched.
pub const INDEXES: [&str; 6] = ["app", "datacenter", "environment", "node", "role", "stack"];

/// A question about documents.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Everything: `*:*`.
    All,
    /// What every one of these finds.
    And(Vec<Query>),
    /// What any of these finds.
    Or(Vec<Query>),
    /// What this does not find.
    Not(Box<Query>),
    /// A value of a key.
    Term(Leaf),
}

/// A question about one value.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// Which key; any where absent.
    pub field: Option<Pattern>,
    /// What of its value.
    pub test: Test,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Like this.
    Like(Pattern),
    /// Between these; open where absent. Numbers are compared as numbers where both ends are, or one is and the other open.
    Range {
        /// The lower end.
        low: Option<String>,
        /// The upper end.
        high: Option<String>,
        /// Whether the ends count too.
        inclusive: bool,
    },
}

/// A text in which some characters may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub Vec<Piece>);

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// Any one character.
    One,
    /// Any characters.
    Many,
}

/// Which spellings of a key count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// The whole path alone: `facts.kernel.release`.
    Strict,
    /// Chef's too: `kernel_release`, `kernel.release` and the bare `release`.
    Chef,
}

/// Where a query cannot be read, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct QueryError {
    /// What is wrong, without a full stop.
    pub message: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What could stand there.
    pub expected: String,
}

impl Pattern {
    /// A pattern of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// The text, where there is nothing but one.
    pub fn as_text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text that it begins with.
    pub fn prefix(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether anything at all is like it.
    pub fn is_anything(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|piece| *piece == Piece::Many)
    }

    /// Whether a text is like it.
    pub fn is_like(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        // The places of the text that the pieces so far may end at.
        let mut ends = vec![false; text.len() + 1];
        ends[0] = true;
        for piece in &self.0 {
            let mut next = vec![false; text.len() + 1];
            match piece {
                Piece::Many => {
                    let first = ends.iter().position(|end| *end).unwrap_or(ends.len());
                    next.iter_mut().skip(first).for_each(|end| *end = true);
                }
                Piece::One => next[1..].copy_from_slice(&ends[..text.len()]),
                Piece::Text(literal) => {
                    let literal: Vec<char> = literal.chars().collect();
                    for at in (0..ends.len()).filter(|at| ends[*at]) {
                        if text[at..].starts_with(&literal) {
                            next[at + literal.len()] = true;
                        }
                    }
                }
            }
            ends = next;
        }
        ends[text.len()]
    }
}

impl Leaf {
    /// The ends of its range as numbers, where it is a range of numbers.
    pub fn numbers(&self) -> Option<(Option<f64>, Option<f64>)> {
        let Test::Range { low, high, .. } = &self.test else {
            return None;
        };
        let end = |text: &Option<String>| match text {
            None => Some(None),
            Some(text) => number_of(text).map(Some),
        };
        let ends = (end(low)?, end(high)?);
        (ends != (None, None)).then_some(ends)
    }
}

/// The key that one of Chef's names means here.
pub fn chef_name(field: &str) -> &str {
    match field {
        "chef_environment" => "environment",
        "chef_type" => "kind",
        "recipe" => "recipes",
        other => other,
    }
}

// Written back so that it reads the same: for messages, and for names of questions that are asked again and again.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, parts: &[Self], word: &str| {
            f.write_str("(")?;
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                write!(f, "{part}")?;
            }
            f.write_str(")")
        };
        match self {
            Self::All => f.write_str("*:*"),
            Self::And(parts) => list(f, parts, "AND"),
            Self::Or(parts) => list(f, parts, "OR"),
            Self::Not(inner) => write!(f, "(NOT {inner})"),
            Self::Term(leaf) => write!(f, "{leaf}"),
        }
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}:")?;
        }
        match &self.test {
            Test::Like(pattern) if pattern.as_text().is_some_and(str::is_empty) => f.write_str("\"\""),
            Test::Like(pattern) => write!(f, "{pattern}"),
            Test::Range { low, high, inclusive } => {
                let end = |text: &Option<String>| {
                    text.as_deref()
                        .map_or_else(|| "*".to_owned(), |t| format!("\"{}\"", quoted(t)))
                };
                let (open, close) = if *inclusive { ('[', ']') } else { ('{', '}') };
                write!(f, "{open}{} TO {}{close}", end(low), end(high))
            }
        }
    }
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.as_text().is_some_and(|text| matches!(text, "AND" | "OR" | "NOT" | "TO"));
        if word {
            f.write_str("\\")?;
        }
        for piece in &self.0 {
            match piece {
                Piece::One => f.write_str("?")?,
                Piece::Many => f.write_str("*")?,
                Piece::Text(text) => {
                    for c in text.chars() {
                        if !c.is_alphanumeric() && !matches!(c, '_' | '.' | '@') {
                            f.write_str("\\")?;
                        }
                        write!(f, "{c}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
