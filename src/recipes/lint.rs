//! Lint: what compiles, but will not do what people hope for. Warnings only, each at its place.
//!
//! Above all it flags whatever would make staging differ from production other than through the view: a recipe that asks
//! where it is. Such a difference belongs into a value of the environment, where people can see and change it.

use super::recipe::{Entry, Include, Recipe, StateText};
use super::shape::join;
use super::tree::{Findings, Kind, Node, Source};
use crate::model::diagnostic::Diagnostic;

/// The codes of warnings, with what they mean.
pub const CODES: &[(&str, &str)] = &[
    (
        "place-in-recipe",
        "A recipe asks which environment, datacenter, node, provider or stack it is on. What differs between places belongs into a value: give it a parameter, and set it in the environment, the datacenter or the node.",
    ),
    (
        "unguarded-execute",
        "A program is run at every convergence, for nothing says when it need not be. Add `creates`, `only_if`, `not_if` or `changed`.",
    ),
    (
        "branch-not-commit",
        "A checkout follows a branch or tag, which may move: the same configuration would give different servers. Use `release.commit`.",
    ),
    (
        "secret-in-clear",
        "Something that looks like a secret is written into a recipe, where everybody can read it. Refer to it by name instead.",
    ),
    (
        "unquoted-template",
        "A value starts with `{{` without quotes, which YAML reads as a map. Put it in quotes.",
    ),
];

// What says where a recipe is. Comparing any of these is asking for the place.
const PLACES: &[&str] = &[
    "env.name",
    "env",
    "dc.name",
    "dc",
    "node.name",
    "node.provider",
    "stack",
    "stack.name",
    "stack.id",
    "facts.machine.hostname",
    "facts.machine.fqdn",
];
const COMPARISONS: &[&str] = &["==", "!=", "in", "is", "<", ">", "<=", ">="];

/// What is unwise in a recipe.
pub fn check_recipe(recipe: &Recipe) -> Vec<Diagnostic> {
    let mut lint = Lint {
        findings: Findings::new(&recipe.source),
    };
    for param in &recipe.params {
        if let Some(default) = &param.default {
            lint.secret(&param.name, default, &format!("params.{}.default", param.name));
        }
    }
    for entry in &recipe.entries {
        match entry {
            Entry::Include(include) => lint.include(include),
            Entry::State(state) => lint.state(state),
        }
    }
    lint.findings.finish()
}

/// What is unwise in a template file.
pub fn check_template(source: &Source) -> Vec<Diagnostic> {
    let mut findings = Findings::new(source);
    for (at, code) in pieces(&source.text) {
        for (offset, place) in asked_places(code) {
            place_asked(at + offset, place, "", &mut findings);
        }
    }
    if let Some(at) = looks_secret(&source.text) {
        secret_found(at, "", &mut findings);
    }
    findings.finish()
}

struct Lint<'s> {
    findings: Findings<'s>,
}

