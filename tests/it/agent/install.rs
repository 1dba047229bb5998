//! The agent's installation below a folder, as builders of images use it. Under a real systemd: `targets/bare.rs`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn agent(root: &Path, task: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
    command.args(["agent", task, "--root"]).arg(root).args(arguments);
    command.env_remove("GREENROOM_NODE_TOKEN").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_installation_writes_what_differs_and_is_taken_off_whole() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let server = ["--server", "https://greenroom.example.org", "--name", "web-1"];
    let first = agent(root, "install", &[&server[..], &["--token", "grn_once"]].concat());
    assert!(first.status.success(), "{}", said(&first));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let settings = read("etc/greenroom/agent.env");
    assert!(
        settings.contains("GREENROOM_AGENT_SERVER=https://greenroom.example.org\n"),
        "{settings}"
    );
    assert!(
        settings.contains("GREENROOM_AGENT_NAME=web-1\n") && !settings.contains("grn_once"),
        "{settings}"
    );
    assert_eq!(read("etc/greenroom/token"), "grn_once\n");
    let mode = |path: &str| root.join(path).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc/greenroom/token"), mode("usr/local/bin/greenroom")), (0o600, 0o755));
    let unit = read("etc/systemd/system/greenroom-agent.service");
    assert!(
        unit.contains("ExecStart=/usr/local/bin/greenroom agent\n") && unit.contains("KillMode=process"),
        "{unit}"
    );
    let link = root.join("etc/systemd/system/multi-user.target.wants/greenroom-agent.service");
    assert!(link.is_symlink());

    // The token stays where it is until the node is registered.
    let again = agent(root, "install", &server);
    assert!(said(&again).contains("All was as it should be"), "{}", said(&again));
    let moved = agent(
        root,
        "install",
        &["--server", "https://elsewhere.example.org", "--name", "web-1"],
    );
    assert_eq!(said(&moved).trim(), "Wrote /etc/greenroom/agent.env");

    std::fs::create_dir_all(root.join("var/lib/greenroom-agent")).unwrap();
    let gone = agent(root, "uninstall", &[]);
    assert!(gone.status.success(), "{}", said(&gone));
    for path in ["etc/greenroom/agent.env", "etc/greenroom/token", "usr/local/bin/greenroom"] {
        assert!(!root.join(path).exists(), "{path}");
    }
    assert!(!link.is_symlink() && root.join("var/lib/greenroom-agent").is_dir());
    assert!(agent(root, "uninstall", &["--purge"]).status.success());
    assert!(!root.join("var/lib/greenroom-agent").exists());
    assert_eq!(said(&agent(root, "uninstall", &[])).trim(), "The agent was not installed");
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let without = agent(
        folder.path(),
        "install",
        &["--server", "https://greenroom.example.org", "--name", "web-1"],
    );
    assert!(said(&without).contains("nothing to register with"), "{}", said(&without));
    let strange = ["--server", "https://x/$(reboot)", "--name", "web-1", "--token", "grn_once"];
    let strange = agent(folder.path(), "install", &strange);
    assert!(said(&strange).contains("server cannot be"), "{}", said(&strange));
    assert!(!folder.path().join("usr").exists() && !folder.path().join("etc").exists());
}
