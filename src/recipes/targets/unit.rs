//! A service as a unit of systemd, so that what the agent supervises itself runs on a plain server too.
//!
//! The unit starts the program with the same folder, environment and arguments, restarts it as often, and stops it as
//! patiently. Nothing is expanded: every `%` and `$` of an argument reaches the program.

use super::quote::{argument, assignment, setting};
use crate::model::configuration::{EnvValue, RestartPolicy, State, StateBody};
use std::fmt::Write;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The unit of a service state; nothing for any other state.
pub fn unit(state: &State) -> Option<String> {
    let StateBody::Service {
        name,
        command,
        cwd,
        env,
        path,
        restart,
        stop_timeout_s,
        revision,
        user,
        ..
    } = &state.body
    else {
        return None;
    };
    let mut text = format!(
        "# Made by Greenroom, which overwrites changes. Revision: {}\n\
         [Unit]\nDescription={}\nWants=network-online.target\nAfter=network-online.target\n{}\n\
         [Service]\nType=exec\nWorkingDirectory={}\n",
        setting(revision),
        setting(&state.title),
        limits(restart),
        setting(cwd),
    );
    if let Some(user) = user {
        let _ = writeln!(text, "User={}", setting(user));
    }
    for (name, value) in environment(path, env.get("PATH")) {
        // The home of a user is the system's to say.
        if name == "HOME" && user.is_some() {
            continue;
        }
        let _ = writeln!(text, "Environment={}", assignment(name, &value));
    }
    let plain = env.iter().filter(|(name, _)| *name != "PATH");
    for (name, value) in plain {
        if let EnvValue::Text(value) = value {
            let _ = writeln!(text, "Environment={}", assignment(name, value));
        }
    }
    if env.values().any(|value| !value.secrets().is_empty()) {
        let _ = writeln!(text, "EnvironmentFile={}", secret_file(name));
    }
    let _ = write!(
        text,
        "ExecStart={}\nRestart={}\nRestartSec=1\nTimeoutStopSec={stop_timeout_s}\n\n[Install]\nWantedBy=multi-user.target\n",
        start(command, cwd),
        match restart.policy.as_str() {
            "never" => "no",
            "on_failure" => "on-failure",
            _ => "always",
        },
    );
    Some(text)
}

/// The file with the secret variables of a service, which only its unit reads.
pub fn secret_file(service: &str) -> String {
    format!("/etc/greenroom/secrets/{service}.env")
}

// So many starts within ten minutes, the first one included.
fn limits(restart: &RestartPolicy) -> String {
    format!(
        "StartLimitIntervalSec=600\nStartLimitBurst={}",
        restart.limit.saturating_add(1)
    )
}

fn environment(folders: &[String], path: Option<&EnvValue>) -> Vec<(&'static str, String)> {
    let rest = match path {
        Some(EnvValue::Text(own)) => own.as_str(),
        _ => PATH,
    };
    let mut all: Vec<&str> = folders.iter().map(String::as_str).collect();
    all.push(rest);
    vec![
        ("LANG", "C.UTF-8".to_owned()),
        ("HOME", "/root".to_owned()),
        ("PATH", all.join(":")),
    ]
}

// Systemd looks for programs in folders of its own, so `env` looks for those without a folder in the service's.
fn start(command: &[String], cwd: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let (program, arguments) = match command.split_first() {
        Some((program, arguments)) => (program.as_str(), arguments),
        None => ("/bin/false", &[][..]),
    };
    if program.starts_with('/') {
        words.push(argument(program));
    } else if program.contains('/') {
        words.push(argument(&format!("{}/{program}", cwd.trim_end_matches('/'))));
    } else {
        words.push("/usr/bin/env".to_owned());
        words.push(argument(program));
    }
    words.extend(arguments.iter().map(|a| argument(a)));
    words.join(" ")
}