impl Lint<'_> {
    fn include(&mut self, include: &Include) {
        self.condition(include.when.as_ref(), "include.when");
        for (key, value) in &include.with {
            let path = join("include.with", &key.name);
            self.texts(value, &path);
            self.secret(&key.name, value, &path);
        }
    }

    fn state(&mut self, state: &StateText) {
        let kind = state.record.name;
        self.condition(state.when.as_ref(), &join(kind, "when"));
        if let Some(each) = &state.each {
            for (_, place) in asked_places(&each.expression) {
                place_asked(each.at, place, &join(kind, "for"), &mut self.findings);
            }
        }
        for (key, value) in state.body.entries() {
            let path = join(kind, &key.name);
            match key.name.as_str() {
                "when" | "for" => continue,
                "commit" if value.text().is_some_and(|text| text.contains("release.revision")) => {
                    let message = "the checkout follows a branch or tag, which may move";
                    let help = "use `{{ release.commit }}`, which never does";
                    self.findings.warning(value.at, "branch-not-commit", &path, message, help);
                }
                _ => {}
            }
            self.texts(value, &path);
            self.secret(&key.name, value, &path);
        }
    }

    // The text of a condition is an expression as a whole.
    fn condition(&mut self, when: Option<&Node>, path: &str) {
        let Some((node, text)) = when.and_then(|node| Some((node, node.text()?))) else {
            return;
        };
        for (_, place) in asked_places(text) {
            place_asked(node.at, place, path, &mut self.findings);
        }
    }

    fn texts(&mut self, node: &Node, path: &str) {
        match &node.kind {
            Kind::Text(text) => {
                for (_, code) in pieces(text) {
                    for (_, place) in asked_places(code) {
                        place_asked(node.at, place, path, &mut self.findings);
                    }
                }
            }
            Kind::List(items) => items.iter().for_each(|item| self.texts(item, path)),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    self.texts(value, &join(path, &key.name));
                }
            }
            _ => {}
        }
    }

    fn secret(&mut self, name: &str, node: &Node, path: &str) {
        match &node.kind {
            Kind::Text(text) => {
                let named = names_secret(name) && !text.trim().is_empty() && !text.contains("{{") && !text.starts_with('/');
                if named || looks_secret(text).is_some() {
                    secret_found(node.at, path, &mut self.findings);
                }
            }
            Kind::List(items) => items.iter().for_each(|item| self.secret("", item, path)),
            Kind::Map(entries) => {
                for (key, value) in entries.iter().filter(|(key, _)| key.name != "secret") {
                    self.secret(&key.name, value, &join(path, &key.name));
                }
            }
            _ => {}
        }
    }
}

fn place_asked(at: usize, place: &str, path: &str, findings: &mut Findings<'_>) {
    let message = format!("the recipe asks for `{place}`: it would do something else elsewhere, and nobody could see why");
    let help = "make it a parameter, and give its value in the environment, the datacenter or the node";
    findings.warning(at, "place-in-recipe", path, message, help);
}

fn secret_found(at: usize, path: &str, findings: &mut Findings<'_>) {
    let help =
        "keep the secret out of recipes: declare it in the app's `env` with `secret: true`, and use `secrets.NAME` in `env`";
    findings.warning(at, "secret-in-clear", path, "this looks like a secret in clear", help);
}

fn names_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let word = name.rsplit(['_', '-', '.']).next().unwrap_or_default();
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "credentials"].contains(&word)
        || name.ends_with("api_key")
        || name.ends_with("private_key")
        || name.ends_with("access_key")
}

// Where a text holds what only secrets look like.
fn looks_secret(text: &str) -> Option<usize> {
    if let Some(at) = text.find("PRIVATE KEY-----") {
        return text[..at].rfind("-----BEGIN");
    }
    for prefix in ["AKIA", "ghp_", "github_pat_", "xoxb-", "sk_live_", "glpat-"] {
        let long_tail = |(at, _): &(usize, &str)| {
            let tail = &text[at + prefix.len()..];
            tail.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count() >= 16
        };
        if let Some((at, _)) = text.match_indices(prefix).find(long_tail) {
            return Some(at);
        }
    }
    // A password within an address: `postgres://user:password@host`.
    for (at, _) in text.match_indices("://") {
        let authority = text[at + 3..]
            .split(|c: char| c == '/' || c.is_whitespace() || c == '"')
            .next()
            .unwrap_or_default();
        let password = authority.split_once('@').and_then(|(user, _)| user.split_once(':'));
        if password.is_some_and(|(_, password)| !password.is_empty() && !password.contains("{{")) {
            return Some(at);
        }
    }
    None
}

// The code within `{{ … }}` and `{% … %}`, with where each piece starts.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").into_iter().chain(text[from..].find("{%")).min() {
        let open = from + start + 2;
        let close = if text[open - 2..].starts_with("{{") { "}}" } else { "%}" };
        let end = text[open..].find(close).map_or(text.len(), |end| open + end);
        found.push((open, &text[open..end]));
        from = end;
    }
    found
}

