//! Mirrors of app repositories: the server reads branches, tags and commits from them, and sandboxes clone from them.
//!
//! Invariant: every argument that reaches `git` has passed [`RepositoryUrl`], [`RevisionName`] or [`CommitId`], comes after
//! `--` where git allows it, and git itself is told to refuse the `ext` transport, prompts and hooks. A mirror is either
//! whole or absent: it is cloned beside its place and moved there.

use crate::model::fault::Fault;
use crate::model::name::{CommitId, RepositoryUrl, RevisionName};
use crate::model::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::process::Command;

// How long a fetched mirror counts as fresh: a launch right after its plan need not fetch again. Short, because what was pushed
// in between is not seen.
const FRESH: Duration = Duration::from_secs(2);
const NETWORK_LIMIT: Duration = Duration::from_secs(90);
const LOCAL_LIMIT: Duration = Duration::from_secs(20);
const KEPT: Duration = Duration::from_hours(24);
const COMMITS_LISTED: &str = "30";

/// The mirrors of a server, in one folder.
#[derive(Debug, Clone)]
pub struct Mirrors {
    folder: PathBuf,
    entries: Arc<Mutex<HashMap<PathBuf, Arc<Entry>>>>,
}

#[derive(Debug, Default)]
struct Entry {
    // Held while git writes to the mirror.
    fetched: tokio::sync::Mutex<Option<Instant>>,
}

/// A branch, tag or commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// As people write it.
    pub name: String,
    /// `branch`, `tag` or `commit`.
    pub kind: &'static str,
    /// The full commit.
    pub commit: CommitId,
    /// When it was committed.
    pub at: Timestamp,
    /// Its subject line.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
}

