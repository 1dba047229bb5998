//! Which lines of an output tell why something failed: the first that looks like an error, with what stands around it, and
//! the last ones. A compiler says what is wrong first and counts its errors last; most other programs end with the cause.

use std::collections::VecDeque;

/// How many lines an excerpt has at most.
pub const LINES: usize = 30;

const BEFORE: usize = 2;
const FIRST: usize = 10;

/// Takes lines one by one and keeps only those that may be needed.
#[derive(Debug, Clone, Default)]
pub struct Excerpt {
    count: usize,
    before: VecDeque<String>,
    first: Vec<String>,
    first_at: usize,
    told: String,
    last: VecDeque<String>,
}

impl Excerpt {
    /// Takes the next line.
    pub fn push(&mut self, line: String) {
        if self.first.is_empty() {
            if tells(&line) {
                self.first_at = self.count - self.before.len();
                self.first.extend(self.before.drain(..));
                self.first.push(line.clone());
                self.told.clone_from(&line);
            } else {
                self.before.push_back(line.clone());
                if self.before.len() > BEFORE {
                    self.before.pop_front();
                }
            }
        } else if self.first.len() < FIRST {
            self.first.push(line.clone());
        }
        self.last.push_back(line);
        if self.last.len() > LINES {
            self.last.pop_front();
        }
        self.count += 1;
    }

    /// The lines that tell most: at most [`LINES`], oldest first, with a line in between that says how many are left out.
    pub fn lines(mut self) -> Vec<String> {
        let last_at = self.count - self.last.len();
        // A program that is started again and again ends with the same words each time.
        if self.first.is_empty() || self.first_at >= last_at || self.last.contains(&self.told) {
            return self.last.into();
        }
        let kept = LINES - self.first.len() - 1;
        self.last.drain(..self.last.len() - kept);
        let left_out = self.count - kept - self.first_at - self.first.len();
        self.first.push(format!("… {left_out} lines …"));
        self.first.extend(self.last);
        self.first
    }
}

impl Extend<String> for Excerpt {
    fn extend<T: IntoIterator<Item = String>>(&mut self, lines: T) {
        lines.into_iter().for_each(|line| self.push(line));
    }
}

// As compilers, interpreters and common programs begin a line about an error, or name its kind before a colon.
fn tells(line: &str) -> bool {
    let line = line.trim_start();
    let begins = [
        "error:", "error[", "error TS", "Error:", "ERROR", "fatal:", "FATAL", "panic:", "FAILED",
    ];
    let holds = [
        "Error: ",
        "Exception: ",
        ": error:",
        ": error TS",
        ": fatal error:",
        " panicked at ",
    ];
    begins.iter().any(|word| line.starts_with(word)) || holds.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut excerpt = Excerpt::default();
        excerpt.extend(lines);
        excerpt.lines()
    }

    fn numbered(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|n| format!("   Compiling thiserror-impl v{n}"))
    }

    #[test]
    fn a_short_output_is_kept_whole_and_a_long_one_from_its_end() {
        assert_eq!(of(numbered(30)), numbered(30).collect::<Vec<_>>());
        assert_eq!(of(numbered(90)), numbered(90).skip(60).collect::<Vec<_>>());
    }

    #[test]
    fn the_compilers_first_error_is_kept_though_much_follows() {
        let output = numbered(50)
            .chain([
                "error[E0425]: cannot find value `sum`".to_owned(),
                "  --> src/main.rs:7:5".to_owned(),
            ])
            .chain(numbered(100))
            .chain(["error: could not compile `shop`".to_owned()]);
        let kept = of(output);
        assert_eq!(kept.len(), LINES);
        assert_eq!(kept[2..4], ["error[E0425]: cannot find value `sum`", "  --> src/main.rs:7:5"]);
        assert_eq!(kept[10], "… 76 lines …");
        assert_eq!(kept[29], "error: could not compile `shop`");
        assert_eq!(of(kept.clone()), kept, "an excerpt of an excerpt is the same");
    }

    #[test]
    fn an_error_among_the_last_lines_is_not_told_twice() {
        let output: Vec<String> = numbered(50).chain(["ValueError: no".to_owned()]).chain(numbered(5)).collect();
        assert_eq!(of(output.clone()), output[26..]);
        let again: Vec<String> = output.iter().chain(&output).cloned().collect();
        assert_eq!(of(again.clone()), again[82..]);
    }
}
