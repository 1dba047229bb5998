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
        let _ = writeln!(calls, "state {id} {title} check_{number} apply_{number}{guard}");
    }
    for (id, name, after) in restarts(&states) {
        let ready = readies
            .iter()
            .find(|(of, _)| *of == id)
            .map_or_else(|| "true".to_owned(), |(_, number)| format!("ready_{number}"));
        let _ = writeln!(calls, "restart_after {} {ready} {}", word(name), words(&after));
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
    if let Some(text) = &step.text {
        let _ = writeln!(out, "text_{number}() {{\n{text}\n}}");
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
