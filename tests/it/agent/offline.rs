//! One convergence at the command line, without a server: what it does, what it says, and how it ends.

use super::harness::{path, state};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub struct Machine {
    pub folder: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Machine {
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        Self {
            folder: temporary.path().canonicalize().unwrap(),
            _temporary: temporary,
        }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub fn command(&self, states: &Value, more: &[&str]) -> Command {
        let file = self.folder.join("configuration.json");
        std::fs::write(&file, json!({ "format": 1, "states": states }).to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command
            .args(["agent", "--offline", "--configuration"])
            .arg(&file)
            .arg("--folder")
            .arg(self.folder.join("agent"))
            .args(if more.contains(&"--plan") { &[][..] } else { &["--once"] })
            .args(more)
            .env_clear()
            .env("PATH", path())
            .env("HOME", &self.folder);
        command
    }

    pub fn run(&self, states: &Value, more: &[&str]) -> Ended {
        Ended(self.command(states, more).output().unwrap())
    }
}

pub struct Ended(Output);

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }
}

pub fn file(path: &str, content: &str) -> Value {
    state(
        &format!("file/{path}"),
        "file",
        json!({ "path": path, "content": content, "mode": "0644" }),
    )
}

pub fn execute(id: &str, cwd: &Path, script: &str) -> Value {
    let command = ["/bin/sh", "-c", script];
    state(
        id,
        "execute",
        json!({ "command": command, "cwd": cwd, "timeout_s": 20, "failure": "state-failed" }),
    )
}

#[test]
fn the_exit_code_says_whether_something_changed_and_whether_it_failed() {
    let machine = Machine::new();
    let good = json!([file(&machine.path("motd"), "welcome\n")]);
    let first = machine.run(&good, &[]);
    assert_eq!(first.code(), Some(2), "{}{}", first.out(), first.err());
    assert_eq!(std::fs::read_to_string(machine.path("motd")).unwrap(), "welcome\n");
    let again = machine.run(&good, &[]);
    assert_eq!(again.code(), Some(0), "{}{}", again.out(), again.err());

    let broken = execute("break", &machine.folder, "echo the reason; exit 3");
    let failed = machine.run(&json!([file(&machine.path("motd"), "welcome\n"), broken]), &[]);
    assert_eq!(failed.code(), Some(4));
    assert!(
        failed.err().contains("it ended with status 3") && failed.err().contains("the reason"),
        "{}",
        failed.err()
    );
    let both = machine.run(&json!([file(&machine.path("motd"), "good bye\n"), broken]), &[]);
    assert_eq!(both.code(), Some(6));
}

#[test]
fn what_is_done_is_said_and_what_is_right_already_is_not() {
    let machine = Machine::new();
    let states = |text: &str| json!([file(&machine.path("a"), "same\n"), file(&machine.path("b"), text)]);
    machine.run(&states("old\n"), &[]);
    let said = machine.run(&states("new\n"), &[]).out();
    assert!(said.contains("-old") && said.contains("+new"), "{said}");
    assert!(!said.contains(&machine.path("a")), "{said}");
    let told: Value = serde_json::from_str(&machine.run(&states("newer\n"), &["--json"]).out()).unwrap();
    assert_eq!(told, json!({ "changed": 1, "unchanged": 1 }));
}

#[test]
fn a_second_run_on_the_node_is_refused_with_the_first_ones_process_and_age() {
    let machine = Machine::new();
    let fifo = machine.folder.join("held");
    let waits = execute("wait", &machine.folder, "touch held; while [ -e held ]; do sleep 0.05; done");
    let mut first = machine
        .command(&json!([waits]), &["--json"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !fifo.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let second = machine.run(&json!([file(&machine.path("motd"), "x")]), &[]);
    assert_eq!(second.code(), Some(1));
    let said = second.err();
    assert!(
        said.contains("agent-busy") && said.contains(&format!("process {} holds", first.id())),
        "{said}"
    );
    assert!(!Path::new(&machine.path("motd")).exists());
    std::fs::remove_file(fifo).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(2));
}

#[test]
fn secrets_come_from_a_file_and_are_said_nowhere() {
    let machine = Machine::new();
    let mut run = execute("use", &machine.folder, "echo key is $KEY; echo $KEY > out");
    run["env"] = json!({ "KEY": { "secret": "shop/env/KEY" } });
    let missing = machine.run(&json!([run]), &[]);
    assert_eq!(missing.code(), Some(4));
    assert!(missing.err().contains("--secrets FILE"), "{}", missing.err());
    let secrets = machine.path("secrets.json");
    std::fs::write(&secrets, r#"{ "shop/env/KEY": "s3cr3t-of-the-shop" }"#).unwrap();
    let done = machine.run(&json!([run]), &["--secrets", &secrets]);
    assert_eq!(done.code(), Some(2), "{}", done.err());
    assert_eq!(std::fs::read_to_string(machine.path("out")).unwrap(), "s3cr3t-of-the-shop\n");
    assert!(done.out().contains("key is [secret]"), "{}", done.out());
}
