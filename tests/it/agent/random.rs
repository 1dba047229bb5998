//! Machines and lists of states as chance makes them, of files, folders, links and what else needs no machine of its own.

use super::harness::state;
use super::offline::Machine;
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

// Few names, so that states meet; commands have names of their own, for they are believed in what they say they make.
const NAMES: [&str; 7] = ["a", "b", "a/x", "b/x", "a/x/z", "l", "l/x"];
const MADE: [&str; 2] = ["made/1", "made/2"];

/// What is at a place, or is wanted there.
#[derive(Debug, Clone)]
pub enum Kind {
    File(&'static str, bool),
    Folder(&'static str),
    Link(&'static str),
    Absent(bool),
    Archive,
}

/// A state.
#[derive(Debug, Clone)]
pub enum Wanted {
    At(&'static str, Kind),
    Made(&'static str, u8),
}

/// A condition of a state.
#[derive(Debug, Clone)]
pub enum Guard {
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

/// Makes what is there before.
pub fn prepare(machine: &Machine, before: &BTreeMap<&'static str, Kind>) {
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

/// A machine that other people and other recipes worked on.
pub fn a_machine() -> impl Strategy<Value = BTreeMap<&'static str, Kind>> {
    prop::collection::btree_map(name(), kind(), 0..4)
}

/// States with their guards.
pub fn some_states() -> impl Strategy<Value = Vec<(Wanted, Guard)>> {
    prop::collection::vec((wanted(), guard()), 1..10)
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

/// The states as a configuration has them.
pub fn states(machine: &Machine, list: &[(Wanted, Guard)]) -> Value {
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
