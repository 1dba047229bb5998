//! What a script does for one state: commands that look, and commands that make it true.
//!
//! The invariant: where the looking commands succeed, the others would change nothing; what they look at is what the agent
//! looks at.

use super::machine;
use super::quote::{print, word, words};
use super::unit::{secret_file, unit};
use crate::model::configuration::{DatabaseEngine, EnvValue, State, StateBody};
use std::collections::BTreeMap;
use std::fmt::Write;

const GUARD_S: u64 = 60;

/// The commands for one state.
#[derive(Debug, Default)]
pub struct Step {
    /// Commands that print a text which the others read as `text_N`.
    pub text: Option<String>,
    /// Commands that print another, which they read as `second_N`.
    pub second: Option<String>,
    /// Commands that succeed where the state is true.
    pub check: String,
    /// Commands that make it true.
    pub apply: String,
    /// Commands that wait until a service is ready.
    pub ready: Option<String>,
    /// Commands that succeed where the state is to be looked at at all.
    pub needed: Option<String>,
}

/// The commands for a state, which is the `number`th of its script.
pub fn step(state: &State, number: usize) -> Step {
    let mut step = body(state, number);
    step.needed = needed(state);
    step
}

fn body(state: &State, number: usize) -> Step {
    let plain = |check: String, apply: String| Step {
        check,
        apply,
        ..Step::default()
    };
    match &state.body {
        StateBody::Package {
            name,
            program,
            min_version,
            version_args,
            install,
        } => {
            if let Some(install) = install {
                return machine::packages(name, install);
            }
            let there = format!("has_package {} {}", word(name), word(program));
            let look = match min_version {
                None => there,
                Some(least) => {
                    let asks = if version_args.is_empty() {
                        "--version".to_owned()
                    } else {
                        words(version_args)
                    };
                    let program = word(program);
                    format!("{there} && is_version {} {program} {asks}", word(least))
                }
            };
            let wrong = format!("the package {name} does not bring {program} in a version that will do");
            plain(
                look.clone(),
                format!(
                    "install_packages {}\nif ! {{ {look}; }}; then refuse {}; fi",
                    word(name),
                    word(&wrong)
                ),
            )
        }
        StateBody::File {
            path,
            content,
            mode,
            owner,
            group,
            validate,
            ..
        } => {
            let place = place(path, mode, machine::owner(owner.as_ref(), group.as_ref()).as_deref());
            let asks = if validate.is_empty() {
                String::new()
            } else {
                format!("text_{number} | accepted {} {}\n", word(path), words(validate))
            };
            Step {
                text: Some(print(content)),
                check: format!("text_{number} | holds {place}"),
                apply: format!("{asks}text_{number} | put {place}"),
                ..Step::default()
            }
        }
        StateBody::Directory {
            path,
            mode,
            owner,
            group,
        } => {
            let place = place(path, mode, machine::owner(owner.as_ref(), group.as_ref()).as_deref());
            plain(format!("is_folder {place}"), format!("folder {place}"))
        }
        StateBody::Git {
            path,
            repository,
            commit,
            user,
        } => {
            let (path, commit) = (word(path), word(commit));
            let check = format!("is_checkout {path} {commit}");
            let apply = format!("checkout {path} {} {commit}", word(repository));
            match user {
                None => plain(check, apply),
                Some(user) => plain(
                    format!("{check} && has_owner {path} {}", word(&format!("{user}:"))),
                    format!("{apply}\nchown -hR -- {} {path}", word(&format!("{user}:"))),
                ),
            }
        }
        StateBody::Execute {
            command,
            cwd,
            env,
            path,
            timeout_s,
            user,
            exit_codes,
            ..
        } => {
            let codes: Vec<String> = exit_codes.iter().map(i32::to_string).collect();
            let good = if codes.is_empty() {
                String::new()
            } else {
                format!("ends_with {} ", word(&codes.join(" ")))
            };
            let call = call(env, path, command, user.as_deref());
            plain(
                "never".to_owned(),
                format!("{}{good}run {timeout_s} {} {call}", variables(env), word(cwd)),
            )
        }
        StateBody::Service { .. } => service(state, number),
        StateBody::Database {
            name,
            engine,
            schema,
            fixture,
            revision,
        } => match engine {
            DatabaseEngine::Sqlite { path } => {
                let note = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                let file = |of: &Option<String>| word(of.as_deref().unwrap_or_default());
                let arguments = format!("{} {} {} {}", word(path), word(&note), word(revision), file(schema));
                plain(
                    format!("is_sqlite {arguments}"),
                    format!("sqlite {arguments} {}", file(fixture)),
                )
            }
            // Refused before; a script that got here all the same says so and stops.
            DatabaseEngine::Postgres { .. } => plain("never".to_owned(), format!("refuse {}", word(name))),
        },
        other => machine::step(other, number),
    }
}

