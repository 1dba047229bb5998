//! The rules for text that descriptors and recipes share.

use super::shape::Rule;
use crate::model::name::{AppName, CommitId, RelativePath, RepositoryUrl, RevisionName};
use crate::model::time::parse_length;

const fn rule(what: &'static str, words: &'static str, check: fn(&str) -> bool, max: usize) -> Rule {
    Rule {
        what,
        words,
        check,
        pattern: None,
        max,
    }
}

/// One line of words for people.
pub static LINE: Rule = rule("one line of text", "1 to 200 characters without line breaks", is_line, 200);
/// Words for people, several lines.
pub static WORDS: Rule = rule("text", "at most 4000 characters", |t| !t.contains('\0'), 4000);
/// A value of an environment variable or an argument: anything but NUL.
pub static VALUE: Rule = rule("text", "at most 4096 bytes without NUL", |t| !t.contains('\0'), 4096);
/// An argument of a command.
pub static ARGUMENT: Rule = rule("an argument", "1 to 4096 bytes without NUL", is_argument, 4096);
/// An app's name.
pub static APP: Rule = Rule {
    what: "an app name",
    words: AppName::RULE,
    check: |t| t.parse::<AppName>().is_ok(),
    pattern: Some("^[a-z][a-z0-9-]{0,61}[a-z0-9]$"),
    max: 63,
};
/// A name of a process, port, resource, recipe or state.
pub static NAME: Rule = Rule {
    what: "a name",
    words: "1 to 40 lower-case letters, digits, `-` and `_`, starting with a letter",
    check: is_name,
    pattern: Some("^[a-z][a-z0-9_-]{0,39}$"),
    max: 40,
};
/// A label or annotation key.
pub static LABEL: Rule = Rule {
    what: "a label",
    words: "1 to 100 letters, digits and `.`, `_`, `/`, `-`, starting with a letter or digit",
    check: is_label,
    pattern: Some("^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$"),
    max: 100,
};
/// The name of an environment variable.
pub static VARIABLE: Rule = Rule {
    what: "a variable name",
    words: "1 to 100 letters, digits and `_`, not starting with a digit",
    check: is_variable,
    pattern: Some("^[A-Za-z_][A-Za-z0-9_]{0,99}$"),
    max: 100,
};
/// A branch, tag or commit.
pub static REVISION: Rule = rule("a revision", RevisionName::RULE, |t| t.parse::<RevisionName>().is_ok(), 200);
/// Where a repository is.
pub static REPOSITORY: Rule = rule(
    "a repository",
    RepositoryUrl::RULE,
    |t| t.parse::<RepositoryUrl>().is_ok(),
    400,
);
/// A path inside a checkout.
pub static INSIDE: Rule = rule(
    "a path inside the checkout",
    RelativePath::RULE,
    |t| t.parse::<RelativePath>().is_ok(),
    400,
);
/// A length of time.
pub static LENGTH: Rule = rule(
    "a length of time",
    "such as `30s`, `10m` or `2h`, from one second to one day",
    is_length,
    40,
);
/// The path of a page.
pub static PAGE: Rule = rule(
    "a page's path",
    "it starts with `/` and has no white space",
    |t| t.starts_with('/') && !t.contains(|c: char| c.is_whitespace() || c.is_control()),
    400,
);
/// Five fields of cron.
pub static CRON: Rule = rule(
    "a cron time",
    "five fields: minute, hour, day of month, month, day of week; each `*`, `*/5`, `1-5`, `1,3` or a number in range",
    super::cron::is_cron,
    100,
);
/// An address with a scheme.
pub static URL: Rule = rule(
    "an address",
    "it starts with `https://` or `http://` and has no white space",
    |t| (t.starts_with("https://") || t.starts_with("http://")) && !t.contains(|c: char| c.is_whitespace() || c.is_control()),
    400,
);
/// A host name, with an optional leading `*.` and an optional port.
pub static HOST: Rule = rule(
    "a host name",
    "letters, digits, `.` and `-`, with an optional leading `*.` and port",
    is_host,
    253,
);
/// Permission bits.
pub static MODE: Rule = rule("a file mode", "three or four octal digits, such as `0644`", is_mode, 8);
/// A version as dotted numbers.
pub static VERSION: Rule = rule(
    "a version",
    "dotted numbers, such as `3.10`",
    |t| !t.is_empty() && t.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())),
    40,
);
/// An absolute path on a node.
pub static PATH: Rule = rule(
    "an absolute path",
    "it starts with `/` and has no `..`, no empty part and no control characters",
    is_path,
    1000,
);
/// The name of a program.
pub static PROGRAM: Rule = rule(
    "a program",
    "a name or path without white space",
    |t| !t.is_empty() && !t.starts_with('-') && !t.contains(|c: char| c.is_whitespace() || c.is_control()),
    400,
);
/// An identifier of a parameter or loop variable.
pub static IDENTIFIER: Rule = Rule {
    what: "an identifier",
    words: "lower-case letters, digits and `_`, starting with a letter",
    check: |t| is_name(t) && !t.contains('-'),
    pattern: Some("^[a-z][a-z0-9_]{0,39}$"),
    max: 40,
};
/// A name of a value: a name, where `+` before it appends to a list.
pub static KEY: Rule = rule(
    "a name of a value",
    "1 to 60 letters, digits, `-`, `_` and `.`, with an optional leading `+`",
    is_key,
    61,
);
/// A commit.
pub static COMMIT: Rule = rule("a commit", CommitId::RULE, |t| t.parse::<CommitId>().is_ok(), 64);
/// The name of a service on a node.
pub static SERVICE: Rule = rule(
    "a service name",
    "1 to 110 lower-case letters, digits, `-` and `_`, starting with a letter",
    |t| {
        t.starts_with(|c: char| c.is_ascii_lowercase())
            && t.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    },
    110,
);
/// An account or group of a machine.
pub static ACCOUNT: Rule = rule(
    "an account",
    "1 to 32 lower-case letters, digits, `-` and `_`, starting with a letter or `_`",
    |t| {
        t.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && t.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    },
    32,
);
/// The name of a package.
pub static PACKAGE: Rule = rule(
    "a package",
    "lower-case letters, digits and `+`, `-`, `.`, starting with a letter or digit",
    |t| {
        t.len() > 1
            && t.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && t.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
    },
    100,
);
/// A word without white space.
pub static WORD: Rule = rule(
    "a word",
    "no white space, not starting with `-`",
    |t| !t.is_empty() && !t.starts_with('-') && !t.contains(|c: char| c.is_whitespace() || c.is_control()),
    200,
);
/// A hash.
pub static SHA256: Rule = Rule {
    what: "a SHA-256 hash",
    words: "64 lower-case hexadecimal digits",
    check: |t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
    pattern: Some("^[0-9a-f]{64}$"),
    max: 64,
};
/// A path on the node or an address.
pub static SOURCE: Rule = rule(
    "a source",
    "an absolute path, or an address that starts with `https://` or `http://`",
    |t| is_path(t) || (URL.check)(t),
    1000,
);
/// An IP address.
pub static ADDRESS: Rule = rule(
    "an IP address",
    "such as `10.0.0.7` or `fd00::7`",
    |t| t.parse::<std::net::IpAddr>().is_ok(),
    60,
);
/// The name of a database or of a role in one.
pub static SQL_NAME: Rule = Rule {
    what: "a name of a database or role",
    words: "1 to 60 lower-case letters, digits and `_`, starting with a letter",
    check: |t| {
        t.starts_with(|c: char| c.is_ascii_lowercase())
            && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    },
    pattern: Some("^[a-z][a-z0-9_]{0,59}$"),
    max: 60,
};
/// A file name of a template beside the recipes.
pub static TEMPLATE_FILE: Rule = rule(
    "a template file",
    "a file name beside the recipe that ends with `.j2`",
    |t| std::path::Path::new(t).extension().is_some_and(|e| e == "j2") && !t.contains('/') && is_line(t),
    100,
);
/// Content of a file.
pub static CONTENT: Rule = rule("content", "at most 256 KiB without NUL", |t| !t.contains('\0'), 256 * 1024);
/// A template expression.
pub static EXPRESSION: Rule = rule("an expression", "at most 1000 characters", |t| !t.trim().is_empty(), 1000);

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

