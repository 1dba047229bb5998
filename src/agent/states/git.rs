//! A folder holds a checkout of one commit. A new checkout is made beside its place and moved there whole; an existing one is
//! brought to the commit where it is, so that what the app built beside its sources stays.
//!
//! Git is given no configuration but ours: no hooks, no prompts, no helper programs as transports. Names never stand where an
//! option could.

use super::accounts::{Accounts, Whose};
use super::overlay::{Below, Entry, Folder, Overlay};
use super::{Done, Hands};
use crate::agent::folder::io_fault;
use crate::agent::program::Ended;
use crate::machine::files;
use crate::model::configuration::SOURCE;
use crate::model::fault::Fault;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_mins(10);
const CONFIGURATION: &str = "\
[safe]
	directory = *
[protocol \"ext\"]
	allow = never
[core]
	hooksPath = /dev/null
	askPass = true
	fsmonitor = false
[gc]
	auto = 0
[maintenance]
	auto = false
[init]
	defaultBranch = main
[advice]
	detachedHead = false
";

struct Git<'a> {
    hands: &'a Hands,
    stream: &'a str,
    env: BTreeMap<String, String>,
}

impl Hands {
    /// As `git`, and all of it belongs to this account.
    pub(super) async fn git_as(
        &self,
        path: &str,
        repository: &str,
        commit: &str,
        user: Option<&str>,
        stream: &str,
    ) -> Result<Done, Fault> {
        let done = self.git(path, repository, commit, stream).await?;
        let Some(user) = user else { return Ok(done) };
        let real = self.place(path)?;
        let name = user.to_owned();
        let theirs = Whose::new(Some(&name), None).differs(self, &real)?.is_none();
        if theirs && done == Done::Unchanged {
            return Ok(done);
        }
        if self.is_plan() {
            Whose::new(Some(&name), None).give(self, &real)?;
            return Ok(match done {
                Done::Unchanged => Done::Changed("given away".to_owned()),
                done => done,
            });
        }
        let group = Accounts::read()?.user(user)?.gid;
        let (whose, folder) = (format!("{user}:{group}"), real.display().to_string());
        let command = ["chown", "--recursive", "--no-dereference", &whose, "--", &folder];
        let given = self.tool(&command, "given away", stream).await?;
        Ok(if done == Done::Unchanged { given } else { done })
    }

    async fn git(&self, path: &str, repository: &str, commit: &str, stream: &str) -> Result<Done, Fault> {
        let refuse = |why: &str| Err(Fault::new("configuration-refused", "The agent does not check this out").why(why));
        if !(commit.len() == 40 || commit.len() == 64) || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            return refuse("the commit is not 40 or 64 hexadecimal digits");
        }
        if repository.is_empty()
            || repository.starts_with('-')
            || repository.contains("::")
            || repository.contains(char::is_control)
        {
            return refuse("the repository's address is not one that is fetched from");
        }
        let real = self.place(path)?;
        let git = Git::new(self, stream)?;
        if self.is_plan() {
            return git.would(&real, path, commit).await;
        }
        let failed = |error| io_fault(&format!("The folder {path} cannot be made"), &error);
        if real.join(".git").is_dir() {
            return git.bring(&real, repository, commit).await;
        }
        if fs::read_dir(&real).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(no_checkout(path));
        }
        if let Some(parent) = real.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
            sweep(&real, parent);
        }
        let beside = files::beside(&real);
        let made = async {
            fs::create_dir(&beside).map_err(failed)?;
            git.good(&beside, &["init", "--quiet", "."], "make a repository in").await?;
            git.fetch(&beside, repository, commit).await?;
            git.checkout(&beside, commit).await?;
            fs::rename(&beside, &real).map_err(failed)
        };
        let made = made.await;
        if made.is_err() {
            let _ = files::remove_all(&beside);
        }
        made.map(|()| Done::Changed(format!("checked out {}", short(commit))))
    }
}

