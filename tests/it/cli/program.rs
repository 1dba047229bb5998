//! Runs the real program with nothing of this process's settings.

use std::fmt;
use std::process::{Command, Output};

/// The program with these arguments, in an empty environment with a home of its own.
pub(super) fn greenroom(home: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .current_dir(home);
    // Where the tools of the example apps are, and where temporary folders go.
    for name in ["TMPDIR", "RUSTUP_HOME", "CARGO_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// What it printed and how it ended, for snapshots.
pub(super) struct Said(pub(super) Output);

impl Said {
    /// Runs it to its end.
    pub(super) fn by(command: &mut Command) -> Self {
        Self(command.output().unwrap())
    }

    /// What it printed as its result.
    pub(super) fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// What it printed besides.
    pub(super) fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// Its exit code.
    pub(super) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// The result of one that succeeded.
    pub(super) fn ok(self) -> String {
        assert_eq!(self.code(), Some(0), "{self}");
        self.out()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code().map_or_else(|| "killed".to_owned(), |code| code.to_string());
        write!(f, "exit {code}\n--- out\n{}--- err\n{}", self.out(), self.err())
    }
}
