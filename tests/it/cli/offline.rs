//! What needs no server, and what is said where there is none.

use super::program::{Said, greenroom};
use greenroom::config::DEFAULTS;

fn said(arguments: &[&str]) -> Said {
    let home = tempfile::tempdir().unwrap();
    Said::by(&mut greenroom(home.path(), arguments))
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_2_and_says_why() {
    for (arguments, wanted) in [
        (&["stack", "launch"][..], "<APP[@REVISION]>"),
        (&["stack", "launch", "shop@"], "there is no revision after `@`"),
        (
            &["stack", "launch", "shop", "--data", "db=fixture"],
            "write it like catalogue/db=fixture",
        ),
        (&["stack", "launch", "shop", "--size", "huge"], "small or medium or large"),
        (&["stakc"], "some similar subcommands exist: 'search', 'stack'"),
        (
            &["user", "create", "ada", "--role", "king"],
            "use viewer, member, operator or admin",
        ),
    ] {
        let said = said(arguments);
        assert_eq!(said.code(), Some(2), "{said}");
        assert!(said.err().contains(wanted), "{said}");
    }
}

#[test]
fn codes_are_explained_and_near_ones_offered() {
    insta::assert_snapshot!(said(&["explain", "error[build-failed]"]), @r"
    exit 0
    --- out
    build-failed: The app does not build

    The app's build command ended with an error. Its own last lines are given.

    Usually the turn is of whoever owns the app. Next: Correct the build at this revision, or pick another revision, then retry.
    --- err
    ");
    insta::assert_snapshot!(said(&["explain", "biuld-failed"]), @r"
    exit 1
    --- out
    --- err
    error[not-found]: There is no code `biuld-failed`: did you mean `build-failed`?

    next: `greenroom explain` lists them all
    more: greenroom explain not-found
    ");
}

#[test]
fn the_default_settings_are_printed_with_their_comments() {
    assert_eq!(said(&["serve", "--print-settings"]).ok(), DEFAULTS);
}

#[test]
fn a_wrong_setting_names_its_file() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("greenroom.toml"), "[server]\nlissen = \"x\"\n").unwrap();
    let said = Said::by(&mut greenroom(home.path(), &["serve", "--settings", "greenroom.toml"]));
    assert_eq!(said.code(), Some(1), "{said}");
    assert!(
        said.err().contains("error[cannot-start]") && said.err().contains("greenroom.toml: unknown field `lissen`"),
        "{said}"
    );
}

#[test]
fn a_server_that_is_not_there_is_named() {
    insta::assert_snapshot!(said(&["stack", "list", "--server", "http://127.0.0.1:9", "--token", "grt_x"]), @r"
    exit 1
    --- out
    --- err
    error[server-unreachable]: http://127.0.0.1:9 does not answer: nothing listens there

    turn: the platform team
    next: Check the address and that `greenroom serve` runs
    more: greenroom explain server-unreachable
    ");
    let said = said(&["--json", "stack", "list", "--server", "http://127.0.0.1:9"]);
    let answer: serde_json::Value = serde_json::from_str(&said.out()).unwrap();
    assert_eq!(answer["error"]["code"], "server-unreachable", "{said}");
    assert_eq!((said.code(), said.err().as_str()), (Some(1), ""));
}

#[test]
fn the_example_descriptors_pass_without_a_server() {
    let home = tempfile::tempdir().unwrap();
    let apps = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/bookshop/apps");
    let mut arguments = vec!["app".to_owned(), "validate".to_owned()];
    for app in ["catalogue", "covers", "mailer", "reviews", "storefront"] {
        let text = std::fs::read_to_string(format!("{apps}/{app}/greenroom.json")).unwrap();
        let file = home.path().join(format!("{app}.json"));
        std::fs::write(&file, text.replace("{{repositories}}", "/srv/git")).unwrap();
        arguments.push(file.display().to_string());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = Said::by(&mut greenroom(home.path(), &arguments));
    assert_eq!(said.ok(), "no findings\n");
}
