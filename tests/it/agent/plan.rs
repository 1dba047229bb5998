//! What a plan says, and that it does nothing.

use super::harness::state;
use super::offline::{Machine, execute, file};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn outcomes(told: &Value) -> Vec<(String, String)> {
    let states = told["states"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    states.iter().map(|s| (text(&s["id"]), text(&s["outcome"]))).collect()
}

#[test]
fn a_plan_shows_the_difference_and_leaves_everything_as_it_is() {
    let machine = Machine::new();
    let path = machine.path("conf");
    std::fs::write(&path, "port 80\nhost a\n").unwrap();
    let wanted = json!([file(&path, "port 443\nhost a\n")]);
    let said = machine.run(&wanted, &["--plan"]);
    assert_eq!(said.code(), Some(2), "{}{}", said.out(), said.err());
    for line in [
        "would be changed: 1 lines added, 1 removed",
        "-port 80",
        "+port 443",
        " host a",
    ] {
        assert!(said.out().contains(line), "{line} in {}", said.out());
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "port 80\nhost a\n");
    machine.run(&wanted, &[]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mode = machine.run(&wanted, &["--plan"]).out();
    assert!(mode.contains("mode 0600 became 0644"), "{mode}");
    machine.run(&wanted, &[]);
    let nothing = machine.run(&wanted, &["--plan"]);
    assert_eq!((nothing.code(), nothing.out().as_str()), (Some(0), ""));
}

#[test]
fn later_states_see_what_earlier_ones_would_have_made() {
    let machine = Machine::new();
    let folder = machine.path("new/folder");
    let inside = machine.path("new/folder/conf");
    let directory = state("dir", "directory", json!({ "path": folder, "mode": "0755" }));
    let mut once = execute("once", &machine.folder, "touch made");
    once["guards"] = json!({ "creates": inside });
    let mut after = execute("after", &machine.folder, "true");
    after["guards"] = json!({ "changed": "dir" });
    let same_again = {
        let mut again = file(&inside, "x\n");
        again["id"] = json!("again");
        again
    };
    let states = json!([directory, file(&inside, "x\n"), same_again, once, after]);
    let said = machine.run(&states, &["--plan", "--json"]);
    let told: Value = serde_json::from_str(&said.out()).unwrap();
    let wanted = [
        ("dir", "would_change"),
        (&format!("file/{inside}"), "would_change"),
        ("once", "skipped"),
        ("after", "would_change"),
    ];
    assert_eq!(
        outcomes(&told),
        wanted.map(|(id, what)| (id.to_owned(), what.to_owned())),
        "{told:#}"
    );
    assert_eq!(told["unchanged"], 1, "the same file a second time");
    assert!(!Path::new(&machine.path("new")).exists() && !Path::new(&machine.path("made")).exists());
}

#[test]
fn what_depends_on_a_program_is_called_unknown_and_no_program_is_run() {
    let machine = Machine::new();
    let mut guarded = execute("guarded", &machine.folder, "touch guarded");
    guarded["guards"] = json!({ "only_if": ["/bin/sh", "-c", "touch asked"] });
    let build = execute("build", &machine.folder, "touch built");
    let missing = state(
        "tool",
        "package",
        json!({ "name": "tool", "program": "what-the-build-makes" }),
    );
    let states = json!([guarded, build, missing]);
    let said = machine.run(&states, &["--plan", "--json"]);
    let told: Value = serde_json::from_str(&said.out()).unwrap();
    let wanted = [("guarded", "unknown"), ("build", "would_change"), ("tool", "unknown")];
    assert_eq!(
        outcomes(&told),
        wanted.map(|(id, what)| (id.to_owned(), what.to_owned())),
        "{told:#}"
    );
    assert_eq!(told["unknown"], 2);
    for name in ["asked", "guarded", "built"] {
        assert!(!Path::new(&machine.path(name)).exists(), "{name}");
    }
    // Without anything before it that could make a difference, it is known.
    let alone = machine.run(&json!([states[2]]), &["--plan"]);
    assert_eq!(alone.code(), Some(4), "{}", alone.out());
    assert!(alone.out().contains("would fail"), "{}", alone.out());
}

#[test]
fn a_secret_file_shows_no_difference() {
    let machine = Machine::new();
    let path = machine.path("key");
    std::fs::write(&path, "old-secret").unwrap();
    let mut secret = file(&path, "new-secret");
    secret["secret"] = json!(true);
    let said = machine.run(&json!([secret]), &["--plan"]);
    assert!(said.out().contains("its content is secret"), "{}", said.out());
    assert!(
        !said.out().contains("new-secret") && !said.out().contains("old-secret"),
        "{}",
        said.out()
    );
}