impl<'a> Git<'a> {
    fn new(hands: &'a Hands, stream: &'a str) -> Result<Self, Fault> {
        let file = hands.folder.file("gitconfig");
        if fs::read(&file).ok().as_deref() != Some(CONFIGURATION.as_bytes()) {
            files::replace_unflushed(&file, CONFIGURATION.as_bytes(), 0o600)
                .map_err(|e| io_fault("Git's configuration cannot be written", &e))?;
        }
        let env = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", &file.display().to_string()),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self {
            hands,
            stream,
            env: env.into(),
        })
    }

    // What a checkout would do here.
    async fn would(&self, real: &Path, path: &str, commit: &str) -> Result<Done, Fault> {
        let failed = |error| io_fault(&format!("The folder {path} cannot be made"), &error);
        let hands = self.hands;
        let pretended = hands.pretend(|overlay| overlay.checkouts.get(real).cloned()).flatten();
        let before = hands.entry(real).map_err(failed)?;
        let is_as_now = matches!(&before, Entry::Folder(folder) if folder.below == Below::Disk);
        let mut done = Done::Changed(format!("checked out {}", short(commit)));
        if pretended.as_deref() == Some(commit) {
            return Ok(Done::Unchanged);
        } else if pretended.is_none() && is_as_now && real.join(".git").is_dir() {
            if self.head(real).await? == commit {
                let status = self.ask(real, &["status", "--porcelain", "--untracked-files=no"]).await?;
                if status.is_good() && status.text.trim().is_empty() {
                    return Ok(Done::Unchanged);
                }
                done = Done::Changed("what was changed by hand put back".to_owned());
            }
        } else if let Entry::Unknown { why, .. } = before {
            done = Done::Unknown(why);
        } else if pretended.is_none() && hands.is_empty(real).map_err(failed)? == Some(false) {
            return Err(no_checkout(path));
        }
        let put = |overlay: &mut Overlay| {
            overlay.disk.make_folder(real)?;
            if let Entry::Folder(folder) = overlay.disk.entry(real)? {
                let below = Below::Unknown("what a commit holds is not known before it is fetched".to_owned());
                overlay.disk.put(real, Entry::Folder(Folder { below, ..folder }));
            }
            overlay.checkouts.insert(real.to_owned(), commit.to_owned());
            Ok(())
        };
        hands.pretend(put).transpose().map_err(failed)?;
        Ok(done)
    }

    // The commit that is checked out; empty where none is.
    async fn head(&self, folder: &Path) -> Result<String, Fault> {
        if !folder.join(".git").is_dir() {
            return Ok(String::new());
        }
        let head = self.ask(folder, &["rev-parse", "--verify", "--quiet", "HEAD"]).await?;
        Ok(head.text.trim().to_owned())
    }

    // Brings an existing checkout to the commit.
    async fn bring(&self, folder: &Path, repository: &str, commit: &str) -> Result<Done, Fault> {
        // Left by a git that was killed with the agent before; none runs now.
        for lock in ["index.lock", "HEAD.lock", "shallow.lock"] {
            let _ = fs::remove_file(folder.join(".git").join(lock));
        }
        let head = self.head(folder).await?;
        if head == commit {
            let status = self.ask(folder, &["status", "--porcelain", "--untracked-files=no"]).await?;
            if status.is_good() && status.text.trim().is_empty() {
                return Ok(Done::Unchanged);
            }
            self.checkout(folder, commit).await?;
            return Ok(Done::Changed(format!(
                "put back what was changed by hand at {}",
                short(commit)
            )));
        }
        let there = self.ask(folder, &["cat-file", "-e", &format!("{commit}^{{commit}}")]).await?;
        if !there.is_good() {
            self.fetch(folder, repository, commit).await?;
        }
        self.checkout(folder, commit).await?;
        Ok(Done::Changed(format!("went from {} to {}", short(&head), short(commit))))
    }

    async fn fetch(&self, folder: &Path, repository: &str, commit: &str) -> Result<(), Fault> {
        if let Some(app) = repository.strip_prefix(SOURCE) {
            let source = self.hands.sources.fetch(app, commit).await?;
            let path = source.path().display().to_string();
            let fetch = [
                "fetch",
                "--quiet",
                "--no-tags",
                "--",
                &path,
                "+refs/greenroom/*:refs/greenroom/*",
            ];
            return self.good(folder, &fetch, "read what the server gave into").await;
        }
        let quick = ["fetch", "--quiet", "--no-tags", "--depth=1", "--", repository, commit];
        if self.ask(folder, &quick).await?.is_good() {
            return Ok(());
        }
        // Not every server gives a commit by its name; then everything is fetched.
        let whole = [
            "fetch",
            "--quiet",
            "--tags",
            "--force",
            "--",
            repository,
            "+refs/*:refs/fetched/*",
        ];
        let fetched = self.ask(folder, &whole).await?;
        if !fetched.is_good() {
            let fault = fetched.fault(
                "repository-unreachable",
                format!("The repository {repository} cannot be fetched"),
                PATIENCE,
            );
            let why = fetched.tail.iter().rev().find(|line| !line.trim().is_empty()).cloned();
            return Err(if fault.code == "disk-full" {
                fault
            } else {
                fault.why(why.unwrap_or_default())
            });
        }
        let there = self.ask(folder, &["cat-file", "-e", &format!("{commit}^{{commit}}")]).await?;
        if there.is_good() {
            Ok(())
        } else {
            let what = format!("The commit {} is not in {repository}", short(commit));
            Err(Fault::new("revision-not-found", what).log_tail(there.tail))
        }
    }

    async fn checkout(&self, folder: &Path, commit: &str) -> Result<(), Fault> {
        self.good(
            folder,
            &["checkout", "--quiet", "--force", "--detach", commit, "--"],
            "check out",
        )
        .await
    }

    async fn good(&self, folder: &Path, arguments: &[&str], verb: &str) -> Result<(), Fault> {
        let ended = self.ask(folder, arguments).await?;
        if ended.is_good() {
            Ok(())
        } else {
            Err(ended.fault("state-failed", format!("Git cannot {verb} {}", folder.display()), PATIENCE))
        }
    }

    async fn ask(&self, folder: &Path, arguments: &[&str]) -> Result<Ended, Fault> {
        let mut command = vec!["git".to_owned()];
        command.extend(arguments.iter().map(|a| (*a).to_owned()));
        self.hands
            .run("git", &command, folder, &self.env, PATIENCE, self.stream, "")
            .await
    }
}

// Halves of checkouts that a killed agent left beside the place.
fn sweep(place: &Path, parent: &Path) {
    let Some(name) = place.file_name().map(|n| format!(".{}.", n.to_string_lossy())) else {
        return;
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        if found.starts_with(&name) && Path::new(&found).extension().is_some_and(|e| e == "new") {
            let _ = files::remove_all(&entry.path());
        }
    }
}

fn no_checkout(path: &str) -> Fault {
    Fault::new(
        "state-failed",
        format!("The folder {path} holds something that is not a checkout"),
    )
    .next("Check out into a folder of its own")
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
