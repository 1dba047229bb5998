//! Running programs for states: no shell, a clean environment, a process group of their own, a time limit, and their output as
//! lines.

use super::secrets::Veil;
use crate::machine::processes;
use crate::model::excerpt::Excerpt;
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const LINE: usize = 8 * 1024;
const GRACE: Duration = Duration::from_secs(2);
// What a program that has ended may still have in its pipe.
const REST: Duration = Duration::from_millis(200);

/// The plain environment of everything that the agent starts.
#[derive(Clone)]
pub(super) struct Surroundings {
    path: String,
    home: String,
    tmp: String,
    given: BTreeMap<String, String>,
    node: NodeId,
    folder: PathBuf,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("path", &self.path)
            .field("given", &self.given.keys())
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// From the agent's own environment, which its provider or unit made.
    pub(super) fn new(node: &NodeId, folder: &Path) -> Self {
        let variable = |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
        Self {
            path: variable("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            home: variable("HOME", "/"),
            tmp: variable("TMPDIR", "/tmp"),
            given: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .filter_map(|(name, value)| Some((name.strip_prefix(processes::GIVEN)?.to_owned(), value)))
                .collect(),
            node: node.clone(),
            folder: folder.to_owned(),
        }
    }

    /// The environment variables that everything gets besides, as this node's settings say.
    pub(super) fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }

    /// The value of the mark that tells this agent's processes from others'.
    pub(super) fn mark(&self) -> &Path {
        &self.folder
    }

    /// Puts folders before the `PATH` of an environment.
    pub(super) fn add_path(&self, env: &mut BTreeMap<String, String>, folders: &[String]) {
        if !folders.is_empty() {
            let rest = env.get("PATH").unwrap_or(&self.path);
            let path = format!("{}:{rest}", folders.join(":"));
            env.insert("PATH".to_owned(), path);
        }
    }

    /// A command as another account runs it, with that account's home in its environment.
    ///
    /// # Errors
    /// `state-failed` where there is no such account.
    pub(super) fn as_user(
        command: &[String],
        user: Option<&str>,
        env: &mut BTreeMap<String, String>,
    ) -> Result<Vec<String>, Fault> {
        let Some(user) = user else { return Ok(command.to_vec()) };
        let account = super::states::accounts::Accounts::read()?.user(user)?;
        env.entry("HOME".to_owned()).or_insert(account.home);
        env.entry("USER".to_owned()).or_insert_with(|| user.to_owned());
        let (uid, gid) = (account.uid.to_string(), account.gid.to_string());
        // Unlike `su`, it becomes the program: no process stands between us and what is to be stopped.
        let become_user = ["setpriv", "--reuid", &uid, "--regid", &gid, "--init-groups", "--"];
        Ok(become_user
            .into_iter()
            .map(str::to_owned)
            .chain(command.iter().cloned())
            .collect())
    }

    /// Where a program is.
    ///
    /// # Errors
    /// `tool-missing`.
    pub(super) fn find(&self, program: &str, cwd: &Path, path: Option<&str>) -> Result<PathBuf, Fault> {
        let path = path.unwrap_or(&self.path);
        let found = if program.contains('/') {
            Some(cwd.join(program)).filter(|file| file.is_file())
        } else if program.is_empty() || program.contains('\0') {
            None
        } else {
            std::env::split_paths(path)
                .map(|folder| folder.join(program))
                .find(|file| is_program(file))
        };
        found.ok_or_else(|| {
            let shown: String = program.chars().filter(|c| !c.is_control()).take(100).collect();
            Fault::new("tool-missing", format!("The program {shown} is not on this node")).why(format!("looked in {path}"))
        })
    }

