//! A law of plans: over any machine and any list of states, a plan says of exactly those states that they would change or fail that
//! then do, except where it says that it cannot know.

use super::harness::state;
use super::offline::Machine;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

// Few names, so that states meet; commands have names of their own, for they are believed in what they say they make.
const NAMES: [&str; 7] = ["a", "b", "a/x", "b/x", "a/x/z", "l", "l/x"];
const MADE: [&str; 2] = ["made/1", "made/2"];

#[derive(Debug, Clone)]
enum Kind {
    File(&'static str, bool),
    Folder(&'static str),
    Link(&'static str),
    Absent(bool),
    Archive,
}

#[derive(Debug, Clone)]
enum Wanted {
    At(&'static str, Kind),
    Made(&'static str, u8),
}

#[derive(Debug, Clone)]
enum Guard {
    None,
    FileExists(&'static str),
    Removes(&'static str),
    Creates(&'static str),
    Changed(usize),
    Program(bool),
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(NAMES.to_vec())
}

fn any_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select([NAMES.as_slice(), &MADE].concat())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => (prop::sample::select(vec!["", "one\n", "two\n"]), any::<bool>()).prop_map(|(text, given)| Kind::File(text, given)),
        3 => prop::sample::select(vec!["0755", "0700", "2775"]).prop_map(Kind::Folder),
        2 => prop::sample::select(vec!["a", "b", "nowhere"]).prop_map(Kind::Link),
        3 => any::<bool>().prop_map(Kind::Absent),
        1 => Just(Kind::Archive),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let made = (prop::sample::select(MADE.to_vec()), 0..3_u8).prop_map(|(name, what)| Wanted::Made(name, what));
    prop_oneof![6 => (name(), kind()).prop_map(|(name, kind)| Wanted::At(name, kind)), 1 => made]
}

fn guard() -> impl Strategy<Value = Guard> {
    prop_oneof![
        6 => Just(Guard::None),
        1 => any_name().prop_map(Guard::FileExists),
        1 => any_name().prop_map(Guard::Removes),
        1 => any_name().prop_map(Guard::Creates),
        1 => (0..6_usize).prop_map(Guard::Changed),
        1 => any::<bool>().prop_map(Guard::Program),
    ]
}

// What is there before: a machine that other people and other recipes worked on.
fn prepare(machine: &Machine, before: &BTreeMap<&'static str, Kind>) {
    for (name, kind) in before {
        let path = machine.folder.join("tree").join(name);
        if fs::create_dir_all(path.parent().unwrap()).is_err() || path.symlink_metadata().is_ok() {
            continue;
        }
        match kind {
            Kind::File(text, _) => fs::write(&path, text).unwrap(),
            Kind::Folder(_) | Kind::Archive => fs::create_dir(&path).unwrap(),
            Kind::Link(to) => symlink(machine.path(&format!("tree/{to}")), &path).unwrap(),
            Kind::Absent(_) => {}
        }
    }
}

// An archive with one file, and its hash.
fn archive(machine: &Machine) -> (String, String) {
    let path = machine.path("archive.tar");
    fs::write(machine.path("inside"), "of the archive\n").unwrap();
    let made = Command::new("tar")
        .args(["--create", "--mtime=@0", "--file", &path, "--directory"])
        .arg(&machine.folder)
        .arg("inside")
        .status();
    assert!(made.unwrap().success());
    let hash = Sha256::digest(fs::read(&path).unwrap());
    (path, greenroom::model::secret::hex("", &hash))
}

fn states(machine: &Machine, list: &[(Wanted, Guard)]) -> Value {
    let (archive, sha256) = archive(machine);
    let is_root = rustix::process::geteuid().is_root();
    let at = |name: &str| machine.path(&format!("tree/{name}"));
    let one = |(place, (wanted, guard)): (usize, &(Wanted, Guard))| {
        let id = format!("state-{place}");
        let mut state = match wanted {
            Wanted::At(name, Kind::File(text, given)) => {
                let mut file = state(&id, "file", json!({ "path": at(name), "content": text, "mode": "0644" }));
                if *given && is_root {
                    file["owner"] = json!("nobody");
                }
                file
            }
            Wanted::At(name, Kind::Folder(mode)) => state(&id, "directory", json!({ "path": at(name), "mode": mode })),
            Wanted::At(name, Kind::Link(to)) => state(&id, "link", json!({ "path": at(name), "to": at(to) })),
            Wanted::At(name, Kind::Absent(recursive)) => {
                state(&id, "absent", json!({ "path": at(name), "recursive": recursive }))
            }
            Wanted::At(name, Kind::Archive) => {
                let body = json!({ "path": at(name), "source": archive, "sha256": sha256 });
                state(&id, "archive", body)
            }
            Wanted::Made(name, 0) => state(&id, "absent", json!({ "path": at(name) })),
            Wanted::Made(name, 1) => {
                let script = format!("mkdir -p '{}'; touch '{}'", at("made"), at(name));
                let body =
                    json!({ "command": ["/bin/sh", "-c", script], "cwd": "/", "timeout_s": 20, "failure": "state-failed" });
                let mut state = state(&id, "execute", body);
                state["guards"] = json!({ "creates": at(name) });
                return state;
            }
            Wanted::Made(name, _) => state(&id, "file", json!({ "path": at(name), "content": "x", "mode": "0600" })),
        };
        state["guards"] = match guard {
            Guard::None => json!({}),
            Guard::FileExists(name) => json!({ "file_exists": at(name) }),
            Guard::Removes(name) => json!({ "removes": at(name) }),
            Guard::Creates(name) => json!({ "creates": at(name) }),
            Guard::Changed(before) => json!({ "changed": format!("state-{before}") }),
            Guard::Program(good) => json!({ "only_if": [if *good { "/bin/true" } else { "/bin/false" }] }),
        };
        state
    };
    list.iter().enumerate().map(one).collect()
}

fn outcomes(told: &Value) -> BTreeMap<String, String> {
    let states = told["states"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    states.iter().map(|s| (text(&s["id"]), text(&s["outcome"]))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_says_what_then_happens(
        before in prop::collection::btree_map(name(), kind(), 0..4),
        list in prop::collection::vec((wanted(), guard()), 1..10),
    ) {
        let machine = Machine::new();
        prepare(&machine, &before);
        let states = states(&machine, &list);
        let planned = machine.run(&states, &["--plan", "--json"]);
        let told: Value = serde_json::from_str(&planned.out()).unwrap();
        let would = outcomes(&told);
        let made = machine.run(&states, &["--json"]);
        let journal = fs::read(machine.path("agent/journal"));
        let did = outcomes(&serde_json::from_slice(&journal.unwrap_or_else(|_| b"{}".to_vec())).unwrap());
        let all = || format!("{states:#}\nplan: {told:#}\ndone: {did:#?}\n{}", made.err());
        // Refused before anything was done.
        if did.is_empty() && made.code() == Some(4) {
            prop_assert_eq!(planned.code(), Some(4), "{}", all());
            return Ok(());
        }
        let is_knowable = list.iter().all(|(wanted, guard)| {
            !matches!(wanted, Wanted::Made(..) | Wanted::At(_, Kind::Archive)) && !matches!(guard, Guard::Program(_))
        });
        prop_assert!(!is_knowable || !would.values().any(|what| what == "unknown"), "{}", all());
        for place in 0..list.len() {
            let id = format!("state-{place}");
            let said = |of: &BTreeMap<String, String>| of.get(&id).cloned().unwrap_or_else(|| "unchanged".to_owned());
            let (would, did) = (said(&would), said(&did));
            if would == "unknown" {
                if did == "failed" { break }
                continue;
            }
            prop_assert_eq!(would == "would_change", did == "changed", "{}: {} but {}\n{}", id, would, did, all());
            prop_assert_eq!(would == "would_fail", did == "failed", "{}: {} but {}\n{}", id, would, did, all());
            if did == "failed" { break }
        }
    }
}

#[test]
fn folders_that_hand_on_their_group_do_so_in_a_plan_too() {
    let machine = Machine::new();
    let (above, below) = (machine.path("shared"), machine.path("shared/new/file"));
    fs::create_dir(&above).unwrap();
    fs::set_permissions(&above, fs::Permissions::from_mode(0o2775)).unwrap();
    let file = state("file", "file", json!({ "path": below, "content": "x", "mode": "0644" }));
    let folder = |mode: &str| {
        state(
            "folder",
            "directory",
            json!({ "path": machine.path("shared/new"), "mode": mode }),
        )
    };
    let umask = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o022));
    rustix::process::umask(umask);
    let bits = 0o2777 & !umask.bits();
    let said = machine.run(&json!([file, folder(&format!("{bits:04o}"))]), &["--plan", "--json"]);
    let told: Value = serde_json::from_str(&said.out()).unwrap();
    assert_eq!((&told["changed"], &told["unchanged"]), (&json!(1), &json!(1)), "{told:#}");
}