fn service(state: &State, number: usize) -> Step {
    let StateBody::Service {
        name,
        cwd,
        env,
        path,
        ready,
        user,
        ..
    } = &state.body
    else {
        return Step::default();
    };
    let text = unit(state).unwrap_or_default();
    let mut check = format!("text_{number} | is_service {}", word(name));
    let mut apply = format!("text_{number} | service {}", word(name));
    let hidden: Vec<(&String, &EnvValue)> = env.iter().filter(|(_, v)| !v.secrets().is_empty()).collect();
    if !hidden.is_empty() {
        let file = word(&secret_file(name));
        let pairs: Vec<String> = hidden
            .iter()
            .map(|(name, _)| format!("{name} \"${}\"", variable(name)))
            .collect();
        let written = format!("secret_lines {} | ", pairs.join(" "));
        let assigned: String = hidden.iter().map(|(name, value)| secret_variable(name, value)).collect();
        // Asked for at each run, so that a secret that was exchanged comes to the service.
        check = format!("( {}{written}holds {file} 600 ) && {check}", assigned.replace('\n', "; "));
        apply = format!("{assigned}{written}put {file} 0600\n{apply}");
    }
    let ready = ready.as_ref().map(|ready| {
        let asks = match (&ready.http, &ready.exec) {
            (Some(url), _) => answers(url),
            (None, Some(command)) => format!("asks {GUARD_S} {} {}", word(cwd), call(env, path, command, user.as_deref())),
            (None, None) => "true".to_owned(),
        };
        format!("if is_booted; then wait_for {} {} {asks}; fi", ready.timeout_s, word(name))
    });
    if let Some(ready) = &ready {
        apply = format!("{apply}\n{ready}");
    }
    Step {
        text: Some(print(&text)),
        check,
        apply,
        ready,
        ..Step::default()
    }
}

/// Looks at a page; one behind TLS needs curl.
pub fn answers(url: &str) -> String {
    let Some(rest) = url.strip_prefix("http://") else {
        return format!("curl --silent --fail --output /dev/null --max-time 5 -- {}", word(url));
    };
    let (host, page) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "80"));
    format!(
        "answers {} {} {}",
        word(name.trim_matches(['[', ']'])),
        word(port),
        word(page)
    )
}

/// Path, permission bits and owner, as the functions for files take them.
pub fn place(path: &str, mode: &str, owner: Option<&str>) -> String {
    let owner = owner.map_or_else(String::new, |owner| format!(" {}", word(owner)));
    format!("{} {}{owner}", word(path), bits(mode))
}

/// Permission bits as `stat` prints them.
pub fn bits(mode: &str) -> String {
    let digits = mode.trim_start_matches("0o").trim_start_matches('0');
    if digits.is_empty() {
        "0".to_owned()
    } else {
        digits.to_owned()
    }
}

// Assignments that fetch the secrets of an environment, one a line.
fn variables(env: &BTreeMap<String, EnvValue>) -> String {
    env.iter()
        .filter(|(_, value)| !value.secrets().is_empty())
        .map(|(name, value)| secret_variable(name, value))
        .collect()
}