    /// A command with the plain environment and this one, marked as belonging to `mark`.
    ///
    /// # Errors
    /// `tool-missing`; `configuration-refused` for a command that cannot be one.
    pub(super) fn command(
        &self,
        command: &[String],
        cwd: &Path,
        env: &BTreeMap<String, String>,
        mark: (&str, &str),
    ) -> Result<Command, Fault> {
        let refuse = |why: &str| Err(Fault::new("configuration-refused", "The agent does not run this command").why(why));
        let Some((program, arguments)) = command.split_first() else {
            return refuse("it is empty");
        };
        if arguments.iter().any(|a| a.contains('\0')) || env.iter().any(|(n, v)| n.contains(['=', '\0']) || v.contains('\0')) {
            return refuse("an argument or variable holds a zero byte");
        }
        let found = self.find(program, cwd, env.get("PATH").map(String::as_str))?;
        let mut command = Command::new(found);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", &self.home)
            .env("TMPDIR", &self.tmp)
            .env("LANG", "C.UTF-8")
            .envs(&self.given)
            .envs(env)
            .env(processes::NODE, self.node.as_str())
            .env(processes::FOLDER, &self.folder)
            .env(mark.0, mark.1)
            .current_dir(cwd)
            .process_group(0)
            .stdin(Stdio::null())
            .kill_on_drop(false);
        Ok(command)
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its status; none where it was stopped at its time limit.
    pub(super) status: Option<ExitStatus>,
    /// The lines that tell most of how it ended.
    pub(super) tail: Vec<String>,
    /// All of its output, where that is short.
    pub(super) text: String,
}

impl Ended {
    /// Whether it ended with 0.
    pub(super) fn is_good(&self) -> bool {
        self.status.is_some_and(|s| s.success())
    }

