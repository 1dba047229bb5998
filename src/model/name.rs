//! Names that people type, parsed once at the edge and trusted inside.
//!
//! Every name here is safe to put into a path, a command's argument list, a URL or a log line: the hostile inputs
//! (`../`, `;`, newlines, a leading `-`) cannot be expressed in them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is not a name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
pub struct NameError {
    /// The refused text, cut to 60 characters.
    pub text: String,
    /// What it was meant to name.
    pub what: &'static str,
    /// The rule it breaks, in words.
    pub rule: &'static str,
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The rule in words, for messages and the JSON Schema.
            pub const RULE: &'static str = $rule;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { text: text.chars().take(60).collect(), what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of an app, as in its descriptor's `metadata.name`.
    AppName, "app name", "2 to 63 lower-case letters, digits and `-`, starting with a letter and ending with a letter or digit", is_label;
    /// The name of a stack, part of its address.
    StackName, "stack name", "2 to 63 lower-case letters, digits and `-`, starting with a letter and ending with a letter or digit", is_label;
    /// The name of a node of the inventory: what its certificate, its inventory lines and its log say.
    NodeName, "node name", "1 to 253 lower-case letters, digits, `-` and `.`, each part starting and ending with a letter or digit", is_host_name;
    /// The name of a datacenter.
    DatacenterName, "datacenter", "2 to 63 lower-case letters, digits and `-`, starting with a letter and ending with a letter or digit", is_label;
    /// The name of an environment, such as `production`.
    EnvironmentName, "environment", "2 to 63 lower-case letters, digits and `-`, starting with a letter and ending with a letter or digit", is_label;
    /// The name of a role, such as `web`.
    RoleName, "role", "2 to 63 lower-case letters, digits and `-`, starting with a letter and ending with a letter or digit", is_label;
    /// The name of an account.
    UserName, "user name", "1 to 63 letters, digits and `.`, `_`, `@`, `-`, starting with a letter or digit", is_account;
    /// A branch, tag or commit as a person types it; resolved to a [`CommitId`] when a plan is made, never later.
    RevisionName, "revision", "a branch, tag or commit: 1 to 200 letters, digits and `.`, `_`, `/`, `+`, `@`, `-`, with no `..`, `//`, `@{`, leading `-` or `/`, or trailing `/`, `.` or `.lock`", is_revision;
    /// The full name of a git commit: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits.
    CommitId, "commit", "40 or 64 lower-case hexadecimal digits", is_commit;
    /// Where an app's git repository is: `https://`, `http://`, `ssh://`, `git://`, `file://`, `user@host:path` or an absolute path.
    RepositoryUrl, "repository", "an absolute path, `user@host:path`, or a URL with `https`, `http`, `ssh`, `git` or `file`, without white space, quotes or control characters", is_repository;
    /// A path inside a folder that cannot leave it.
    RelativePath, "path", "a relative path of 1 to 400 characters without `..`, empty parts, back slashes or control characters", is_relative_path;
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (2..=63).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        && bytes[bytes.len() - 1] != b'-'
}

fn is_host_name(text: &str) -> bool {
    let part = |part: &str| {
        (1..=63).contains(&part.len())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    (1..=253).contains(&text.len()) && text.split('.').all(part)
}

fn is_account(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(b))
}

// The rules of `git check-ref-format`, narrowed to characters that mean nothing to a shell.
fn is_revision(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=200).contains(&bytes.len())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._/+@-".contains(b))
        && !text.starts_with(['-', '/', '.'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains("//")
        && !text.contains("/.")
        && text != "@"
        && !text
            .split('/')
            .any(|part| std::path::Path::new(part).extension().is_some_and(|e| e == "lock"))
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

// `ext::`, `--upload-pack=` and friends never get as far as git.
fn is_repository(text: &str) -> bool {
    let plain = (1..=400).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"'\"`;|&<>$(){}\\*!#".contains(&b));
    if !plain || text.starts_with('-') || text.contains("::") || text.contains("/../") || text.ends_with("/..") {
        return false;
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let host_ok = !rest.is_empty() && !rest.starts_with('-');
        return match scheme {
            "file" => rest.starts_with('/'),
            "https" | "http" | "ssh" | "git" => host_ok && !rest.starts_with('/'),
            _ => false,
        };
    }
    if text.starts_with('/') {
        return text.len() > 1;
    }
    text.split_once(':').is_some_and(|(host, path)| {
        let host = host.split_once('@').map_or(host, |(_, h)| h);
        !host.is_empty()
            && !host.starts_with('-')
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && !path.is_empty()
            && !path.starts_with('-')
    })
}

fn is_relative_path(text: &str) -> bool {
    (1..=400).contains(&text.len())
        && !text.starts_with(['/', '-'])
        && !text.contains('\\')
        && !text.chars().any(char::is_control)
        && text
            .split('/')
            .all(|part| !part.is_empty() && part != ".." && (part != "." || text == "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        assert!("storefront".parse::<AppName>().is_ok());
        assert!("web-1.dc1.example.org".parse::<NodeName>().is_ok() && "dc1".parse::<DatacenterName>().is_ok());
        for text in ["main", "v1.2.0", "feature/new-cart", "release-2+hotfix", "0a1b2c3"] {
            assert!(text.parse::<RevisionName>().is_ok(), "{text}");
        }
        for text in [
            "https://example.org/shop.git",
            "git@example.org:team/shop.git",
            "/srv/git/shop.git",
            "file:///srv/git/shop",
        ] {
            assert!(text.parse::<RepositoryUrl>().is_ok(), "{text}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for text in ["../x", "a;b", "a\nb", "-x", "A", "a", "x-", ""] {
            assert!(text.parse::<AppName>().is_err(), "{text:?}");
        }
        for text in [
            "--upload-pack=touch",
            "a..b",
            "a b",
            "a\n",
            "a;b",
            "$(x)",
            "x.lock",
            "a/../b",
            "HEAD@{1}",
        ] {
            assert!(text.parse::<RevisionName>().is_err(), "{text:?}");
        }
        for text in [
            "ext::sh -c touch",
            "--upload-pack=x",
            "https://-x/y",
            "-oProxyCommand=x:y",
            "host:-x",
            "file://../x",
            "rel/path",
            "https://a/b c",
        ] {
            assert!(text.parse::<RepositoryUrl>().is_err(), "{text:?}");
        }
        for text in ["web_1", "-web", "web-", "a..b", ".a", "Web", "", "a b", "a/b"] {
            assert!(text.parse::<NodeName>().is_err(), "{text:?}");
        }
        for text in ["../x", "/etc/passwd", "a/../../b", "", "a//b", "a\0b"] {
            assert!(text.parse::<RelativePath>().is_err(), "{text:?}");
        }
    }
}
