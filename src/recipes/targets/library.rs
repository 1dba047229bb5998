//! The functions that scripts are put together from: `library.sh`, of which a script gets those that it uses.
//!
//! The invariant: a function comes with all that it calls, in the order of the library.

use std::collections::BTreeSet;

const TEXT: &str = include_str!("library.sh");
const FIRST: &str = "say() {";

struct Function {
    name: &'static str,
    text: &'static str,
}

/// What every script starts with.
pub fn preamble() -> &'static str {
    let (before, _) = split();
    before.find("\nset -").map_or(before, |at| before[at..].trim())
}

/// The functions of the library that these commands use, with all that those use.
pub fn used_by(commands: &str) -> String {
    let (_, functions) = split();
    let mut used: BTreeSet<usize> = BTreeSet::new();
    let mut texts = vec![commands];
    while let Some(text) = texts.pop() {
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        for (index, function) in functions.iter().enumerate() {
            if words.contains(function.name) && used.insert(index) {
                texts.push(function.text);
            }
        }
    }
    let texts: Vec<&str> = used.iter().map(|index| functions[*index].text).collect();
    format!("{}\n\n", texts.join("\n\n"))
}

// The text before the first function, and the functions with the comments above them.
fn split() -> (&'static str, Vec<Function>) {
    let at = TEXT.find(FIRST).unwrap_or(TEXT.len());
    let (before, after) = TEXT.split_at(at);
    let functions = after.trim_end().split("\n\n").filter_map(|text| {
        let line = text.lines().find(|line| !line.starts_with('#'))?;
        let (name, _) = line.split_once("() ")?;
        Some(Function { name, text })
    });
    (before, functions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_what_it_uses_and_what_that_uses() {
        let some = used_by("check() { holds /etc/motd 644; }");
        assert!(some.contains("holds() {") && some.contains("has_mode() {"), "{some}");
        assert!(!some.contains("checkout() {"), "{some}");
        assert!(preamble().starts_with("set -euo pipefail"));
    }

    #[test]
    fn every_function_of_the_library_is_found() {
        let (_, functions) = split();
        let written = TEXT
            .lines()
            .filter(|line| !line.starts_with([' ', '#']) && line.contains("() "))
            .count();
        assert_eq!(functions.len(), written);
    }
}
