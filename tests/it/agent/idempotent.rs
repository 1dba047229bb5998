//! A law of all that is made true: applied twice, nothing changes the second time, and what was altered in between is put right.

use super::harness::state;
use super::offline::{Machine, file};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

// Names that are folders never have the form of names that are files, so that no set contradicts itself.
#[derive(Debug, Clone)]
enum Entry {
    Folder(u32),
    File(String, u32),
    Link(String),
}

fn entries() -> impl Strategy<Value = BTreeMap<String, Entry>> {
    let bits = || prop::sample::select(vec![0o600, 0o640, 0o644, 0o700, 0o755, 0o4755]);
    let folder = prop::sample::select(vec![0o700, 0o750, 0o755, 0o2775]);
    let name = prop::collection::vec("d[a-c]", 0..3);
    let file = (name.clone(), "f[a-d é'$]{0,3}", "(\\PC|\n){0,40}", bits())
        .prop_map(|(above, name, text, bits)| (path(above, &name), Entry::File(text, bits)));
    let link = (name.clone(), "l[a-c]", "[a-z./]{1,12}").prop_map(|(above, name, to)| (path(above, &name), Entry::Link(to)));
    let folder = (name, "d[a-c]", folder).prop_map(|(above, name, bits)| (path(above, &name), Entry::Folder(bits)));
    prop::collection::vec(prop_oneof![file, folder, link], 1..12).prop_map(|all| all.into_iter().collect())
}

fn path(mut above: Vec<String>, name: &str) -> String {
    above.push(name.to_owned());
    above.join("/")
}

fn states(machine: &Machine, entries: &BTreeMap<String, Entry>) -> Value {
    let one = |(name, entry): (&String, &Entry)| {
        let path = machine.path(&format!("tree/{name}"));
        match entry {
            Entry::Folder(bits) => state(
                &format!("directory/{name}"),
                "directory",
                json!({ "path": path, "mode": format!("{bits:04o}") }),
            ),
            Entry::File(text, bits) => {
                let mut file = file(&path, text);
                file["mode"] = json!(format!("{bits:04o}"));
                file
            }
            Entry::Link(to) => state(&format!("link/{name}"), "link", json!({ "path": path, "to": to })),
        }
    };
    entries.iter().map(one).collect()
}

// Whether what is there is what is wanted, bit by bit.
fn holds(root: &Path, entries: &BTreeMap<String, Entry>) {
    for (name, entry) in entries {
        let path = root.join("tree").join(name);
        let wanted = match entry {
            Entry::Folder(bits) => bits,
            Entry::File(text, bits) => {
                assert_eq!(&fs::read_to_string(&path).unwrap(), text, "{name}");
                bits
            }
            Entry::Link(to) => {
                assert_eq!(fs::read_link(&path).unwrap(), Path::new(to), "{name}");
                continue;
            }
        };
        let there = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(there, *wanted, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn files_folders_and_links_are_made_once_and_put_right_when_they_drift(entries in entries(), which in any::<prop::sample::Index>()) {
        let machine = Machine::new();
        let states = states(&machine, &entries);
        let run = |wanted: i32| {
            let ended = machine.run(&states, &[]);
            assert_eq!(ended.code(), Some(wanted), "{}{}", ended.out(), ended.err());
            holds(&machine.folder, &entries);
        };
        run(2);
        run(0);
        let (name, entry) = entries.iter().nth(which.index(entries.len())).unwrap();
        let altered = machine.folder.join("tree").join(name);
        match entry {
            Entry::Folder(_) => fs::set_permissions(&altered, fs::Permissions::from_mode(0o711)).unwrap(),
            Entry::File(..) | Entry::Link(_) => fs::remove_file(&altered).unwrap(),
        }
        run(2);
        run(0);
    }
}
