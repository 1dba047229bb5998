//! Templates: strict about what is not defined, without escaping, and with fuel, so that no template runs for ever.

use super::shape::choices;
use super::tree::{Node, Source, did_you_mean, shown};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior};

/// Instructions (and 64-byte pieces of data) that one rendering may use.
const FUEL: u64 = 100_000;

/// The namespaces of a descriptor's templates, with the properties that are known of each.
pub const NAMESPACES: &[(&str, &[&str])] = &[
    (
        "node",
        &[
            "name",
            "provider",
            "address",
            "addresses",
            "labels",
            "roles",
            "installs_packages",
        ],
    ),
    ("app", &["name", "title"]),
    ("env", &["name", "restorable"]),
    ("dc", &["name", "standby_for"]),
    ("facts", &[]),
    ("values", &[]),
    ("secrets", &[]),
    ("deps", &[]),
    ("resources", &[]),
    ("ports", &[]),
    ("release", &["commit", "revision", "root", "dir"]),
    ("dirs", &["app", "data", "config", "logs"]),
    ("stack", &["name", "id"]),
];
/// The namespaces of a recipe's templates.
pub const RECIPE_NAMESPACES: &[&str] = &[
    "node",
    "app",
    "env",
    "dc",
    "facts",
    "values",
    "secrets",
    "deps",
    "resources",
    "ports",
    "release",
    "params",
    "stack",
    "dirs",
];
// Properties that recipes see and descriptors do not.
const RECIPE_ONLY: &[(&str, &str)] = &[("release", "repository"), ("node", "confined_to")];
const DEPENDENCY: &[&str] = &["url", "host", "port", "ports", "hosts"];
const RESOURCE: &[&str] = &["engine", "path", "url", "host", "port", "database", "user", "password"];
const FUNCTIONS: &[&str] = &["range", "dict", "namespace", "debug", "loop", "self", "search"];

/// An environment for templates of recipes and descriptors.
pub fn environment<'s>() -> Environment<'s> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(30);
    environment.set_debug(true);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment
}

/// What is known of an app when its descriptor is checked.
#[derive(Debug, Default)]
pub struct Known<'a> {
    /// Names of its ports.
    pub ports: Vec<&'a str>,
    /// Names of its resources.
    pub resources: Vec<&'a str>,
    /// Names of the apps it needs.
    pub deps: Vec<&'a str>,
}

/// Something wrong in a template.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// A stable code.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// Advice.
    pub help: Option<String>,
}

/// Checks the template of a descriptor's value: its syntax, and that what it refers to exists.
pub fn check_value(text: &str, known: &Known<'_>) -> Vec<Problem> {
    if !super::shape::is_template(text) && !text.contains("{#") {
        return Vec::new();
    }
    if text.contains("{%") || text.contains("{#") {
        return vec![Problem {
            code: "template-syntax",
            message: "only `{{ … }}` may be used in a value, no `{% … %}` or `{# … #}`".to_owned(),
            help: Some("write a choice as `{{ a if condition else b }}`".to_owned()),
        }];
    }
    let environment = environment();
    let template = match environment.template_from_str(text) {
        Ok(template) => template,
        Err(error) => {
            return vec![Problem {
                code: "template-syntax",
                message: format!("the template cannot be read: {}", reason(&error)),
                help: None,
            }];
        }
    };
    let mut paths: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    paths.sort();
    paths.iter().filter_map(|path| check_path(path, known)).collect()
}

fn check_path(path: &str, known: &Known<'_>) -> Option<Problem> {
    let mut parts = path.split('.');
    let space = parts.next().unwrap_or_default();
    let (name, property) = (parts.next(), parts.next());
    let unknown = |what: &str, word: &str, there: &[&str]| Problem {
        code: "unknown-variable",
        message: format!("`{}` refers to {what} {} that is not there", path, shown(word)),
        help: Some(did_you_mean(word, there.iter().copied()).unwrap_or_else(|| choices(there))),
    };
    let Some((_, properties)) = NAMESPACES.iter().find(|(n, _)| *n == space) else {
        let names: Vec<&str> = NAMESPACES.iter().map(|(n, _)| *n).collect();
        return (!FUNCTIONS.contains(&space)).then(|| unknown("a namespace", space, &names));
    };
    let name = name?;
    let same = |candidate: &&&str| identifier(candidate) == name || **candidate == name;
    let within = |what: &str, names: &[&str], fields: &[&str]| {
        if names.iter().find(same).is_none() {
            let spelt: Vec<String> = names.iter().map(|n| identifier(n)).collect();
            let spelt: Vec<&str> = spelt.iter().map(String::as_str).collect();
            return Some(unknown(what, name, &spelt));
        }
        property
            .filter(|p| !fields.is_empty() && !fields.contains(p))
            .map(|p| unknown("a property", p, fields))
    };
    match space {
        "deps" => within("a dependency", &known.deps, DEPENDENCY),
        "resources" => within("a resource", &known.resources, RESOURCE),
        "ports" => within("a port", &known.ports, &[]),
        "facts" | "values" | "secrets" => None,
        _ => (!properties.contains(&name)).then(|| unknown("a property", name, properties)),
    }
}