    /// The fault of its failure: `disk-full` where its own words say so.
    pub(super) fn fault(&self, code: &'static str, what: String, limit: Duration) -> Fault {
        let full = ["No space left on device", "disk is full", "ENOSPC", "Disk quota exceeded"];
        let code = if self.tail.iter().any(|line| full.iter().any(|words| line.contains(words))) {
            "disk-full"
        } else {
            code
        };
        let why = match self.status {
            None => format!("it took longer than {} s and was stopped", limit.as_secs()),
            Some(status) => describe(status),
        };
        Fault::new(code, what).why(why).log_tail(self.tail.clone())
    }
}

/// How a process ended, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with status {code}"),
        (None, Some(9)) => "it was killed (signal 9), perhaps for want of memory".to_owned(),
        (None, Some(25)) => "it was stopped because a file grew beyond its limit".to_owned(),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// Runs a command to its end, or to the time limit; each line of its output goes to `line`. Dropped, it kills what it started.
///
/// # Errors
/// Where it cannot be started.
pub(super) async fn run(mut command: Command, limit: Duration, veil: &Veil, mut line: impl FnMut(&str)) -> io::Result<Ended> {
    let (output, input) = io::pipe()?;
    command.stdout(input.try_clone()?).stderr(input);
    let child = command.spawn()?;
    // The command holds the writing ends; while it lives, the reading end sees no end of file.
    drop(command);
    let mut group = Group(child);
    let mut output = Receiver::from_owned_fd(output.into())?;
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut ended = Ended {
        status: None,
        tail: Vec::new(),
        text: String::new(),
    };
    let mut tail = Excerpt::default();
    let mut keep = |text: &str| {
        let text = veil.cover(text);
        line(&text);
        tail.push(text.chars().take(500).collect::<String>());
        if ended.text.len() < 64 * 1024 {
            ended.text.push_str(&text);
            ended.text.push('\n');
        }
    };
    let deadline = Instant::now() + limit;
    let mut status = None;
    loop {
        let until = if status.is_some() { Instant::now() + REST } else { deadline };
        tokio::select! {
            biased;
            read = output.read(&mut buffer) => match read {
                Ok(count) if count > 0 => lines.push(&buffer[..count], &mut keep),
                _ => {
                    // Nothing holds the pipe any more; the program itself may go on in silence.
                    if status.is_none() {
                        status = timeout(deadline.saturating_duration_since(Instant::now()), group.0.wait()).await.ok();
                    }
                    break;
                }
            },
            waited = group.0.wait(), if status.is_none() => status = Some(waited),
            () = tokio::time::sleep_until(until) => break,
        }
    }
    lines.finish(&mut keep);
    ended.tail = tail.lines();
    match status {
        Some(status) => ended.status = Some(status?),
        None => group.stop(GRACE).await,
    }
    Ok(ended)
}

// A started program with its group. While its end has not been waited for, its number is its own.
struct Group(Child);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = kill_process_group(pid, signal);
        }
    }

    async fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        // The leader may end before its children do; not waiting for it keeps its number, and with it the group, ours.
        sleep(Duration::from_millis(50)).await;
        let pid = self.0.id().unwrap_or_default();
        let deadline = Instant::now() + grace;
        while processes::all().iter().any(|p| p.group == pid) && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        self.signal(Signal::KILL);
        let _ = self.0.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn push(&mut self, bytes: &[u8], line: &mut impl FnMut(&str)) {
        self.0.extend_from_slice(bytes);
        while let Some(end) = self
            .0
            .iter()
            .position(|b| *b == b'\n')
            .or((self.0.len() > LINE).then_some(LINE))
        {
            let rest = self.0.split_off(end);
            let taken = std::mem::replace(&mut self.0, rest);
            line(String::from_utf8_lossy(&taken).trim_end_matches('\r'));
            if self.0.first() == Some(&b'\n') {
                self.0.remove(0);
            }
        }
    }

    fn finish(&mut self, line: &mut impl FnMut(&str)) {
        if !self.0.is_empty() {
            line(&String::from_utf8_lossy(&self.0));
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(text: &str, limit: Duration) -> (Ended, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeId::from_bits(1);
        let surroundings = Surroundings::new(&node, folder.path());
        let words = ["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
        let command = surroundings
            .command(&words, folder.path(), &BTreeMap::new(), (processes::TASK, "test"))
            .unwrap();
        let mut lines = Vec::new();
        let ended = run(command, limit, &Veil::default(), |line| lines.push(line.to_owned()))
            .await
            .unwrap();
        let mark = folder.path().to_str().unwrap();
        let left = processes::family(&processes::all(), |p| p.variable(processes::FOLDER) == Some(mark));
        let left: Vec<_> = left.iter().filter(|p| p.parent == 1 || p.group == p.pid).collect();
        for process in &left {
            process.signal(Signal::KILL);
        }
        (ended, lines)
    }

    #[tokio::test]
    async fn both_outputs_come_in_order_and_nothing_is_inherited() {
        let (ended, lines) = shell(
            "echo one; echo two >&2; printf three; env | grep -c CARGO; exit 3",
            Duration::from_secs(10),
        )
        .await;
        assert_eq!(lines, ["one", "two", "three0"]);
        assert_eq!(ended.status.unwrap().code(), Some(3));
        let fault = ended.fault("build-failed", "It failed".to_owned(), Duration::ZERO);
        assert_eq!(
            (fault.code.as_str(), fault.why.as_str()),
            ("build-failed", "it ended with status 3")
        );
    }

    #[tokio::test]
    async fn a_program_over_its_time_is_stopped_with_all_its_children() {
        let began = Instant::now();
        let (ended, _) = shell(
            "trap '' TERM; sleep 60 & sleep 60 & echo started; wait",
            Duration::from_millis(300),
        )
        .await;
        assert!(ended.status.is_none() && began.elapsed() < Duration::from_secs(10));
        assert_eq!(ended.tail, ["started"]);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_by_the_programs_own_words() {
        let (ended, _) = shell(
            "echo 'cp: error writing: No space left on device'; exit 1",
            Duration::from_secs(10),
        )
        .await;
        assert_eq!(ended.fault("build-failed", String::new(), Duration::ZERO).code, "disk-full");
    }

    #[tokio::test]
    async fn a_child_left_in_the_background_does_not_hold_up_its_parent() {
        let began = Instant::now();
        let (ended, _) = shell("sleep 20 & echo done", Duration::from_secs(15)).await;
        assert!(ended.is_good() && began.elapsed() < Duration::from_secs(10));
    }
}
