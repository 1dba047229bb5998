//! A configuration as a script: the functions it uses, two functions for each state, and the states in written order.
//!
//! The invariant: a script holds all that it needs, passes `shellcheck`, and changes nothing when it is run a second time.

use super::quote::{word, words};
use super::steps::{Step, step};
use super::{Target, library, states_for};
use crate::model::configuration::{NodeConfiguration, State, StateBody};
use std::fmt::Write;

/// The script for a target. States of these ids were made true by other means before it is run, and count as changed.
pub fn script(configuration: &NodeConfiguration, target: Target, done: &[&str]) -> String {
    let states: Vec<&State> = states_for(configuration, target).collect();
    let mut functions = String::new();
    let mut calls = String::from("begin\n");
    let mut readies: Vec<(&str, usize)> = Vec::new();
    for id in done {
        let _ = writeln!(calls, "owe {}", word(id));
    }
    let left = states
        .iter()
        .enumerate()
        .filter(|(_, state)| !done.contains(&state.id.as_str()));
    let position = |id: &str| states.iter().position(|state| state.id == id);
    for (index, state) in left {
        let number = index + 1;
        let made = step(state, number);
        write_functions(&mut functions, state, number, &made);
        if made.ready.is_some() {
            readies.push((&state.id, number));
        }
        let guard = if made.needed.is_some() {
            format!(" needed_{number}")
        } else {
            String::new()
        };
        let (id, title) = (word(&state.id), word(&state.title));
        let is_only_told = matches!(state.body, StateBody::Execute { refresh_only: true, .. });
        if is_only_told {
            continue;
        }
        if state.audit {
            let _ = writeln!(calls, "look {id} {title} check_{number}{guard}");
            continue;
        }
        let _ = writeln!(calls, "state {id} {title} check_{number} apply_{number}{guard}");
        for notification in state.notify.iter().filter(|n| n.now) {
            let Some(told) = position(&notification.state).and_then(|at| told(states[at], at + 1, &notification.verb)) else {
                continue;
            };
            let _ = writeln!(calls, "after {} {} {id}", told.what, told.command);
            if !functions.contains(&told.function) {
                functions.push_str(&told.function);
            }
        }
    }
    for (id, name, after) in restarts(&states) {
        let ready = readies
            .iter()
            .find(|(of, _)| *of == id)
            .map_or_else(|| "true".to_owned(), |(_, number)| format!("ready_{number}"));
        let _ = writeln!(calls, "restart_after {} {ready} {}", word(name), words(&after));
    }
    for (told, after) in notifications(&states) {
        let _ = writeln!(calls, "after {} {} {}", told.what, told.command, words(&after));
        functions.push_str(&told.function);
    }
    calls.push_str("if [ \"$dry_run\" != 1 ]; then rm -f -- \"$state_dir/changed\"; fi\nconclude 0\n");
    let used = library::used_by(&format!("{functions}{calls}"));
    format!(
        "{}\n{}\n\n{used}{functions}{calls}",
        head(configuration, target),
        library::preamble()
    )
}

fn head(configuration: &NodeConfiguration, target: Target) -> String {
    let hash = configuration.hash().unwrap_or_default();
    let how = match target {
        Target::Image => "An image build runs it: services are enabled and not started.",
        Target::CloudInit => "Cloud-init runs it once, at the first boot; it can be run again.",
        _ => "Run it as root, as often as you like: it changes only what differs.",
    };
    let image = if target == Target::Image { "\nGREENROOM_IMAGE=1" } else { "" };
    format!(
        "#!/usr/bin/env bash\n# Made by Greenroom from the configuration {hash}.\n# {how}\n\
         # DRY_RUN=1 shows what it would change. It ends with 0 where nothing changed, 2 where something did, 4 where\n\
         # something failed, and 6 where both is so.{image}"
    )
}

fn write_functions(out: &mut String, state: &State, number: usize, step: &Step) {
    let _ = writeln!(
        out,
        "# {}: {} ({})",
        comment(&state.id),
        comment(&state.title),
        comment(&state.origin)
    );
    if let Some(needed) = &step.needed {
        let _ = writeln!(out, "needed_{number}() {{\n{}\n}}", indented(needed));
    }
    for (name, text) in [("text", &step.text), ("second", &step.second)] {
        if let Some(text) = text {
            let _ = writeln!(out, "{name}_{number}() {{\n{text}\n}}");
        }
    }
    let _ = writeln!(out, "check_{number}() {{\n{}\n}}", indented(&step.check));
    let _ = writeln!(out, "apply_{number}() {{\n{}\n}}", indented(&step.apply));
    if let Some(ready) = &step.ready {
        let _ = writeln!(out, "ready_{number}() {{\n{}\n}}", indented(ready));
    }
    out.push('\n');
}

fn indented(commands: &str) -> String {
    commands
        .lines()
        .map(|line| format!("  {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

// Each service that is restarted where others change, with the ids of those.
fn restarts<'a>(states: &[&'a State]) -> Vec<(&'a str, &'a str, Vec<&'a str>)> {
    let mut all = Vec::new();
    for service in states {
        let StateBody::Service { name, .. } = &service.body else {
            continue;
        };
        let after: Vec<&str> = states
            .iter()
            .filter(|state| state.restarts.contains(&service.id))
            .map(|state| state.id.as_str())
            .collect();
        if !after.is_empty() {
            all.push((service.id.as_str(), name.as_str(), after));
        }
    }
    all
}

// Something that is told of changes elsewhere: in words, by which command, and the function that the command is.
struct Told {
    what: String,
    command: String,
    function: String,
}

fn told(state: &State, number: usize, verb: &str) -> Option<Told> {
    let (what, command, action) = match &state.body {
        StateBody::Execute { .. } => {
            return Some(Told {
                what: word(&state.title),
                command: format!("apply_{number}"),
                function: String::new(),
            });
        }
        StateBody::SystemService(service) => {
            let action = format!("tell_service {} {}", word(verb), word(&service.name));
            (
                format!("{verb} {}", service.name),
                format!("{}_{number}", verb.replace('-', "_")),
                action,
            )
        }
        StateBody::Service { name, .. } => {
            let action = format!("restart_service {}", word(name));
            (format!("restart {name}"), format!("restart_{number}"), action)
        }
        _ => return None,
    };
    Some(Told {
        what: word(&what),
        function: format!("{command}() {{\n  {action}\n}}\n\n"),
        command,
    })
}

// What is told at the end, each once: programs first, then reloads, then restarts, which make a reload needless.
fn notifications<'a>(states: &[&'a State]) -> Vec<(Told, Vec<&'a str>)> {
    let mut all = Vec::new();
    for verb in ["run", "reload", "restart"] {
        for (index, target) in states.iter().enumerate() {
            let tells = |state: &&&State, verb: &str| {
                let mut ends = state.notify.iter().filter(|n| !n.now);
                ends.any(|n| n.state == target.id && n.verb == verb)
            };
            let after: Vec<&str> = states.iter().filter(|s| tells(s, verb)).map(|s| s.id.as_str()).collect();
            if !after.is_empty()
                && let Some(told) = told(target, index + 1, verb)
            {
                all.push((told, after));
            }
        }
    }
    all
}
