//! Documents as trees whose every key and value knows where it stands, and the findings that point there.
//!
//! Knows no schema. The invariant: an offset in a node is an offset in the text of the [`Source`] it came from, so every
//! finding has a line and a column.

use crate::model::diagnostic::{Diagnostic, Severity};

/// The deepest nesting that a document may have.
pub const MAX_DEPTH: usize = 64;

/// The most findings that are collected before the rest is only counted.
const MAX_FINDINGS: usize = 100;

/// A file's name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file as the person named it.
    pub file: String,
    /// Its text.
    pub text: String,
    lines: Vec<usize>,
}

impl Source {
    /// A source over a text.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1));
        Self {
            file: file.into(),
            text,
            lines,
        }
    }

    /// Line and column, both from 1, of a byte offset.
    pub fn position(&self, at: usize) -> (u32, u32) {
        let at = at.min(self.text.len());
        let line = self.lines.partition_point(|start| *start <= at).max(1);
        let start = self.lines[line - 1];
        let column = 1 + self.text.get(start..at).map_or(0, |before| before.chars().count());
        (
            u32::try_from(line).unwrap_or(u32::MAX),
            u32::try_from(column).unwrap_or(u32::MAX),
        )
    }

    /// The byte offset of a line and a column in bytes, both from 1.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        (start + column.saturating_sub(1)).min(self.text.len())
    }

    /// `file:line:column` of a byte offset.
    pub fn origin(&self, at: usize) -> String {
        let (line, column) = self.position(at);
        format!("{}:{line}:{column}", self.file)
    }

    /// A finding at a byte offset.
    pub fn diagnostic(&self, severity: Severity, at: usize, code: &str, path: &str, message: String) -> Diagnostic {
        let (line, column) = self.position(at);
        Diagnostic {
            severity,
            code: code.to_owned(),
            message,
            file: self.file.clone(),
            line,
            column,
            path: path.to_owned(),
            help: None,
            snippet: self.snippet(line),
        }
    }

    fn snippet(&self, line: u32) -> Option<String> {
        let start = *self.lines.get(line as usize - 1)?;
        let text = self.text.get(start..)?.lines().next()?;
        let shown: String = text.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
        (!shown.trim().is_empty()).then_some(shown)
    }
}

/// A value and where it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Byte offset of its start.
    pub at: usize,
    /// Byte offset of its key, or its own where it has none.
    pub key_at: usize,
    /// The value.
    pub kind: Kind,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it was written, so that `3.10` and `0644` keep their digits.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map in written order; a key may occur twice until the shape is checked.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Byte offset of its start.
    pub at: usize,
    /// The key.
    pub name: String,
}

impl Node {
    /// A value that stands somewhere.
    pub fn new(at: usize, kind: Kind) -> Self {
        Self { at, key_at: at, kind }
    }

    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The value under a key; nothing where this is no map or has no such key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(k, _)| k.name == key).map(|(_, v)| v)
    }

    /// The value under a path of keys.
    pub fn at_path(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a map; none where it is no map.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none where it is no list.
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A scalar as text: a text itself, or a number as it was written.
    pub fn scalar(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) | Kind::Number(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        self.kind == Kind::Bool(true)
    }

    /// Texts of a list of scalars.
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().filter_map(Self::scalar).map(str::to_owned).collect()
    }

    /// The same value as JSON, without positions. A number that JSON cannot hold becomes text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(raw) => raw
                .parse::<serde_json::Number>()
                .map_or_else(|_| Value::String(raw.clone()), Value::Number),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(entries) => Value::Object(entries.iter().map(|(k, v)| (k.name.clone(), v.to_json())).collect()),
        }
    }
}

/// What was found in one source.
#[derive(Debug)]
pub struct Findings<'a> {
    /// The source.
    pub source: &'a Source,
    all: Vec<Diagnostic>,
    dropped: usize,
}

impl<'a> Findings<'a> {
    /// Nothing yet.
    pub fn new(source: &'a Source) -> Self {
        Self {
            source,
            all: Vec::new(),
            dropped: 0,
        }
    }