impl Mirrors {
    /// Mirrors kept in this folder, which is made when first needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            entries: Arc::default(),
        }
    }

    /// The folder of all mirrors.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the mirror of a repository is, or will be.
    pub fn path(&self, repository: &RepositoryUrl) -> PathBuf {
        let name = crate::model::secret::hex("", &Sha256::digest(repository.as_str())[..12]);
        self.folder.join(format!("{name}.git"))
    }

    /// Brings the mirror up to date, cloning it first where there is none. Skipped where it was done moments ago, unless
    /// `force`.
    ///
    /// # Errors
    /// `repository-unreachable` with git's own message; `disk-full`.
    pub async fn refresh(&self, repository: &RepositoryUrl, force: bool) -> Result<(), Fault> {
        let path = self.path(repository);
        let entry = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(entries.entry(path.clone()).or_default())
        };
        let mut fetched = entry.fetched.lock().await;
        let exists = path.join("HEAD").exists();
        if exists && !force && fetched.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        let unreachable = |why: String| {
            let code = if why.contains("No space left") {
                "disk-full"
            } else {
                "repository-unreachable"
            };
            Fault::new(code, format!("The repository {repository} cannot be read"))
                .why(last_line(&why))
                .log_tail(why.lines().map(str::to_owned))
        };
        if exists {
            git(
                Some(&path),
                [
                    "fetch",
                    "--quiet",
                    "--prune",
                    "--force",
                    "--no-auto-gc",
                    "origin",
                    "+refs/heads/*:refs/heads/*",
                    "+refs/tags/*:refs/tags/*",
                ],
                NETWORK_LIMIT,
            )
            .await
            .map_err(unreachable)?;
        } else {
            std::fs::create_dir_all(&self.folder).map_err(|e| unreachable(e.to_string()))?;
            let fresh = path.with_extension(format!("new-{}", uuid::Uuid::now_v7().simple()));
            let cloned = git(
                None,
                [
                    OsStr::new("clone"),
                    OsStr::new("--quiet"),
                    OsStr::new("--mirror"),
                    OsStr::new("--"),
                    OsStr::new(repository.as_str()),
                    fresh.as_os_str(),
                ],
                NETWORK_LIMIT,
            )
            .await;
            if let Err(why) = cloned {
                let _ = std::fs::remove_dir_all(&fresh);
                return Err(unreachable(why));
            }
            // A commit that people name need not be at the tip of anything for a sandbox to clone it.
            let _ = git(Some(&fresh), ["config", "uploadpack.allowAnySHA1InWant", "true"], LOCAL_LIMIT).await;
            std::fs::rename(&fresh, &path).map_err(|e| unreachable(e.to_string()))?;
        }
        *fetched = Some(Instant::now());
        Ok(())
    }

    /// Resolves what a person typed to a commit. The mirror is refreshed first, even if it was moments ago where `force`; a
    /// name that is not in it is looked for once more after another fetch.
    ///
    /// # Errors
    /// `revision-not-found` with the nearest names; `repository-unreachable`.
    pub async fn resolve(&self, repository: &RepositoryUrl, revision: &RevisionName, force: bool) -> Result<Revision, Fault> {
        if revision.as_str().parse::<CommitId>().is_err() || !self.path(repository).exists() {
            self.refresh(repository, force).await?;
        }
        if let Some(found) = self.look_up(repository, revision).await? {
            return Ok(found);
        }
        self.refresh(repository, true).await?;
        if let Some(found) = self.look_up(repository, revision).await? {
            return Ok(found);
        }
        let mut near: Vec<(usize, String)> = self
            .revisions(repository)
            .await?
            .into_iter()
            .filter(|r| r.kind != "commit")
            .map(|r| (strsim::damerau_levenshtein(&r.name, revision.as_str()), r.name))
            .collect();
        near.sort();
        let names: Vec<String> = near.into_iter().take(5).map(|(_, name)| name).collect();
        let fault = Fault::new(
            "revision-not-found",
            format!("{repository} has no branch, tag or commit `{revision}`"),
        );
        Err(if names.is_empty() {
            fault.why("it has no branches or tags at all")
        } else {
            fault.why(format!("the nearest are {}", names.join(", ")))
        })
    }

    async fn look_up(&self, repository: &RepositoryUrl, revision: &RevisionName) -> Result<Option<Revision>, Fault> {
        let path = self.path(repository);
        // A tag wins over a branch of the same name, and both over an abbreviated commit, as git itself has it.
        for (prefix, kind) in [("refs/tags/", "tag"), ("refs/heads/", "branch"), ("", "commit")] {
            if kind == "commit" && !revision.as_str().bytes().all(|b| b.is_ascii_hexdigit()) {
                continue;
            }
            let name = format!("{prefix}{revision}^{{commit}}");
            let asked = git(
                Some(&path),
                [
                    "log",
                    "-1",
                    "--format=%H%x00%ct%x00%s%x00%an",
                    "--end-of-options",
                    &name,
                    "--",
                ],
                LOCAL_LIMIT,
            )
            .await;
            if let Ok(text) = asked {
                return Ok(
                    parse_fields(text.trim_end_matches('\n')).map(|(commit, at, subject, author)| Revision {
                        name: revision.as_str().to_owned(),
                        kind,
                        commit,
                        at,
                        subject,
                        author,
                    }),
                );
            }
        }
        Ok(None)
    }

    /// Branches and tags newest first, then the default branch's recent commits, as the mirror has them now.
    ///
    /// # Errors
    /// `repository-unreachable` where there is no mirror.
    pub async fn revisions(&self, repository: &RepositoryUrl) -> Result<Vec<Revision>, Fault> {
        let path = self.path(repository);
        let unreadable =
            |why: String| Fault::new("repository-unreachable", format!("The mirror of {repository} cannot be read")).why(why);
        let format = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(contents:subject)%00%(authorname)%00%(*objectname)%00%(*committerdate:unix)%00%(*contents:subject)%00%(*authorname)";
        let refs = git(
            Some(&path),
            [
                "for-each-ref",
                "--sort=-creatordate",
                "--count=500",
                format,
                "refs/heads",
                "refs/tags",
            ],
            LOCAL_LIMIT,
        )
        .await
        .map_err(unreadable)?;
        let mut found: Vec<Revision> = refs.lines().filter_map(parse_ref).collect();
        let log = git(
            Some(&path),
            ["log", "-n", COMMITS_LISTED, "--format=%H%x00%ct%x00%s%x00%an", "HEAD", "--"],
            LOCAL_LIMIT,
        )
        .await;
        // A repository whose HEAD names a branch that is not there still has its other branches.
        for line in log.unwrap_or_default().lines() {
            if let Some((commit, at, subject, author)) = parse_fields(line) {
                let name = commit.as_str()[..12].to_owned();
                found.push(Revision {
                    name,
                    kind: "commit",
                    commit,
                    at,
                    subject,
                    author,
                });
            }
        }
        Ok(found)
    }

    /// A file with all that a repository has up to a commit, for who can reach neither it nor the mirror: what `git fetch`
    /// reads as it reads a repository. Made once and kept for a while.
    ///
    /// # Errors
    /// `revision-not-found` where the mirror has no such commit; `disk-full`.
    pub async fn bundle(&self, repository: &RepositoryUrl, commit: &CommitId) -> Result<PathBuf, Fault> {
        let mirror = self.path(repository);
        let folder = self.folder.join("bundles");
        let name = mirror.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = folder.join(format!("{name}-{commit}.bundle"));
        let entry = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(entries.entry(mirror.clone()).or_default())
        };
        // A refresh would take the name of the commit away again.
        let _one_at_a_time = entry.fetched.lock().await;
        if file.exists() {
            return Ok(file);
        }
        let failed = |why: String| {
            let code = if why.contains("No space left") {
                "disk-full"
            } else {
                "revision-not-found"
            };
            Fault::new(code, format!("The commit {commit} of {repository} cannot be handed out")).why(last_line(&why))
        };
        std::fs::create_dir_all(&folder).map_err(|e| failed(e.to_string()))?;
        forget_old(&folder);
        let named = format!("refs/greenroom/{commit}");
        let fresh = folder.join(format!("{name}-{commit}.{}.new", uuid::Uuid::now_v7().simple()));
        git(Some(&mirror), ["update-ref", &named, commit.as_str()], LOCAL_LIMIT)
            .await
            .map_err(failed)?;
        let arguments = [
            OsStr::new("bundle"),
            OsStr::new("create"),
            OsStr::new("--quiet"),
            fresh.as_os_str(),
            OsStr::new(&named),
        ];
        let made = git(Some(&mirror), arguments, NETWORK_LIMIT).await;
        let made = made.and_then(|_| std::fs::rename(&fresh, &file).map_err(|e| e.to_string()));
        if made.is_err() {
            let _ = std::fs::remove_file(&fresh);
        }
        made.map(|()| file).map_err(failed)
    }

    /// Whether the mirror holds a commit.
    pub async fn has_commit(&self, repository: &RepositoryUrl, commit: &CommitId) -> bool {
        let name = format!("{commit}^{{commit}}");
        git(Some(&self.path(repository)), ["cat-file", "-e", &name], LOCAL_LIMIT)
            .await
            .is_ok()
    }
}

