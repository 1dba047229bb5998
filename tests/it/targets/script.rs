//! The script that a configuration is made into, run for real.

use super::{configuration, run, shellcheck, shown, text};
use greenroom::recipes::targets::{Options, Target, refusals, shell};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

fn script(states: serde_json::Value) -> String {
    shell(&configuration(states), &Options::default()).unwrap_or_else(|found| panic!("{}", shown(&found)))
}

#[test]
fn a_script_makes_it_so_and_changes_nothing_the_second_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let odd = "it's $HOME `x` \"q\" \\ \u{201c}\u{feff}\r\nEND_OF_TEXT\n";
    let script = script(json!([
        {"type": "directory", "path": at("a/b c"), "mode": "0750"},
        {"type": "file", "path": at("a/b c/it's"), "content": odd, "mode": "0640"},
        {"type": "file", "path": at("plain"), "content": "one\n\n  two\n\tthree\n", "mode": "0600"},
        {"type": "file", "path": at("unended"), "content": "no newline", "mode": "4755"},
        {"type": "file", "path": at("empty"), "content": "", "mode": "0644"},
        {"type": "execute", "command": ["sh", "-c", "printf '%s|' \"$PWD\" \"$GREETING\" \"$1\" > out; ls", "x", "$y 'z'"],
         "cwd": at("a/b c"), "env": {"GREETING": "a \"b\" $c\nd"}, "timeout_s": 20, "failure": "state-failed",
         "guards": {"creates": at("a/b c/out")}},
    ]));
    assert_eq!(shellcheck(&script), "");
    let memory = folder.path().join("memory");

    let dry = run(&script, &memory, &[("DRY_RUN", "1")]);
    assert_eq!(dry.status.code(), Some(2), "{}", text(&dry));
    assert!(!folder.path().join("a").exists() && !memory.exists(), "{}", text(&dry));

    let first = run(&script, &memory, &[]);
    assert_eq!(first.status.code(), Some(2), "{}", text(&first));
    assert_eq!(std::fs::read_to_string(at("a/b c/it's")).unwrap(), odd);
    assert_eq!(std::fs::read_to_string(at("plain")).unwrap(), "one\n\n  two\n\tthree\n");
    assert_eq!(std::fs::read_to_string(at("unended")).unwrap(), "no newline");
    assert_eq!(std::fs::read_to_string(at("empty")).unwrap(), "");
    let ran = std::fs::read_to_string(at("a/b c/out")).unwrap();
    assert_eq!(ran, format!("{}|a \"b\" $c\nd|$y 'z'|", at("a/b c")));
    let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a/b c"), mode("plain"), mode("unended")), (0o750, 0o600, 0o4755));

    let second = run(&script, &memory, &[]);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second));
    assert!(
        text(&second).contains("5 as it should be, 0 changed, 1 not needed"),
        "{}",
        text(&second)
    );

    std::fs::write(at("plain"), "by hand").unwrap();
    let third = run(&script, &memory, &[]);
    assert_eq!(third.status.code(), Some(2), "{}", text(&third));
    assert_eq!(std::fs::read_to_string(at("plain")).unwrap(), "one\n\n  two\n\tthree\n");
}

#[test]
fn what_an_unfinished_run_changed_is_still_owed_to_whatever_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let program = |id: &str, command: serde_json::Value, guards: serde_json::Value| json!({"type": "execute", "id": id, "command": command, "cwd": "/", "timeout_s": 20, "failure": "state-failed", "guards": guards});
    let script = script(json!([
        {"type": "file", "id": "shop/file/conf", "path": at("conf"), "content": "x\n", "mode": "0644"},
        program("shop/execute/gate", json!(["test", "-e", at("gate")]), json!({})),
        program("shop/execute/after", json!(["touch", at("after")]), json!({"changed": "shop/file/conf"})),
    ]));
    let memory = folder.path().join("memory");
    let first = run(&script, &memory, &[]);
    assert_eq!(first.status.code(), Some(6), "{}", text(&first));
    let again = run(&script, &memory, &[]);
    assert_eq!(again.status.code(), Some(4), "{}", text(&again));
    std::fs::write(at("gate"), "").unwrap();
    let last = run(&script, &memory, &[]);
    assert_eq!(last.status.code(), Some(2), "{}", text(&last));
    assert!(folder.path().join("after").exists());
    std::fs::remove_file(at("after")).unwrap();
    let done = run(&script, &memory, &[]);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done));
    assert!(!folder.path().join("after").exists());
}

