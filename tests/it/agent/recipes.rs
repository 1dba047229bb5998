//! Recipes made true on this machine by one command, as those who write them try them.

use super::harness::path;
use super::offline::Machine;
use std::process::{Command, Output};

const RECIPE: &str = "recipe: motd
description: A greeting.
params:
  words: {type: text, default: welcome}
states:
  - file:
      path: \"{{ node.confined }}/motd\"
      content: \"{{ params.words }} on {{ facts.hostname }}\\n\"
";

fn apply(machine: &Machine, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command
        .args([
            "recipe",
            "apply",
            "motd",
            "--recipes",
            &machine.path("recipes"),
            "--folder",
            &machine.path("agent"),
        ])
        .args(["--confined-to", &machine.path("root")])
        .args(more)
        .env_clear()
        .env("PATH", path())
        .env("HOME", &machine.folder);
    command.output().unwrap()
}

fn machine() -> Machine {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.path("recipes")).unwrap();
    std::fs::create_dir_all(machine.path("root")).unwrap();
    let recipe = RECIPE.replace("{{ node.confined }}", &machine.path("root"));
    std::fs::write(machine.path("recipes/motd.yaml"), recipe).unwrap();
    machine
}

#[test]
fn a_recipe_is_planned_applied_and_then_nothing_is_left_to_do() {
    let machine = machine();
    let planned = apply(&machine, &["--plan", "--set", "motd.words=hello"]);
    assert_eq!(planned.status.code(), Some(2), "{planned:?}");
    assert!(
        String::from_utf8_lossy(&planned.stdout).contains("motd.yaml:6:5): would be changed"),
        "{planned:?}"
    );
    assert!(!std::fs::exists(machine.path("root/motd")).unwrap());
    let first = apply(&machine, &["--set", "motd.words=hello"]);
    assert_eq!(first.status.code(), Some(2), "{first:?}");
    let written = std::fs::read_to_string(machine.path("root/motd")).unwrap();
    assert!(
        written.starts_with("hello on ") && written.len() > "hello on \n".len(),
        "{written}"
    );
    let again = apply(&machine, &["--set", "motd.words=hello"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let default = apply(&machine, &["--json"]);
    assert_eq!(default.status.code(), Some(2), "{default:?}");
    let outcome: serde_json::Value = serde_json::from_slice(&default.stdout).unwrap();
    assert_eq!(outcome["changed"], 1);
}

#[test]
fn a_recipe_that_is_wrong_or_missing_changes_nothing_and_says_where() {
    let machine = machine();
    let missing = apply(&machine, &["modt"]);
    assert_eq!(missing.status.code(), Some(4), "{missing:?}");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("modt") && said.contains("motd"), "{said}");
    std::fs::write(
        machine.path("recipes/motd.yaml"),
        "recipe: motd\nstates:\n  - fiel: {path: /x}\n",
    )
    .unwrap();
    let wrong = apply(&machine, &[]);
    assert_eq!(wrong.status.code(), Some(4), "{wrong:?}");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("motd.yaml:3:") && said.contains("file"), "{said}");
    assert!(!std::fs::exists(machine.path("root/motd")).unwrap());
}

#[test]
fn what_a_recipe_compiles_to_is_what_the_agent_takes() {
    let machine = machine();
    let configuration = machine.path("configuration.json");
    let greenroom = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command
            .args(args)
            .env_clear()
            .env("PATH", path())
            .env("HOME", &machine.folder);
        command.output().unwrap()
    };
    let rendered = greenroom(&[
        "recipe",
        "render",
        "motd",
        "--recipes",
        &machine.path("recipes"),
        "--set",
        "motd.words=hi",
    ]);
    assert!(rendered.status.success(), "{rendered:?}");
    std::fs::write(&configuration, rendered.stdout).unwrap();
    let agent = machine.path("agent");
    let ended = greenroom(&[
        "agent",
        "--offline",
        "--once",
        "--configuration",
        &configuration,
        "--folder",
        &agent,
    ]);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(
        std::fs::read_to_string(machine.path("root/motd"))
            .unwrap()
            .starts_with("hi on ")
    );
    let script = greenroom(&[
        "recipe",
        "render",
        "motd",
        "--recipes",
        &machine.path("recipes"),
        "--target",
        "shell",
    ]);
    assert!(
        String::from_utf8_lossy(&script.stdout).starts_with("#!/usr/bin/env bash"),
        "{script:?}"
    );
    let nothing = greenroom(&["recipe", "render"]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
}
