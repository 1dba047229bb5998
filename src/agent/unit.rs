//! A unit file, so that systemd starts the agent and nothing it runs dies with it.

use super::options::AgentArgs;
use std::fmt::Write as _;

/// The unit file for an agent with this command line.
pub fn unit_file(args: &AgentArgs) -> String {
    let program = std::env::current_exe().map_or_else(|_| "/usr/local/bin/greenroom".to_owned(), |p| p.display().to_string());
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
    format!(
        "# Written by `greenroom agent unit`: save it as /etc/systemd/system/greenroom-agent.service\n\
         [Unit]\n\
         Description=Greenroom agent\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={command}\n\
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
