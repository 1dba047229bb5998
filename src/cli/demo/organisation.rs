//! The example organisation of `examples/bookshop`, brought to life: git repositories and descriptors, out of the binary alone.
//!
//! Authors and dates are fixed, so the commits have the same ids wherever they are made. Knows neither server nor client.

use crate::model::fault::Fault;
use crate::model::time::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(rust_embed::Embed)]
#[folder = "examples/bookshop/"]
struct Files;

// What differs on servers of its own, over the files of the same name.
#[derive(rust_embed::Embed)]
#[folder = "examples/bookshop-servers/"]
struct ServerFiles;

/// Where the organisation's apps are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// In a sandbox: SQLite, and nothing to install.
    Sandbox,
    /// On a server of its own: nginx, PostgreSQL and Redis.
    Server,
}

/// An app of the organisation, ready to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleApp {
    /// Its name.
    pub name: String,
    /// Its descriptor, pointing at the repository that was made.
    pub descriptor: String,
}

#[derive(Deserialize)]
struct History {
    apps: BTreeMap<String, AppHistory>,
}

#[derive(Deserialize)]
struct AppHistory {
    author: String,
    revisions: Vec<Revision>,
}

// Without a branch of its own a revision is the next commit of `main`; with one, it grows from the end of `main`.
#[derive(Deserialize)]
struct Revision {
    folder: String,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    branch: Option<String>,
    subject: String,
    date: Timestamp,
}

/// Makes every app's repository in this folder, and gives the apps, each after what it depends on.
///
/// # Errors
/// Where the folder cannot be written or git is missing or fails.
pub fn create(folder: &Path, edition: Edition) -> Result<Vec<ExampleApp>, Fault> {
    let history: History = serde_json::from_slice(&read("history.json", edition)?).map_err(|e| damaged("history.json", &e))?;
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    let folder = folder.canonicalize().map_err(|e| failed(folder, &e))?;
    // One git process for each repository, all at once.
    let mut importing = Vec::new();
    for (name, app) in &history.apps {
        let repository = folder.join(format!("{name}.git"));
        let stream = stream(name, app, edition)?;
        importing.push((name, import(&repository, &stream)?));
    }
    for (name, child) in importing {
        let output = child.wait_with_output().map_err(|e| failed(&folder, &e))?;
        if !output.status.success() {
            return Err(
                Fault::new("internal", format!("The example repository of {name} cannot be made"))
                    .why(String::from_utf8_lossy(&output.stderr).trim()),
            );
        }
    }
    let mut apps = Vec::new();
    for name in history.apps.keys() {
        let path = format!("apps/{name}/greenroom.json");
        let text = String::from_utf8(read(&path, edition)?).map_err(|e| damaged(&path, &e))?;
        apps.push(ExampleApp {
            name: name.clone(),
            descriptor: text.replace("{{repositories}}", &folder.display().to_string()),
        });
    }
    // The storefront needs the others; among those, no order matters.
    apps.sort_by_key(|app| app.name == "storefront");
    Ok(apps)
}

// A bare repository is a few files; writing them saves one process for each.
fn import(repository: &Path, stream: &[u8]) -> Result<std::process::Child, Fault> {
    let make = || -> std::io::Result<std::process::Child> {
        for folder in ["objects/pack", "objects/info", "refs/heads", "refs/tags"] {
            std::fs::create_dir_all(repository.join(folder))?;
        }
        std::fs::write(repository.join("HEAD"), "ref: refs/heads/main\n")?;
        let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
        std::fs::write(repository.join("config"), config)?;
        let mut child = Command::new("git")
            .arg("--git-dir")
            .arg(repository)
            .args([
                "-c",
                "fastimport.unpackLimit=0",
                "fast-import",
                "--quiet",
                "--date-format=raw",
            ])
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut pipe) = child.stdin.take() {
            // Where git stops reading, what it says is worth more than the broken pipe.
            let _ = pipe.write_all(stream);
        }
        Ok(child)
    };
    make().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound if Command::new("git").arg("--version").output().is_err() => {
            Fault::new("tool-missing", "git is not installed").next("Install git and start again")
        }
        _ => failed(repository, &error),
    })
}