// Bundles are made again in no time, so none is kept for long.
fn forget_old(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|m| m.modified()).ok();
        if modified.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > KEPT) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn parse_fields(line: &str) -> Option<(CommitId, Timestamp, String, String)> {
    let mut fields = line.splitn(4, '\0');
    let commit = fields.next()?.parse().ok()?;
    let at = Timestamp(fields.next()?.parse::<i64>().ok()? * 1000);
    Some((commit, at, fields.next()?.to_owned(), fields.next()?.to_owned()))
}

fn parse_ref(line: &str) -> Option<Revision> {
    let fields: Vec<&str> = line.split('\0').collect();
    let [
        name,
        object,
        at,
        subject,
        author,
        peeled,
        peeled_at,
        peeled_subject,
        peeled_author,
    ] = fields.as_slice()
    else {
        return None;
    };
    let (name, kind) = match name.strip_prefix("refs/tags/") {
        Some(tag) => (tag, "tag"),
        None => (name.strip_prefix("refs/heads/")?, "branch"),
    };
    // An annotated tag is an object of its own; what it points at is the commit.
    let annotated = !peeled.is_empty();
    let (commit, at, subject, author) = if annotated {
        (peeled, peeled_at, peeled_subject, peeled_author)
    } else {
        (object, at, subject, author)
    };
    name.parse::<RevisionName>().ok()?;
    Some(Revision {
        name: name.to_owned(),
        kind,
        commit: commit.parse().ok()?,
        at: Timestamp(at.parse::<i64>().ok()? * 1000),
        subject: (*subject).to_owned(),
        author: (*author).to_owned(),
    })
}

fn last_line(text: &str) -> String {
    let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty());
    // git's own verdict is the line marked fatal, not the advice that follows it.
    lines()
        .find(|l| l.starts_with("fatal:"))
        .or_else(|| lines().next_back())
        .unwrap_or("git said nothing")
        .to_owned()
}

async fn git<S: AsRef<OsStr>>(
    folder: Option<&Path>,
    arguments: impl IntoIterator<Item = S>,
    limit: Duration,
) -> Result<String, String> {
    let mut command = Command::new("git");
    command
        .args([
            "-c",
            "protocol.ext.allow=never",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "safe.directory=*",
            "-c",
            "gc.auto=0",
        ])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=15")
        .env("LC_ALL", "C")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(folder) = folder {
        command.arg("--git-dir").arg(folder);
    }
    command.args(arguments);
    let output = match tokio::time::timeout(limit, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("fatal: git cannot be run: {error}")),
        Err(_) => return Err(format!("fatal: git did not end within {} s", limit.as_secs())),
    };
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(if text.trim().is_empty() {
            format!("fatal: git ended with {}", output.status)
        } else {
            text
        })
    }
}
