//! The files that some states are, in the words of the programs that read them. Agent and targets write the same.

use super::{AptRepository, Cron, Timer};
use std::fmt::Write as _;

const NOTE: &str = "# Written by Greenroom; what is changed here does not last.\n";

impl Cron {
    /// The file of `/etc/cron.d` that runs it.
    pub fn text(&self) -> String {
        let mut text = NOTE.to_owned();
        for (name, value) in &self.env {
            let _ = writeln!(text, "{name}={value}");
        }
        // Cron takes an unescaped percent sign for a line break.
        let command: Vec<String> = self.command.iter().map(|word| shell_word(word).replace('%', "\\%")).collect();
        let _ = writeln!(text, "{} {} {}", self.schedule, self.user, command.join(" "));
        text
    }
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl Timer {
    /// The units of its service and of itself.
    pub fn texts(&self) -> (String, String) {
        // systemd expands `%` and `$` in commands, and splits at white space outside quotes.
        let word = |word: &String| {
            let escaped = word
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('%', "%%")
                .replace('$', "$$");
            format!("\"{escaped}\"")
        };
        let command: Vec<String> = self.command.iter().map(word).collect();
        let service = format!(
            "{NOTE}[Unit]\nDescription={}\n\n[Service]\nType=oneshot\nUser={}\nExecStart={}\n",
            self.name,
            self.user,
            command.join(" ")
        );
        let when = format!(
            "{NOTE}[Unit]\nDescription={} by the clock\n\n[Timer]\nOnCalendar={}\nPersistent={}\n\n[Install]\nWantedBy=timers.target\n",
            self.name, self.calendar, self.persistent
        );
        (service, when)
    }
}

impl AptRepository {
    /// Where its key is kept.
    pub fn key_file(&self) -> String {
        format!("/etc/apt/keyrings/{}.asc", self.name)
    }

    /// The file of `/etc/apt/sources.list.d` that names it.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{NOTE}Types: deb\nURIs: {}\nSuites: {}\n",
            self.uris.join(" "),
            self.suites.join(" ")
        );
        if !self.components.is_empty() {
            let _ = writeln!(text, "Components: {}", self.components.join(" "));
        }
        if self.key.is_some() {
            let _ = writeln!(text, "Signed-By: {}", self.key_file());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_command_reaches_cron_and_systemd_word_by_word() {
        let command: Vec<String> = ["/usr/bin/backup", "--to", "the attic", "50%", "it's", "$HOME"]
            .map(str::to_owned)
            .into();
        let cron = Cron {
            name: "backup".to_owned(),
            present: true,
            schedule: "15 3 * * *".to_owned(),
            command: command.clone(),
            user: "root".to_owned(),
            env: BTreeMap::from([("MAILTO".to_owned(), "ops@example.org".to_owned())]),
        };
        let text = cron.text();
        assert!(text.contains("MAILTO=ops@example.org\n"), "{text}");
        assert!(
            text.ends_with("15 3 * * * root /usr/bin/backup --to 'the attic' 50\\% 'it'\\''s' '$HOME'\n"),
            "{text}"
        );
        let (service, when) = (Timer {
            name: "backup".to_owned(),
            present: true,
            calendar: "*-*-* 03:15:00".to_owned(),
            command,
            user: "backup".to_owned(),
            persistent: true,
        })
        .texts();
        assert!(
            service.contains("ExecStart=\"/usr/bin/backup\" \"--to\" \"the attic\" \"50%%\" \"it's\" \"$$HOME\"\n"),
            "{service}"
        );
        assert!(when.contains("OnCalendar=*-*-* 03:15:00\nPersistent=true\n"), "{when}");
    }
}
