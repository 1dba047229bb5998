//! Packages of Debian and its relatives. What is installed is read out of the package manager's own list, without a program;
//! only changes call it.

use super::{Done, Hands, io_fault};
use crate::model::configuration::Install;
use crate::model::fault::Fault;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const STATUS: &str = "/var/lib/dpkg/status";
const LISTS: &str = "/var/lib/apt/lists";
const PATIENCE: Duration = Duration::from_mins(20);

/// What the package manager has of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    version: String,
    installed: bool,
    // Its settings are still there, whether or not it is.
    settings: bool,
    held: bool,
}

type List = HashMap<String, Known>;

/// The list of packages as it was last read.
#[derive(Debug, Default)]
pub(in crate::agent) struct Packages(Mutex<Option<(SystemTime, u64, Arc<List>)>>);

impl Packages {
    fn read(&self) -> Result<Arc<List>, Fault> {
        let failed = |error| io_fault("The list of packages cannot be read", &error);
        let file = fs::metadata(STATUS).map_err(failed)?;
        let key = (file.modified().map_err(failed)?, file.len());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, length, list)) = kept.as_ref()
            && (*at, *length) == key
        {
            return Ok(Arc::clone(list));
        }
        let list = Arc::new(parse(&fs::read_to_string(STATUS).map_err(failed)?));
        *kept = Some((key.0, key.1, Arc::clone(&list)));
        Ok(list)
    }
}

fn parse(text: &str) -> List {
    let mut list = List::new();
    for paragraph in text.split("\n\n") {
        let (mut name, mut version, mut status) = (None, "", "");
        for line in paragraph.lines() {
            if let Some(value) = line.strip_prefix("Package: ") {
                name = Some(value);
            } else if let Some(value) = line.strip_prefix("Version: ") {
                version = value;
            } else if let Some(value) = line.strip_prefix("Status: ") {
                status = value;
            }
        }
        let mut words = status.split(' ');
        let (want, state) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
        if let Some(name) = name {
            let known = Known {
                version: version.to_owned(),
                installed: state == "installed",
                settings: matches!(state, "installed" | "config-files"),
                held: want == "hold",
            };
            // The same package for another architecture counts where it is the one that is there.
            let before = list.entry(name.to_owned()).or_insert_with(|| known.clone());
            if known.installed && !before.installed {
                *before = known;
            }
        }
    }
    list
}

impl Hands {
    pub(super) async fn install(&self, name: &str, wanted: &Install, stream: &str) -> Result<Done, Fault> {
        let all: Vec<&str> = std::iter::once(name).chain(wanted.also.iter().map(String::as_str)).collect();
        let list = self.known_packages()?;
        let is = |name: &str, what: fn(&Known) -> bool| list.get(name).is_some_and(what);
        let remove = matches!(wanted.state.as_str(), "absent" | "purged");
        let purge = wanted.state == "purged";
        let mut todo: Vec<String> = Vec::new();
        for (place, package) in all.iter().enumerate() {
            let installed = is(package, |known| known.installed);
            if remove {
                let there = if purge {
                    is(package, |known| known.settings)
                } else {
                    installed
                };
                todo.extend(there.then(|| (*package).to_owned()));
                continue;
            }
            let exactly = wanted.version.as_deref().filter(|_| place == 0);
            match exactly {
                Some(version) if list.get(*package).is_none_or(|k| !k.installed || k.version != version) => {
                    todo.push(format!("{package}={version}"));
                }
                _ if !installed => todo.push((*package).to_owned()),
                None if wanted.state == "latest" && self.is_old(package, stream).await? => todo.push((*package).to_owned()),
                _ => {}
            }
        }
        let mut said = Vec::new();
        if !todo.is_empty() {
            said.push(format!(
                "{} {}",
                if remove { "removed" } else { "installed" },
                todo.join(", ")
            ));
            if self.is_plan() {
                // What a package brings is not known before it is there.
                self.pretend_packages();
            } else {
                self.apt(remove, purge, &todo, stream).await?;
            }
        }
        if !remove {
            let verb = if wanted.hold { "hold" } else { "unhold" };
            let wrong: Vec<&str> = all
                .iter()
                .copied()
                .filter(|package| is(package, |k| k.held) != wanted.hold)
                .filter(|package| wanted.hold || list.contains_key(*package))
                .collect();
            if !wrong.is_empty() {
                said.push(format!("{verb} {}", wrong.join(", ")));
                let command: Vec<&str> = ["apt-mark", verb].into_iter().chain(wrong).collect();
                self.tool(&command, "", stream).await?;
            }
        }
        self.pretend(|overlay| {
            for (place, package) in all.iter().enumerate() {
                let now = list.get(*package).cloned().unwrap_or_default();
                let exactly = wanted.version.clone().filter(|_| place == 0);
                let after = Known {
                    version: exactly.unwrap_or_else(|| now.version.clone()),
                    installed: !remove,
                    settings: if remove { now.settings && !purge } else { true },
                    held: if remove { now.held } else { wanted.hold },
                };
                overlay.packages.insert((*package).to_owned(), after);
            }
        });
        Ok(if said.is_empty() {
            Done::Unchanged
        } else {
            Done::Changed(said.join("; "))
        })
    }

