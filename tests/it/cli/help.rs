//! The help texts change only on purpose.

use super::program::{Said, greenroom};

fn help(arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    Said::by(&mut greenroom(home.path(), arguments)).ok()
}

#[test]
fn the_first_page_names_every_group() {
    insta::assert_snapshot!(help(&["--help"]));
}

#[test]
fn the_groups_say_what_they_can_do() {
    let mut all = String::new();
    for group in [
        "stack", "app", "node", "role", "apply", "search", "run", "token", "user", "recipe",
    ] {
        all += &help(&[group, "-h"]);
        all += "\n========\n";
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_commands_that_begin_something_explain_themselves() {
    let mut all = String::new();
    for command in [
        &["demo", "-h"][..],
        &["serve", "-h"],
        &["stack", "launch", "-h"],
        &["login", "-h"],
    ] {
        all += &help(command);
        all += "\n========\n";
    }
    insta::assert_snapshot!(all);
}

#[test]
fn completions_are_printed_for_a_shell() {
    assert!(help(&["completions", "bash"]).contains("greenroom__subcmd__stack__subcmd__launch"));
}
