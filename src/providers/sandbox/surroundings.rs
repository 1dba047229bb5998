//! What this machine offers to sandboxes: which programs, and how high the walls can be.

use super::{ProviderError, SandboxOptions};
use crate::model::id::NodeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SYSTEM_PATH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
// Version managers put shims on the PATH that find nothing under another HOME; the tools themselves know where they are.
const TOOLS: [(&str, &[&str]); 3] = [
    ("python3", &["-c", "import sys; print(sys.base_prefix)"]),
    ("rustc", &["--print", "sysroot"]),
    (
        "node",
        &["-p", "require('path').dirname(require('path').dirname(process.execPath))"],
    ),
];
const HIDDEN: [&str; 5] = ["/tmp", "/var/tmp", "/root", "/home", "/run"];

/// How well sandboxes are kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Level {
    /// Own process groups, folders and environment.
    Plain {
        /// Why not more.
        why: String,
    },
    /// Namespaces besides.
    Bubblewrap {
        /// The program.
        program: PathBuf,
    },
}

/// What was found.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    /// `PATH` of every sandbox.
    pub(super) path: String,
    /// The walls.
    pub(super) level: Level,
    tools: Vec<PathBuf>,
    demanded: bool,
}

impl Surroundings {
    /// Asks the machine; takes some tenths of a second.
    pub(super) fn find(options: &SandboxOptions) -> Self {
        let given: Vec<PathBuf> = options.path.clone();
        let mut tools: Vec<PathBuf> = given
            .iter()
            .map(|folder| match folder.parent() {
                Some(prefix) if folder.ends_with("bin") && prefix != Path::new("/") => prefix.to_owned(),
                _ => folder.clone(),
            })
            .collect();
        let mut folders = given;
        if folders.is_empty() {
            for prefix in TOOLS.iter().filter_map(|(program, question)| prefix(program, question)) {
                folders.push(prefix.join("bin"));
                tools.push(prefix);
            }
        }
        folders.extend(SYSTEM_PATH.iter().map(PathBuf::from));
        let path = std::env::join_paths(&folders)
            .ok()
            .and_then(|path| path.into_string().ok())
            .unwrap_or_else(|| SYSTEM_PATH.join(":"));
        let level = match options.isolation.as_str() {
            "plain" => Level::Plain {
                why: "as configured".to_owned(),
            },
            _ => walls_work(options),
        };
        Self {
            path,
            level,
            tools,
            demanded: options.isolation == "bubblewrap",
        }
    }

    /// How well sandboxes are kept apart, for people.
    pub(super) fn isolation(&self) -> String {
        match &self.level {
            Level::Bubblewrap { .. } => "bubblewrap: own processes, read-only system, hidden homes".to_owned(),
            Level::Plain { why } => format!("plain: own folder, processes and limits, on a readable system ({why})"),
        }
    }

    /// Refuses to go on where bubblewrap is demanded and does not work.
    pub(super) fn check_demanded(&self) -> Result<(), ProviderError> {
        match &self.level {
            Level::Plain { why } if self.demanded => Err(ProviderError::Denied {
                why: format!("bubblewrap is demanded by the settings and does not work here: {why}"),
            }),
            _ => Ok(()),
        }
    }

    /// The words that go before the agent's command.
    pub(super) fn walls(
        &self,
        options: &SandboxOptions,
        root: &Path,
        folder: &Path,
        readable: &[PathBuf],
        node: &NodeId,
    ) -> Vec<OsString> {
        let Level::Bubblewrap { program } = &self.level else {
            return Vec::new();
        };
        let mut words = vec![program.clone().into_os_string()];
        words.extend(base());
        let data = root.parent().unwrap_or(root);
        words.extend(["--tmpfs".into(), data.into()]);
        words.extend(["--bind".into(), folder.into(), folder.into()]);
        let program = options.agent_program.as_path();
        for path in self.tools.iter().chain(readable).map(PathBuf::as_path).chain([program]) {
            words.extend(["--ro-bind-try".into(), path.into(), path.into()]);
        }
        words.extend(["--hostname".into(), format!("sandbox-{}", node.short()).into()]);
        words.extend(["--chdir".into(), folder.into(), "--".into()]);
        words
    }
}

// A read-only system, empty homes and temporary folders, its own processes. The network is shared: ports must be reachable.
// Nothing here ends the sandbox when its parent ends.
fn base() -> Vec<OsString> {
    let mut words: Vec<OsString> = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        .map(Into::into)
        .into();
    for hidden in HIDDEN {
        if Path::new(hidden).is_dir() && !Path::new(hidden).is_symlink() {
            words.extend(["--tmpfs".into(), hidden.into()]);
        }
    }
    // Where /etc/resolv.conf often points to.
    let resolver = "/run/systemd/resolve";
    words.extend(["--ro-bind-try", resolver, resolver].map(OsString::from));
    words.extend(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--new-session"].map(OsString::from));
    if rustix::process::getuid().is_root() {
        // What unpacking archives and dropping privileges needs; none of what reaches the machine.
        words.extend(["--cap-drop", "ALL"].map(OsString::from));
        for kept in [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_SETUID",
            "CAP_SETGID",
            "CAP_KILL",
        ] {
            words.extend(["--cap-add", kept].map(OsString::from));
        }
    }
    words
}

fn walls_work(options: &SandboxOptions) -> Level {
    let Some(program) = on_path("bwrap") else {
        return Level::Plain {
            why: "bubblewrap is not installed".to_owned(),
        };
    };
    let mut words = base();
    let folder = options.folder.as_os_str();
    words.extend(["--tmpfs".into(), folder.to_owned(), "--".into(), "/bin/true".into()]);
    let tried = Command::new(&program)
        .args(words)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    match tried {
        Ok(output) if output.status.success() => Level::Bubblewrap { program },
        Ok(output) => Level::Plain {
            why: format!("bubblewrap does not work here: {}", first_line(&output.stderr)),
        },
        Err(error) => Level::Plain {
            why: format!("bubblewrap does not start: {error}"),
        },
    }
}

fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().next().unwrap_or("it does not say why").to_owned()
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

// Where a tool that is not the system's own is installed.
fn prefix(program: &str, question: &[&str]) -> Option<PathBuf> {
    let found = on_path(program)?;
    if SYSTEM_PATH.iter().any(|folder| found.parent() == Some(Path::new(folder))) {
        return None;
    }
    let output = Command::new(found)
        .args(question)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let prefix = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    (prefix.is_absolute() && prefix.join("bin").is_dir()).then_some(prefix)
}
