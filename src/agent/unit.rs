//! A unit file, so that systemd starts the agent and nothing it runs dies with it.

use super::install::{PROGRAM, SETTINGS};
use super::options::AgentArgs;
use std::fmt::Write as _;

/// The unit's name.
pub(super) const SERVICE: &str = "greenroom-agent.service";

/// The unit file for an agent with this command line.
pub fn unit_file(args: &AgentArgs) -> String {
    let program = std::env::current_exe().map_or_else(|_| PROGRAM.to_owned(), |p| p.display().to_string());
    let mut command = format!("{program} agent --folder {}", args.folder.display());
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(command, " {name} {value}");
        }
    };
    flag(
        "--server",
        Some(
            args.server
                .clone()
                .unwrap_or_else(|| "https://greenroom.example.org".to_owned()),
        ),
    );
    flag("--name", Some(args.name.clone().unwrap_or_else(|| "%H".to_owned())));
    flag(
        "--token-file",
        args.token_file.as_ref().map(|file| file.display().to_string()),
    );
    let origin = format!("`greenroom agent unit`: save it as /etc/systemd/system/{SERVICE}");
    text(&origin, "", &format!("ExecStart={command}"))
}

/// Where cloud-init keeps which machine this is.
pub(super) const INSTANCE: &str = "/var/lib/cloud/data/instance-id";

/// The unit file of an agent that was installed, which has its settings in a file. Where a machine is named, it starts on that one
/// only: another one that starts from a copy of its disk must not be taken for it, and installs the agent anew.
pub(super) fn installed_unit(machine: Option<&str>) -> String {
    let start = format!("EnvironmentFile={SETTINGS}\nExecStart={PROGRAM} agent");
    let (after, condition) = match machine {
        Some(machine) => (
            " cloud-init.service cloud-init-network.service",
            format!("ExecCondition=grep -qxF {machine} {INSTANCE}\n"),
        ),
        None => ("", String::new()),
    };
    text("`greenroom agent install`", after, &format!("{condition}{start}"))
}

fn text(origin: &str, after: &str, start: &str) -> String {
    format!(
        "# Written by {origin}\n\
         [Unit]\n\
         Description=Greenroom agent\n\
         Wants=network-online.target\n\
         After=network-online.target{after}\n\
         \n\
         [Service]\n\
         {start}\n\
         # Begins anew, as the program that is installed now, and goes on with all that it supervises.\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=always\n\
         RestartSec=2\n\
         # What the agent runs goes on while it is restarted; the next one takes it over.\n\
         KillMode=process\n\
         Delegate=yes\n\
         OOMScoreAdjust=-500\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}