/// The repository as `git fast-import` reads it.
fn stream(name: &str, app: &AppHistory, edition: Edition) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut main: Option<usize> = None;
    for (index, revision) in app.revisions.iter().enumerate() {
        let mark = index + 1;
        let branch = revision.branch.as_deref().unwrap_or("main");
        let subject = format!("{}\n", revision.subject);
        let author = &app.author;
        let seconds = revision.date.0 / 1000;
        let head = format!(
            "commit refs/heads/{branch}\nmark :{mark}\nauthor {author} {seconds} +0000\ncommitter {author} {seconds} +0000\ndata {}\n{subject}",
            subject.len()
        );
        out.extend(head.into_bytes());
        if let Some(before) = main {
            out.extend(format!("from :{before}\n").into_bytes());
        }
        for (path, content) in files(name, &revision.folder, edition)? {
            out.extend(format!("M 100644 inline {path}\ndata {}\n", content.len()).into_bytes());
            out.extend(content);
            out.push(b'\n');
        }
        out.push(b'\n');
        if let Some(tag) = &revision.tag {
            out.extend(format!("reset refs/tags/{tag}\nfrom :{mark}\n\n").into_bytes());
        }
        if revision.branch.is_none() {
            main = Some(mark);
        }
    }
    out.extend(b"done\n");
    Ok(out)
}

// What a revision brings: its own files, over those of the revision before.
fn files(app: &str, folder: &str, edition: Edition) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let prefix = format!("apps/{app}/{folder}/");
    let mut found = Vec::new();
    let over = ServerFiles::iter().filter(|_| edition == Edition::Server);
    let paths: BTreeSet<_> = Files::iter().chain(over).collect();
    for path in paths {
        let Some(inside) = path.strip_prefix(&prefix) else { continue };
        // Left by whoever tried the app in place.
        let litter = inside
            .split('/')
            .any(|part| matches!(part, "__pycache__" | "target") || part.starts_with('.'));
        if !litter {
            found.push((inside.to_owned(), read(&path, edition)?));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &str, edition: Edition) -> Result<Vec<u8>, Fault> {
    let over = ServerFiles::get(path).filter(|_| edition == Edition::Server);
    let file = over
        .or_else(|| Files::get(path))
        .ok_or_else(|| damaged(path, &"it is missing"))?;
    Ok(file.data.into_owned())
}

fn damaged(path: &str, why: &dyn std::fmt::Display) -> Fault {
    Fault::new("internal", format!("The example organisation's {path} cannot be used")).why(why)
}

fn failed(path: &Path, error: &std::io::Error) -> Fault {
    let code = if error.kind() == std::io::ErrorKind::StorageFull {
        "disk-full"
    } else {
        "internal"
    };
    Fault::new(code, format!("The example repository {} cannot be written", path.display())).why(error)
}

/// Where the organisation's repositories go in a data folder.
pub fn folder(data: &Path) -> PathBuf {
    data.join("bookshop")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(repository: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(repository)
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_repositories_have_tags_branches_and_the_same_commits_every_time() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let apps = create(one.path(), Edition::Sandbox).unwrap();
        create(two.path(), Edition::Sandbox).unwrap();
        assert_eq!(apps.len(), 5);
        assert_eq!(apps[4].name, "storefront");
        for app in &apps {
            let refs = |folder: &Path| git(&folder.join(format!("{}.git", app.name)), &["for-each-ref"]);
            let made = refs(one.path());
            assert_eq!(made, refs(two.path()));
            for wanted in ["refs/heads/main", "refs/tags/v1.0", "refs/tags/v1.1"] {
                assert!(made.contains(wanted), "{made}");
            }
            git(&one.path().join(format!("{}.git", app.name)), &["fsck", "--strict"]);
        }
    }

    #[test]
    fn a_revision_lies_over_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        create(folder.path(), Edition::Sandbox).unwrap();
        let repository = folder.path().join("catalogue.git");
        let show = |what: &str| git(&repository, &["show", what]);
        assert!(show("v1.0:catalogue/__init__.py").contains("1.0"));
        assert!(show("v1.1:catalogue/__init__.py").contains("1.1"));
        // Unchanged files stay, and a broken branch is a child of the last release.
        assert_eq!(show("v1.0:catalogue/api.py"), show("v1.1:catalogue/api.py"));
        assert!(show("crashes-at-start:catalogue/__main__.py").contains("SHOP_CURRENCY"));
        assert_eq!(
            git(&repository, &["rev-parse", "crashes-at-start^"]),
            git(&repository, &["rev-parse", "v1.1"])
        );
    }

    #[test]
    fn the_descriptors_are_valid_and_name_the_repositories() {
        let [sandbox, server] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let apps = create(sandbox.path(), Edition::Sandbox).unwrap();
        for app in apps.into_iter().chain(create(server.path(), Edition::Server).unwrap()) {
            let file = format!("{}.json", app.name);
            let (descriptor, found) = crate::recipes::descriptor::parse(&file, app.descriptor.as_bytes());
            assert!(found.is_empty(), "{found:#?}");
            let descriptor = descriptor.unwrap();
            assert_eq!(descriptor.name().as_str(), app.name);
            assert!(Path::new(descriptor.spec.repository.as_str()).join("HEAD").is_file());
        }
    }
}
