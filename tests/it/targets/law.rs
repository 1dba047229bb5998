//! A law of targets: whatever an agent makes of a machine, the script of the same configuration makes of it too, and neither finds
//! anything to do after the other.

use super::run;
use crate::agent::offline::Machine;
use crate::agent::random::{a_machine, prepare, some_states, states};
use greenroom::model::configuration::NodeConfiguration;
use greenroom::recipes::targets::{Options, shell};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

// All that is in a folder: kind, permission bits, owners, and content or where it leads.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let there = path.symlink_metadata().unwrap();
            let what = if there.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if there.is_dir() {
                left.push(path.clone());
                String::new()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            let bits = if there.is_symlink() { 0 } else { there.mode() };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            all.insert(name, format!("{bits:o} {}:{} {what}", there.uid(), there.gid()));
        }
    }
    all
}

// A guard that asks what has changed is about one run, so a second run may still have something to do for it.
fn settles(states: &Value) -> bool {
    let again = |state: &Value| state["type"] == "execute" || state["guards"]["changed"].is_string();
    !states.as_array().unwrap().iter().any(again)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_script_makes_of_a_machine_what_the_agent_does(before in a_machine(), list in some_states()) {
        let machine = Machine::new();
        prepare(&machine, &before);
        let states = states(&machine, &list);
        let applied = machine.run(&states, &[]);
        // What cannot be made true by one is no matter of being alike.
        prop_assume!(matches!(applied.code(), Some(0 | 2)));
        let root = machine.folder.join("tree");
        let by_agent = tree(&root);
        let _ = fs::remove_dir_all(&root);
        prepare(&machine, &before);
        let configuration: NodeConfiguration =
            serde_json::from_value(json!({ "format": NodeConfiguration::FORMAT, "states": states })).unwrap();
        let script = shell(&configuration, &Options::default()).unwrap_or_else(|found| panic!("{}", super::shown(&found)));
        let memory = machine.folder.join("memory");
        let ran = run(&script, &memory, &[]);
        let all = || format!("{states:#}\n{}\nagent: {by_agent:#?}\nscript: {:#?}", super::text(&ran), tree(&root));
        prop_assert_eq!(ran.status.code(), applied.code(), "{}", all());
        prop_assert_eq!(&tree(&root), &by_agent, "{}", all());
        // States may undo each other; where they do not, both find everything in order.
        let agreed = machine.run(&states, &[]);
        if settles(&states) && agreed.code() == Some(0) {
            prop_assert_eq!(run(&script, &memory, &[]).status.code(), Some(0), "{}", all());
            prop_assert_eq!(&tree(&root), &by_agent, "{}", all());
        }
    }
}