    // As the package manager has them, or as a plan pretends.
    fn known_packages(&self) -> Result<Arc<List>, Fault> {
        let mut list = self.packages.read()?;
        let pretended = self.pretend(|overlay| overlay.packages.clone()).unwrap_or_default();
        if !pretended.is_empty() {
            Arc::make_mut(&mut list).extend(pretended);
        }
        Ok(list)
    }

    // Whether a newer version is offered than the one that is installed.
    async fn is_old(&self, package: &str, stream: &str) -> Result<bool, Fault> {
        let command = ["apt-cache", "policy", "--", package].map(str::to_owned);
        let said = self
            .run("apt-cache", &command, Path::new("/"), &BTreeMap::new(), PATIENCE, stream, "")
            .await?;
        let after = |word: &str| {
            let mut lines = said.text.lines();
            lines.find_map(|line| line.trim().strip_prefix(word)).map(str::trim)
        };
        Ok(after("Installed:") != after("Candidate:"))
    }

    async fn apt(&self, remove: bool, purge: bool, packages: &[String], stream: &str) -> Result<(), Fault> {
        let nothing_known = fs::read_dir(LISTS).map_or(true, |entries| {
            !entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().contains("Packages"))
        });
        if !remove && nothing_known {
            self.apt_update(stream).await?;
        }
        let verb = match (remove, purge) {
            (false, _) => "install",
            (true, false) => "remove",
            (true, true) => "purge",
        };
        let mut command = vec!["apt-get", verb];
        command.extend(APT);
        command.extend(packages.iter().map(String::as_str));
        let first = self.apt_get(&command, stream).await;
        match first {
            // The lists may be older than what the repositories have now.
            Err(fault) if !remove && fault.code != "disk-full" => {
                self.apt_update(stream).await?;
                self.apt_get(&command, stream).await
            }
            other => other,
        }
    }

    /// Reads the lists of all repositories again.
    pub(super) async fn apt_update(&self, stream: &str) -> Result<(), Fault> {
        let mut command = vec!["apt-get", "update"];
        command.extend(APT);
        self.apt_get(&command, stream).await
    }

    async fn apt_get(&self, command: &[&str], stream: &str) -> Result<(), Fault> {
        let whole: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let env = [("DEBIAN_FRONTEND", "noninteractive"), ("NEEDRESTART_MODE", "l")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let ended = self
            .run("apt-get", &whole, Path::new("/"), &env, PATIENCE, stream, "  ")
            .await?;
        if ended.is_good() {
            return Ok(());
        }
        let what = format!("`apt-get {}` failed", command.get(1).copied().unwrap_or_default());
        Err(ended.fault("state-failed", what, PATIENCE))
    }
}

// Settings that someone changed by hand stay; a run of the package manager that is under way is waited for.
const APT: [&str; 10] = [
    "--yes",
    "--quiet=2",
    "--no-install-recommends",
    "--allow-downgrades",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "DPkg::Lock::Timeout=300",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_managers_list_says_what_is_installed_removed_and_held() {
        let list = parse(
            "Package: nginx\nStatus: install ok installed\nVersion: 1.22.1-9\n\n\
             Package: old\nStatus: deinstall ok config-files\nVersion: 2\n\n\
             Package: kept\nStatus: hold ok installed\nVersion: 1:3.0-1\nDescription: x\n Version: 9\n\n\
             Package: libc6\nStatus: install ok not-installed\nArchitecture: i386\n\n\
             Package: libc6\nStatus: install ok installed\nVersion: 2.36\n",
        );
        let known = |name: &str| list.get(name).cloned().unwrap();
        assert!(known("nginx").installed && known("nginx").version == "1.22.1-9");
        assert!(!known("old").installed && known("old").settings);
        assert!(known("kept").held && known("kept").version == "1:3.0-1");
        assert!(known("libc6").installed);
    }
}
