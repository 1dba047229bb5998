//! A law of plans: over any machine and any list of states, a plan says of exactly those states that they would change or fail that
//! then do, except where it says that it cannot know.

use super::harness::state;
use super::offline::Machine;
use super::random::{Guard, Kind, Wanted, a_machine, prepare, some_states, states};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn outcomes(told: &Value) -> BTreeMap<String, String> {
    let states = told["states"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    states.iter().map(|s| (text(&s["id"]), text(&s["outcome"]))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_says_what_then_happens(
        before in a_machine(),
        list in some_states(),
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
