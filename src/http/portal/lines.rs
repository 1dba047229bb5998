//! Logs as numbered lines, a page at a time, so that a line has an address that can be sent to someone.

use super::fields::Fields;
use super::format::plain;
use crate::wire::runs::LogPage;
use serde::Serialize;

// What one page holds; the rest is behind a link, or follows by itself with the script.
const LINES: usize = 5000;

/// Where in a log to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The chunk after which to read.
    pub after: i64,
    /// The number of the first line.
    pub line: usize,
}

impl Place {
    /// The place that a query names; the beginning where it names none.
    pub fn asked(query: &Fields) -> Self {
        Self {
            after: query.text("after").parse().unwrap_or(0).max(0),
            line: query.text("line").parse().unwrap_or(1).max(1),
        }
    }
}

/// A part of a log.
#[derive(Debug, Clone, Serialize)]
pub struct Lines {
    /// The lines with their numbers.
    pub lines: Vec<Line>,
    /// Where the next part begins: `after`.
    pub next: i64,
    /// Number of the next part's first line.
    pub next_line: usize,
    /// Whether there is more already.
    pub more: bool,
    /// Whether more may come.
    pub open: bool,
    /// Whether the log's beginning is elsewhere.
    pub further: bool,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// From 1.
    pub number: usize,
    /// Without its end and without colour codes.
    pub text: String,
}

impl Lines {
    /// A log from a place on, with nothing read yet.
    pub fn from(place: Place) -> Self {
        Self {
            lines: Vec::new(),
            next: place.after,
            next_line: place.line,
            more: false,
            open: false,
            further: place.after > 0,
        }
    }

    /// Adds what was read after `next`; says whether to read on.
    pub fn add(&mut self, page: &LogPage) -> bool {
        self.open = page.open;
        if page.chunks.is_empty() {
            return false;
        }
        for text in page.chunks.iter().flat_map(|chunk| chunk.text.lines()) {
            self.lines.push(Line {
                number: self.next_line,
                text: plain(text),
            });
            self.next_line += 1;
        }
        self.next = page.next;
        self.more = self.lines.len() >= LINES;
        !self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use crate::wire::runs::LogChunk;

    fn read(after: i64) -> LogPage {
        let chunks = (after + 1..=3.min(after + 2))
            .map(|seq| LogChunk {
                seq,
                at: Timestamp(0),
                text: format!("a{seq}\nb{seq}\n"),
            })
            .collect::<Vec<_>>();
        LogPage {
            next: chunks.last().map_or(after, |c| c.seq),
            chunks,
            open: false,
        }
    }

    #[test]
    fn lines_are_numbered_across_chunks_and_pages() {
        let mut all = Lines::from(Place { after: 0, line: 1 });
        while all.add(&read(all.next)) {}
        assert_eq!(all.lines.len(), 6);
        assert_eq!((all.lines[5].number, all.lines[5].text.as_str()), (6, "b3"));
        let mut rest = Lines::from(Place { after: 2, line: 5 });
        while rest.add(&read(rest.next)) {}
        assert_eq!((rest.lines[0].number, rest.next, rest.next_line), (5, 3, 7));
    }
}