fn is_argument(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

fn is_name(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

fn is_key(text: &str) -> bool {
    let name = text.strip_prefix('+').unwrap_or(text);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_label(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
}

fn is_variable(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_length(text: &str) -> bool {
    parse_length(text).is_ok_and(|millis| (1_000..=86_400_000).contains(&millis))
}

fn is_host(text: &str) -> bool {
    let text = text.strip_prefix("*.").unwrap_or(text);
    let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
    !host.is_empty()
        && !host.starts_with(['-', '.'])
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
        && port.is_none_or(|p| p.parse::<u16>().is_ok())
}

/// Permission bits in the one form that configurations use, `0644`, from `0644`, `644` or `0o644`.
pub fn mode(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let plain = matches!(digits.len(), 3 | 4) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    plain.then(|| format!("{digits:0>4}"))
}

fn is_mode(text: &str) -> bool {
    mode(text).is_some()
}

fn is_path(text: &str) -> bool {
    text.len() > 1
        && text.starts_with('/')
        && !text.ends_with('/')
        && !text.chars().any(char::is_control)
        && text[1..]
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_taken_in_every_common_form() {
        for text in ["644", "0644", "0o644"] {
            assert_eq!(mode(text).as_deref(), Some("0644"));
        }
        assert_eq!(mode("1755").as_deref(), Some("1755"));
        assert!(mode("0o8").is_none() && mode("rw").is_none() && mode("644.0").is_none());
    }

    #[test]
    fn paths_cannot_climb_or_break_lines() {
        assert!(is_path("/srv/apps/shop"));
        for text in ["/", "srv", "/srv/../etc", "/srv//x", "/srv/\nx", "/srv/", "/srv/./x"] {
            assert!(!is_path(text), "{text:?}");
        }
    }

    #[test]
    fn lengths_outside_a_second_and_a_day_are_refused() {
        assert!(is_length("30s") && is_length("2h") && !is_length("0s") && !is_length("3d") && !is_length("soon"));
    }
}
