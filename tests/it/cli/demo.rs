//! The self-test tests itself: what it says when all is well, and that it cleans up when it is told to stop.

use super::program::{Said, greenroom};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

// Other tests may give out the same ports at the same moment; each run here has its own.
fn demo(home: &Path, first_port: u16) -> std::process::Command {
    let mut command = greenroom(home, &["demo", "--check"]);
    command
        .env("TMPDIR", home)
        .env("GREENROOM_SANDBOX_FIRST_PORT", first_port.to_string())
        .env("GREENROOM_SANDBOX_LAST_PORT", (first_port + 19).to_string());
    command
}

fn line(said: &Said) -> Value {
    assert_eq!(said.out().lines().count(), 1, "{said}");
    serde_json::from_str(&said.out()).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn the_check_launches_updates_destroys_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let said = Said::by(&mut demo(home.path(), 24_000));
    let line = line(&said);
    assert_eq!(said.code(), Some(0), "{said}");
    assert_eq!(
        (&line["ok"], &line["leftovers"]),
        (&Value::Bool(true), &Value::from(0)),
        "{said}"
    );
    for part in ["launch_seconds", "update_seconds", "destroy_seconds"] {
        assert!(line[part].as_f64().is_some_and(|seconds| seconds > 0.0), "{said}");
    }
    assert!(is_empty(home.path()));
}

#[test]
fn a_check_that_is_told_to_stop_says_so_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let child = demo(home.path(), 24_020)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // Once its folder holds a sandbox, the launch is under way.
    let deadline = Instant::now() + Duration::from_mins(1);
    let under_way = || {
        let folders = std::fs::read_dir(home.path()).unwrap().flatten();
        let sandboxes = folders.filter_map(|folder| std::fs::read_dir(folder.path().join("sandboxes")).ok());
        sandboxes
            .flatten()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("nod_"))
    };
    while !under_way() {
        assert!(Instant::now() < deadline, "the launch never began");
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(pid, Signal::TERM).unwrap();
    let said = Said(child.wait_with_output().unwrap());
    assert_eq!(said.code(), Some(1), "{said}");
    let line = line(&said);
    assert_eq!(
        (&line["ok"], &line["error"]["code"]),
        (&Value::Bool(false), &Value::from("cancelled")),
        "{said}"
    );
    assert!(is_empty(home.path()), "{said}");
}