    /// Adds an error.
    pub fn error(&mut self, at: usize, code: &str, path: &str, message: impl Into<String>) {
        self.add(Severity::Error, at, code, path, message.into(), None);
    }

    /// Adds an error with advice.
    pub fn error_help(&mut self, at: usize, code: &str, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Error, at, code, path, message.into(), Some(help.into()));
    }

    /// Adds a warning with advice.
    pub fn warning(&mut self, at: usize, code: &str, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.add(Severity::Warning, at, code, path, message.into(), Some(help.into()));
    }

    fn add(&mut self, severity: Severity, at: usize, code: &str, path: &str, message: String, help: Option<String>) {
        if self.all.len() >= MAX_FINDINGS {
            self.dropped += usize::from(severity == Severity::Error);
            return;
        }
        let mut diagnostic = self.source.diagnostic(severity, at, code, path, message);
        diagnostic.help = help;
        self.all.push(diagnostic);
    }

    /// Whether an error is among them.
    pub fn has_errors(&self) -> bool {
        crate::model::diagnostic::has_errors(&self.all)
    }

    /// All, in the order of the text.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.all.sort_by_key(|d| (d.line, d.column));
        if self.dropped > 0 {
            let message = format!("{} more errors are not shown", self.dropped);
            let diagnostic = self.source.diagnostic(Severity::Error, 0, "too-many-errors", "", message);
            self.all.push(diagnostic);
        }
        self.all
    }
}

/// The best of the candidates for a misspelt word: `did you mean …`.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let shortened: String = word.chars().take(60).collect::<String>().to_lowercase();
    candidates
        .into_iter()
        .map(|c| {
            let lower = c.to_lowercase();
            let related = lower.starts_with(&shortened) || shortened.starts_with(&lower);
            let edits = strsim::damerau_levenshtein(&shortened, &lower);
            let near = edits <= (shortened.len() / 3).max(1);
            let close = if near {
                1.0 - 0.02 * f64::from(u32::try_from(edits).unwrap_or(9))
            } else {
                0.0
            };
            let part = if related && shortened.len() > 2 { 0.9 } else { 0.0 };
            (strsim::jaro_winkler(&shortened, &lower).max(close).max(part), c)
        })
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, c)| format!("did you mean `{c}`?"))
}

/// A text cut and made printable for a message.
pub fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        format!("{short:?}…")
    } else {
        format!("{short:?}")
    }
}

/// Reads bytes as UTF-8 within a size limit.
///
/// # Errors
/// One finding: too large, or not UTF-8 with the place of the first bad byte.
pub fn read_text(file: &str, bytes: &[u8], limit: usize) -> Result<Source, Box<Diagnostic>> {
    if bytes.len() > limit {
        let message = format!("the file has {} bytes; at most {limit} are taken", bytes.len());
        let mut diagnostic = Source::new(file, "").diagnostic(Severity::Error, 0, "too-large", "", message);
        diagnostic.help = Some("keep large data in the app's repository and name its path here".to_owned());
        return Err(Box::new(diagnostic));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Source::new(file, text.strip_prefix('\u{feff}').unwrap_or(text))),
        Err(error) => {
            let good = error.valid_up_to();
            let source = Source::new(file, String::from_utf8_lossy(&bytes[..good]));
            let message = format!("byte {good} (0x{:02x}) is not UTF-8", bytes[good]);
            let mut diagnostic = source.diagnostic(Severity::Error, good, "not-utf8", "", message);
            diagnostic.help = Some("save the file as UTF-8".to_owned());
            Err(Box::new(diagnostic))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source::new("f", "aé\nxy\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(3), (1, 3));
        assert_eq!(source.position(5), (2, 2));
        assert_eq!(source.position(99), (3, 1));
    }

    #[test]
    fn a_misspelt_word_gets_the_nearest_candidate() {
        let fields = ["processes", "ports", "resources"];
        assert_eq!(did_you_mean("proceses", fields), Some("did you mean `processes`?".to_owned()));
        assert_eq!(did_you_mean("zzz", fields), None);
    }
}
