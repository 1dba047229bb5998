//! A way in for whoever lost theirs.

use super::program::greenroom;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

// What the server says once it listens.
fn start(home: &std::path::Path, more: &[&str]) -> Value {
    let arguments = [&["--json", "serve", "--data", "data", "--listen", "127.0.0.1:0"], more].concat();
    let mut server = greenroom(home, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid = rustix::process::Pid::from_child(&server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    server.wait().unwrap();
    serde_json::from_str(&line).unwrap_or(Value::Null)
}

#[test]
fn a_lost_first_link_is_replaced_by_starting_with_another() {
    let home = tempfile::tempdir().unwrap();
    let first = start(home.path(), &["--sign-in-link"]);
    assert!(first["first_link"]["url"].is_string(), "{first}");
    assert_eq!(first["sign_in_link"], Value::Null, "one link is enough");
    let plain = start(home.path(), &[]);
    assert_eq!((&plain["first_link"], &plain["sign_in_link"]), (&Value::Null, &Value::Null));
    let again = start(home.path(), &["--sign-in-link"]);
    let url = again["sign_in_link"]["url"].as_str().unwrap();
    assert!(url.contains("/sign-in/link/") && first["first_link"]["url"] != url, "{again}");
    assert_eq!(
        start(home.path(), &["--sign-in-link", "nobody"]),
        Value::Null,
        "there is no such account"
    );
}

#[test]
fn a_server_with_another_key_does_not_start_on_the_secrets_of_the_first() {
    let home = tempfile::tempdir().unwrap();
    assert!(start(home.path(), &[])["url"].is_string());
    std::fs::write(home.path().join("data/secrets.key"), [7; 32]).unwrap();
    assert_eq!(start(home.path(), &[]), Value::Null);
}