// Places that an expression compares with something, or has as its whole condition, and where in it.
fn asked_places(code: &str) -> Vec<(usize, &'static str)> {
    let tokens = tokens(code);
    let word = |index: Option<usize>| index.and_then(|index| tokens.get(index)).map_or("", |(_, token)| *token);
    let mut found = Vec::new();
    for (index, (at, token)) in tokens.iter().enumerate() {
        let path = token
            .replace("['", ".")
            .replace("[\"", ".")
            .replace("']", "")
            .replace("\"]", "");
        let Some(place) = PLACES.iter().find(|place| **place == path) else {
            continue;
        };
        let (before, after) = (word(index.checked_sub(1)), word(Some(index + 1)));
        let compared = COMPARISONS.contains(&before)
            // `x in env` looks a name up; `env.name in [..]` and `not in` ask for the place.
            || COMPARISONS.contains(&after)
            || after == "not"
            || after == "." && tokens.get(index + 2).is_some_and(|(_, t)| ["startswith", "endswith"].contains(t));
        let named = *place != "env" && *place != "dc" && *place != "stack";
        // `stack is defined` asks whether this is staging.
        if compared && (named || after == "is") {
            found.push((*at, *place));
        }
    }
    found
}

// Paths, words, texts and operators of an expression.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => at = end_of_path(bytes, at),
            b'=' | b'!' | b'<' | b'>' => {
                at += 1;
                if bytes.get(at) == Some(&b'=') {
                    at += 1;
                }
            }
            b if b.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            _ => at += 1,
        }
        at = at.min(bytes.len());
        if let Some(token) = code.get(start..at) {
            found.push((start, token));
        }
    }
    found
}

// `a.b['c'].d`, without a method call's name.
fn end_of_path(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' => at += 1,
            b'.' => {
                let name = bytes[at + 1..]
                    .iter()
                    .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
                    .count();
                if name == 0 || bytes.get(at + 1 + name) == Some(&b'(') {
                    break;
                }
                at += 1;
            }
            b'[' if matches!(bytes.get(at + 1), Some(b'\'' | b'"')) => match bytes[at..].iter().position(|b| *b == b']') {
                Some(end) => at += end + 1,
                None => break,
            },
            _ => break,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(code: &str) -> Vec<&'static str> {
        asked_places(code).into_iter().map(|(_, place)| place).collect()
    }

    #[test]
    fn comparisons_of_places_are_seen_however_they_are_written() {
        for code in [
            "env.name == 'production'",
            "'production' != env.name",
            "env['name'] == \"production\"",
            "env.name in ['uat', 'production']",
            "env.name not in ['uat']",
            "8 if dc.name=='dc1' else 2",
            "params.x and node.name == 'w1'",
            "env.name.startswith('prod')",
            "stack is defined",
            "node.provider == 'sandbox'",
        ] {
            assert_eq!(asked(code).len(), 1, "{code}");
        }
    }

    #[test]
    fn what_only_names_a_place_is_left_alone() {
        for code in [
            "env.name",
            "'http://' ~ dc.name ~ '.example.org'",
            "values.size == 'env.name'",
            "search('datacenter:' ~ dc.name)",
            "deps.db is defined",
            "app.env.PORT == '80'",
            "params.env.name == 1",
            "env.restorable",
        ] {
            assert_eq!(asked(code), Vec::<&str>::new(), "{code}");
        }
    }

    #[test]
    fn secrets_are_known_by_name_and_by_look() {
        assert!(names_secret("db_password") && names_secret("STRIPE_API_KEY") && !names_secret("password_file"));
        assert!(!names_secret("keyboard") && !names_secret("tokens_per_minute"));
        assert!(looks_secret("postgres://shop:hunter2@db/shop").is_some());
        assert!(looks_secret("postgres://shop:{{ secrets.DB }}@db/shop").is_none());
        assert!(looks_secret("https://example.org:443/a@b").is_none());
        assert!(looks_secret("-----BEGIN RSA PRIVATE KEY-----\nabc").is_some());
        assert!(looks_secret("AKIAIOSFODNN7EXAMPLE").is_some());
    }
}
