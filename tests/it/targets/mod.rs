//! What a configuration is made into besides what the agent applies: scripts, user-data and images, and that all end alike.

mod apps;
mod bare;
pub mod containers;
mod equivalence;
mod law;
mod machine;
mod script;
mod shipped;
mod user_data;

use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::diagnostic::Diagnostic;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

/// A configuration of these states, each with an id and a place where it was written.
fn configuration(states: Value) -> NodeConfiguration {
    let Value::Array(mut states) = states else {
        panic!("a list of states")
    };
    for (index, state) in states.iter_mut().enumerate() {
        let state = state.as_object_mut().unwrap();
        let kind = state["type"].as_str().unwrap().to_owned();
        state.entry("id").or_insert(json!(format!("shop/{kind}/{index}")));
        state.entry("title").or_insert(json!(format!("State {index}")));
        state
            .entry("origin")
            .or_insert(json!(format!("recipes/shop.yaml:{}:5", index + 1)));
    }
    serde_json::from_value(json!({"format": NodeConfiguration::FORMAT, "states": states})).unwrap()
}

fn shown(found: &[Diagnostic]) -> String {
    let lines: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}

/// Runs a script with a folder of its own for what it remembers.
fn run(script: &str, memory: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new("bash");
    command
        .args(["-s"])
        .env("GREENROOM_STATE_DIR", memory)
        .envs(variables.iter().copied());
    let file = memory.with_extension("sh");
    std::fs::write(&file, script).unwrap();
    command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What `shellcheck` says of a script; it is among the programs that the tests need.
fn shellcheck(script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    std::fs::write(&file, script).unwrap();
    let said = Command::new("shellcheck").arg(&file).output();
    text(&said.expect("shellcheck is installed: tests/all does it"))
}