/// A name as it is written in a template, where `-` would be a minus sign.
pub fn identifier(name: &str) -> String {
    name.replace('-', "_")
}

/// Why a template failed, in words.
pub fn reason(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (minijinja::ErrorKind::OutOfFuel, _) => "it runs too long or makes too much text".to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    }
}

/// Why a template failed, naming the part that is not defined.
pub fn reason_in(error: &Error, text: &str) -> String {
    let part = error
        .range()
        .and_then(|range| text.get(whole_path(text, range.start)..range.end));
    let part = part.map(str::trim);
    match (error.kind(), part) {
        (minijinja::ErrorKind::UndefinedError, Some(part)) if !part.is_empty() => {
            let part = part.trim_start_matches("{{").trim_end_matches("}}").trim();
            format!("`{part}` is not defined")
        }
        _ => reason(error),
    }
}

// An error points at the last part of `a.b.c`; people look for the whole.
fn whole_path(text: &str, start: usize) -> usize {
    let part_of_path = |c: char| c.is_alphanumeric() || "._[]'\"".contains(c);
    text.get(..start)
        .map_or(start, |before| before.trim_end_matches(part_of_path).len())
}

/// What a recipe's template refers to that cannot be there, whatever the view: a namespace, a property of one, or a
/// parameter. `params` are the recipe's parameters and `names` the loop variables and the like.
pub fn check_names(paths: impl IntoIterator<Item = String>, params: &[&str], names: &[&str]) -> Vec<Problem> {
    let mut paths: Vec<String> = paths.into_iter().collect();
    paths.sort();
    let mut problems = Vec::new();
    for path in paths {
        let mut parts = path.split('.');
        let space = parts.next().unwrap_or_default();
        if names.contains(&space) || FUNCTIONS.contains(&space) {
            continue;
        }
        let (word, there): (&str, Vec<&str>) = if !RECIPE_NAMESPACES.contains(&space) {
            (space, RECIPE_NAMESPACES.iter().chain(names).copied().collect())
        } else if let Some(property) = parts.next() {
            let there = match space {
                "params" => params.to_vec(),
                "app" | "deps" | "resources" | "ports" | "facts" | "values" | "secrets" => continue,
                _ => NAMESPACES
                    .iter()
                    .filter(|(name, _)| *name == space)
                    .flat_map(|(_, properties)| properties.iter().copied())
                    .chain(
                        RECIPE_ONLY
                            .iter()
                            .filter(|(name, _)| *name == space)
                            .map(|(_, property)| *property),
                    )
                    .collect(),
            };
            (property, there)
        } else {
            continue;
        };
        if !there.contains(&word) {
            problems.push(Problem {
                code: "unknown-variable",
                message: format!("`{path}` refers to {} that is not there", shown(word)),
                help: Some(did_you_mean(word, there.iter().copied()).unwrap_or_else(|| choices(&there))),
            });
        }
    }
    problems
}

/// Where in a recipe an error of an inline template is: on the template's own line, as far as that is known.
pub fn place(node: &Node, source: &Source, error: &Error) -> usize {
    let line = error.line().unwrap_or(1).saturating_sub(1);
    let (first, _) = source.position(node.at);
    if line == 0 {
        return node.at;
    }
    line_start(source, first as usize + line)
}

/// The byte offset of the first character of a line, from 1, that is not white space.
pub fn line_start(source: &Source, line: usize) -> usize {
    let mut start = 0;
    for (index, text) in source.text.split_inclusive('\n').enumerate() {
        if index + 1 == line {
            return start + text.len() - text.trim_start().len();
        }
        start += text.len();
    }
    start.min(source.text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let known = Known {
            ports: vec!["web"],
            resources: vec!["db"],
            deps: vec!["catalog-api"],
        };
        check_value(text, &known)
            .into_iter()
            .map(|p| format!("{}: {} / {}", p.code, p.message, p.help.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_exists_is_accepted() {
        for text in [
            "plain",
            "{{ ports.web }}",
            "{{ deps.catalog_api.url }}/v1",
            "{{ deps['catalog-api'].url }}",
            "{{ resources.db.url }}",
            "{{ release.commit[:7] }}",
            "{{ deps.catalog_api.url if deps.catalog_api is defined else '' }}",
        ] {
            assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_does_not_exist_is_named_with_the_nearest_word() {
        assert!(problems("{{ deps.catalog.url }}")[0].contains("did you mean `catalog_api`?"));
        assert!(problems("{{ prots.web }}")[0].contains("did you mean `ports`?"));
        assert!(problems("{{ resources.db.ulr }}")[0].contains("did you mean `url`?"));
        assert!(problems("{{ ports.web").len() == 1);
        assert!(problems("{% for x in range(9) %}{% endfor %}")[0].contains("template-syntax"));
    }
}
