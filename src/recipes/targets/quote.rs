//! Text as a word of a shell script, as a here-document, as a part of a unit file, and as a scalar of YAML.
//!
//! The invariant: whoever reads the result gets back exactly the text, and neither `shellcheck` nor a YAML reader of any
//! age finds something to say about it.

use base64::Engine;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The text as one word of a shell command, on one line.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+,-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    if text.chars().any(|c| is_odd(c) || c == '\n') {
        return ansi(text);
    }
    // A tilde in quotes is taken for a mistake by those who check scripts.
    if let Some(rest) = text.strip_prefix('~') {
        return if rest.is_empty() {
            "\\~".to_owned()
        } else {
            format!("\\~{}", word(rest))
        };
    }
    if text.contains(['$', '`', '\'', '\\']) {
        let mut quoted = String::from("\"");
        for c in text.chars() {
            if matches!(c, '$' | '`' | '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        return quoted;
    }
    format!("'{text}'")
}

/// Several words with blanks between them.
pub fn words<T: AsRef<str>>(texts: &[T]) -> String {
    texts.iter().map(|text| word(text.as_ref())).collect::<Vec<_>>().join(" ")
}

// Characters that look like others, or that cannot be seen: written by number.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{a0}' | '\u{ad}' | '\u{2000}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}')
        || matches!(c, '\u{b4}' | '\u{1680}' | '\u{3000}')
}

fn ansi(text: &str) -> String {
    let mut quoted = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_odd(c) => {
                for byte in c.to_string().bytes() {
                    let _ = write!(quoted, "\\{byte:03o}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// Commands that print exactly this text, at the margin: a here-document where a person can read it, base64 otherwise.
pub fn print(text: &str) -> String {
    if text.is_empty() {
        return ":".to_owned();
    }
    let readable = |c: char| c == '\n' || c == '\t' || !is_odd(c);
    if !text.chars().all(readable) {
        let encoded = base64(text.as_bytes());
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(76)
            .map(|line| std::str::from_utf8(line).unwrap_or_default())
            .collect();
        return format!("base64 -d <<'END_OF_TEXT'\n{}\nEND_OF_TEXT", lines.join("\n"));
    }
    match text.strip_suffix('\n') {
        None => format!("printf %s {}", word(text)),
        Some(lines) => {
            let end = delimiter(text);
            format!("cat <<'{end}'\n{lines}\n{end}")
        }
    }
}

// A line that the text does not have, and the same for the same text.
fn delimiter(text: &str) -> String {
    let mut end = "END_OF_TEXT".to_owned();
    while text.contains(&end) {
        let hash = Sha256::digest([text.as_bytes(), end.as_bytes()].concat());
        end = crate::model::secret::hex("END_OF_TEXT_", &hash[..6]);
    }
    end
}

/// Standard base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A word of a unit file's `ExecStart=`.
pub fn argument(text: &str) -> String {
    unit(text, true)
}

/// An assignment of a unit file's `Environment=`.
pub fn assignment(name: &str, value: &str) -> String {
    unit(&format!("{name}={value}"), false)
}

fn unit(text: &str, expands: bool) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '%' => quoted.push_str("%%"),
            '$' if expands => quoted.push_str("$$"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A setting of a unit file that is taken as it is, such as a path or a description.
pub fn setting(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.replace('%', "%%").trim().to_owned()
}

/// A double-quoted scalar of YAML that old and new readers take for the same text.
pub fn scalar(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if is_odd(c) || c == '\u{85}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether the text can stand as a literal block of YAML, each line as it is.
pub fn is_block(text: &str) -> bool {
    text.ends_with('\n') && !text.ends_with("\n\n") && text != "\n" && !text.chars().any(|c| is_odd(c) || c == '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn bash(script: &str) -> String {
        let ran = Command::new("bash").args(["-c", script]).output().unwrap();
        assert!(ran.status.success(), "{script}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z ~$`'\"\\\\!*?{}%#;&|<>()\n\t=]{0,24}",
            "(END_OF_TEXT|a)\n(END_OF_TEXT\n)?",
            "\\PC{0,12}",
            "[\u{1}-\u{7f}\u{80}-\u{a0}\u{2018}\u{201c}\u{feff}\r\n]{0,12}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_shell_reads_back_every_text(texts in proptest::collection::vec(text(), 1..6)) {
            let mut script = String::new();
            for text in &texts {
                let _ = writeln!(script, "printf '%s|' {}\n{}", word(text), print(text));
            }
            let expected: Vec<String> = texts.iter().map(|t| format!("{t}|{t}")).collect();
            prop_assert_eq!(bash(&script), expected.concat());
        }

        #[test]
        fn yaml_reads_back_every_text(text in text()) {
            let read: String = serde_saphyr::from_str(&scalar(&text)).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