#[test]
fn two_runs_at_once_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let memory = folder.path().join("memory");
    std::fs::create_dir(&memory).unwrap();
    let lock = std::fs::File::create(memory.join("lock")).unwrap();
    lock.lock().unwrap();
    let ran = run(&script(json!([])), &memory, &[]);
    assert_eq!(ran.status.code(), Some(4), "{}", text(&ran));
    assert!(text(&ran).contains("another run is under way"), "{}", text(&ran));
}

#[test]
fn secrets_are_refused_unless_the_script_reads_them_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let states = configuration(json!([
        {"type": "execute", "command": ["sh", "-c", format!("printf '%s' \"$URL\" > {out}")], "cwd": "/",
         "env": {"URL": {"join": ["postgres://shop:", {"secret": "shop/db"}, "@db/"]}}, "timeout_s": 20, "failure": "state-failed"},
    ]));
    for target in [Target::Shell, Target::CloudInit, Target::Image] {
        let found = refusals(&states, target, &Options::default());
        assert_eq!(found.len(), 1, "{target}");
        assert!(
            shown(&found).starts_with("recipes/shop.yaml:1:5: error[secret-in-target]"),
            "{}",
            shown(&found)
        );
    }
    assert!(refusals(&states, Target::Agent, &Options::default()).is_empty());
    let options = Options {
        secrets_from_file: true,
        ..Options::default()
    };
    let script = shell(&states, &options).unwrap();
    assert_eq!(shellcheck(&script), "");
    let memory = folder.path().join("memory");
    let without = run(&script, &memory, &[]);
    assert_eq!(without.status.code(), Some(4), "{}", text(&without));
    assert!(
        text(&without).contains("GREENROOM_SECRETS must name the file"),
        "{}",
        text(&without)
    );
    let file = folder.path().join("secrets");
    std::fs::write(&file, "shop/other=no\nshop/db=p=a$s\n").unwrap();
    let with = run(&script, &memory, &[("GREENROOM_SECRETS", file.to_str().unwrap())]);
    assert_eq!(with.status.code(), Some(2), "{}", text(&with));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "postgres://shop:p=a$s@db/");
    assert!(!text(&with).contains("p=a$s"));
}

#[test]
fn scripts_of_all_state_types_pass_shellcheck() {
    let service = json!({"type": "service", "name": "shop-web", "command": ["bin/web", "100%", "$PORT", "a b"], "cwd": "/srv/shop",
        "env": {"A": "x\"y%z", "KEY": {"secret": "shop/key"}}, "path": ["/srv/shop/bin"], "restart": {"policy": "always", "limit": 5},
        "ready": {"http": "http://127.0.0.1:8080/health", "timeout_s": 30}, "stop_timeout_s": 10, "revision": "abc"});
    let states = configuration(json!([
        {"type": "package", "name": "nodejs", "program": "node", "min_version": "18"},
        {"type": "git", "path": "/srv/shop", "repository": "https://git.example/shop.git", "commit": "0123456789012345678901234567890123456789"},
        {"type": "file", "path": "/etc/shop.conf", "content": "a\n", "mode": "0644", "restarts": ["shop/service/3"],
         "guards": {"only_if": ["test", "-d", "/etc"], "not_if": ["test", "-e", "/no"]}},
        service,
        {"type": "database", "name": "shop/db", "engine": {"engine": "sqlite", "path": "/var/lib/shop/db"}, "schema": "/srv/shop/schema.sql",
         "fixture": "/srv/shop/fixture.sql", "revision": "abc"},
    ]));
    let options = Options {
        secrets_from_file: true,
        ..Options::default()
    };
    let script = shell(&states, &options).unwrap_or_else(|found| panic!("{}", shown(&found)));
    assert_eq!(shellcheck(&script), "");
    insta::assert_snapshot!("all_state_types", script);
}

#[test]
fn what_a_target_cannot_do_is_refused_at_its_place_unless_it_is_not_meant_for_it() {
    let mut database = json!({"type": "database", "name": "shop/db", "revision": "1", "engine": {"engine": "postgres", "host": "db",
        "port": 5432, "database": "shop", "user": "shop", "password": "in clear"}});
    let states = configuration(json!([database]));
    let found = shell(&states, &Options::default()).unwrap_err();
    let said = shown(&found);
    assert!(
        said.starts_with("recipes/shop.yaml:1:5: error[target-unsupported]: a `database` state"),
        "{said}"
    );
    assert!(said.contains("targets: [agent, cloud-init, image]"), "{said}");
    database["targets"] = json!(["agent"]);
    let script = shell(&configuration(json!([database])), &Options::default()).unwrap();
    assert!(!script.contains("shop/db"), "{script}");
}
