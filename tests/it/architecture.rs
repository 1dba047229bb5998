//! The import table of the house: which module may use which. A line that breaks it fails here, by file and line.

use std::path::{Path, PathBuf};

// Everything may use model, clock and what is named here. `config` is plain data and may be read by whoever is configured.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("tls", &[]),
    ("wire", &[]),
    ("recipes", &[]),
    ("store", &["wire"]),
    ("git", &[]),
    ("machine", &[]),
    ("providers", &["config", "machine"]),
    ("engine", &["store", "wire"]),
    ("steps", &["engine", "store", "providers", "recipes", "git", "wire"]),
    ("plans", &["steps", "engine", "store", "providers", "recipes"]),
    (
        "control",
        &["store", "engine", "plans", "recipes", "providers", "git", "wire", "config"],
    ),
    ("http", &["control", "wire"]),
    ("client", &["wire"]),
    ("agent", &["client", "wire", "recipes", "machine", "tls"]),
    ("cli", &["wire", "client", "agent", "recipes", "config", "telemetry", "tls"]),
];

// The composition root wires everything, and the demo runs it in its own process.
const COMPOSITION: &[&str] = &["src/cli/serve.rs", "src/cli/demo"];

#[test]
fn modules_import_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    for file in rust_files(&root.join("src")) {
        let shown = file.strip_prefix(root).unwrap().display().to_string();
        let module = shown.trim_start_matches("src/").split(['/', '.']).next().unwrap().to_owned();
        if matches!(module.as_str(), "main" | "lib") || COMPOSITION.iter().any(|path| shown.starts_with(path)) {
            continue;
        }
        let allowed = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{shown} is in no module of the table"))
            .1;
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            for used in line
                .split("crate::")
                .skip(1)
                .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap())
            {
                let known = MAY_IMPORT.iter().any(|(name, _)| *name == used);
                if known && used != module && !["model", "clock"].contains(&used) && !allowed.contains(&used) {
                    broken.push(format!("{shown}:{}: {module} uses {used}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "the import table (ARCHITECTURE.md) is broken:\n{}",
        broken.join("\n")
    );
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}
