//! The only place that prints. Results go to standard output, everything else to standard error; with `--json` there is one
//! JSON document on standard output and nothing else.
//!
//! Colour never carries a meaning alone, and is used only on a terminal that has not been told `NO_COLOR`. A reader that has
//! gone away is no error.

mod problem;
mod progress;
mod table;

pub use progress::Progress;
pub use table::Table;

use crate::wire::problem::Problem;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    colour: Colour,
    error_colour: Colour,
    live: bool,
}

/// Whether a stream takes colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(bool);

impl Colour {
    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }
}

impl Output {
    /// For this process's streams.
    pub fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let live = std::io::stderr().is_terminal() && !plain;
        Self {
            json,
            colour: Colour(!plain && std::io::stdout().is_terminal()),
            error_colour: Colour(live),
            live: live && !json,
        }
    }

    /// Whether results are printed as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One line of the result.
    pub fn line(&self, text: impl AsRef<str>) {
        let _ = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
    }

    /// Text of the result as it is, such as a log.
    pub fn text(&self, text: impl AsRef<str>) {
        self.bytes(text.as_ref().as_bytes());
    }

    /// The result as it is, which need be no text.
    pub fn bytes(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    /// The result as a JSON document.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) {
        if let Ok(text) = serde_json::to_string_pretty(value) {
            self.line(text);
        }
    }

    /// The result as a JSON document on one line.
    pub fn json_line<T: Serialize + ?Sized>(&self, value: &T) {
        if let Ok(text) = serde_json::to_string(value) {
            self.line(text);
        }
    }

    /// The result: as JSON where asked for, else as this text.
    pub fn result<T: Serialize + ?Sized>(&self, value: &T, text: impl FnOnce() -> String) {
        if self.json {
            self.json(value);
        } else {
            self.line(text());
        }
    }

    /// The result as a table, or as JSON where asked for.
    pub fn table<T: Serialize + ?Sized>(&self, value: &T, table: &Table) {
        if self.json {
            self.json(value);
        } else {
            self.text(table.render(self.colour));
        }
    }

    /// A remark that is no part of the result.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
        }
    }

    /// A heading and its values, for people.
    pub fn fields(&self, fields: &[(&str, String)]) {
        let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.line(format!("{}  {value}", self.colour.dim(&format!("{name:<width$}"))));
        }
    }

    /// A link, made to be seen.
    pub fn link(&self, label: &str, url: &str) {
        self.line(format!("  {label:<16} {}", self.colour.cyan(url)));
    }

    /// A line that says that something was done.
    pub fn done(&self, text: impl AsRef<str>) {
        if !self.json {
            self.line(format!("{} {}", self.colour.green("✓"), text.as_ref()));
        }
    }

    /// What went wrong, and what to do: for people on standard error, with `--json` as `{"error": …}` on standard output.
    pub fn problem(&self, problem: &Problem) {
        if self.json {
            self.json(&serde_json::json!({ "error": problem }));
        } else {
            let _ = std::io::stderr()
                .lock()
                .write_all(problem::render(problem, self.error_colour).as_bytes());
        }
    }

    /// Live progress of a run.
    pub fn progress(&self) -> Progress {
        Progress::new(self.live, self.json, self.error_colour)
    }

    /// Live progress where someone watches, else nothing.
    pub fn progress_on_a_terminal(&self) -> Progress {
        Progress::new(self.live, !self.live, self.error_colour)
    }
}

/// Text from elsewhere without what would move the cursor or change colours.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