fn secret_variable(name: &str, value: &EnvValue) -> String {
    let mut text = String::new();
    let mut pieces = Vec::new();
    collect(value, &mut pieces);
    for (number, piece) in pieces.iter().enumerate() {
        let sign = if number == 0 { "=" } else { "+=" };
        let value = match piece {
            EnvValue::Secret { secret } => format!("$(secret {})", word(secret)),
            EnvValue::Text(text) => word(text),
            EnvValue::Joined { .. } => String::new(),
        };
        let _ = writeln!(text, "{}{sign}{value}", variable(name));
    }
    text
}

fn collect<'a>(value: &'a EnvValue, pieces: &mut Vec<&'a EnvValue>) {
    match value {
        EnvValue::Joined { join } => join.iter().for_each(|piece| collect(piece, pieces)),
        other => pieces.push(other),
    }
}

// A name that no variable of the script has.
fn variable(name: &str) -> String {
    format!("env_{name}")
}

// The variables, the program and its arguments, as `run` takes them.
fn call(env: &BTreeMap<String, EnvValue>, path: &[String], command: &[String], user: Option<&str>) -> String {
    let mut parts = Vec::new();
    if let Some(user) = user {
        let user = word(user);
        parts.push(format!("\"HOME=$(home_of {user})\" USER={user}"));
    }
    for (name, value) in env {
        match value {
            EnvValue::Text(value) if name != "PATH" => parts.push(word(&format!("{name}={value}"))),
            EnvValue::Text(_) => {}
            _ => parts.push(format!("\"{name}=${{{}}}\"", variable(name))),
        }
    }
    match (env.get("PATH"), path.is_empty()) {
        (Some(EnvValue::Text(own)), _) => {
            let folders: Vec<&str> = path.iter().map(String::as_str).chain([own.as_str()]).collect();
            parts.push(word(&format!("PATH={}", folders.join(":"))));
        }
        (_, false) => parts.push(format!("{}:\"$PATH\"", word(&format!("PATH={}", path.join(":"))))),
        _ => {}
    }
    parts.push("--".to_owned());
    if let Some(user) = user.map(word) {
        parts.push(format!(
            "setpriv --reuid {user} --regid \"$(id -g -- {user})\" --init-groups --"
        ));
    }
    parts.extend(command.iter().map(|argument| word(argument)));
    parts.join(" ")
}

// Whether the guards of a state let it be looked at.
fn needed(state: &State) -> Option<String> {
    let guards = &state.guards;
    let mut asked = Vec::new();
    if let Some(id) = &guards.changed {
        asked.push(format!("was_changed {}", word(id)));
    }
    if let Some(path) = &guards.creates {
        asked.push(format!("[ ! -e {} ]", word(path)));
    }
    for path in guards.removes.iter().chain(&guards.file_exists) {
        asked.push(format!("[ -e {} ]", word(path)));
    }
    if let Some(port) = guards.port_open {
        asked.push(format!("takes_connections 127.0.0.1 {port}"));
    }
    let ask = |command: &[String]| match &state.body {
        // Where the state itself would run, once that is there.
        StateBody::Execute {
            cwd, env, path, user, ..
        }
        | StateBody::Service {
            cwd, env, path, user, ..
        } => {
            let call = call(env, path, command, user.as_deref());
            format!("asks {GUARD_S} \"$(folder_or_root {})\" {call}", word(cwd))
        }
        _ => format!("asks {GUARD_S} / {}", call(&BTreeMap::new(), &[], command, None)),
    };
    if let Some(command) = &guards.only_if {
        asked.push(ask(command));
    }
    if let Some(command) = &guards.not_if {
        asked.push(format!("! {}", ask(command)));
    }
    if asked.is_empty() {
        return None;
    }
    let env = match &state.body {
        StateBody::Execute { env, .. } | StateBody::Service { env, .. } => variables(env),
        _ => String::new(),
    };
    Some(format!("{env}{}", asked.join(" &&\n")))
}
