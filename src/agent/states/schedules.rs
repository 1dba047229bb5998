//! Services of the operating system, and what it runs by the clock: systemd where it runs, else the scripts that packages bring.

use super::overlay::Entry;
use super::{Done, Hands, io_fault};
use crate::model::configuration::{Cron, SystemService, Timer};
use crate::model::fault::Fault;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

const UNITS: &str = "/etc/systemd/system";
const PATIENCE: Duration = Duration::from_mins(2);

fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

impl Hands {
    pub(super) async fn system_service(&self, service: &SystemService, stream: &str) -> Result<Done, Fault> {
        let mut said = Vec::new();
        if let Some(unit) = &service.unit
            && self.own_file(&format!("{UNITS}/{}.service", service.name), unit)?
        {
            said.push("its unit was written".to_owned());
            if has_systemd() {
                self.tool(&["systemctl", "daemon-reload"], "", stream).await?;
            }
        }
        let (running, enabled) = self.service_state(&service.name, stream).await?;
        if let Some(wanted) = service.enabled
            && wanted != enabled
        {
            let verb = if wanted { "enable" } else { "disable" };
            if Path::new("/usr/bin/systemctl").exists() || Path::new("/bin/systemctl").exists() {
                self.tool(&["systemctl", verb, &service.name], "", stream).await?;
            } else {
                self.tool(&["update-rc.d", &service.name, verb], "", stream).await?;
            }
            said.push(format!("{verb}d"));
        }
        if let Some(wanted) = service.running
            && wanted != running
        {
            self.control_service(&service.name, if wanted { "start" } else { "stop" }, stream)
                .await?;
            said.push(if wanted { "started" } else { "stopped" }.to_owned());
        } else if running && !said.is_empty() && service.unit.is_some() && service.running == Some(true) {
            self.control_service(&service.name, "restart", stream).await?;
        }
        if !said.is_empty() {
            let after = (service.running.unwrap_or(running), service.enabled.unwrap_or(enabled));
            self.pretend(|overlay| overlay.services.insert(service.name.clone(), after));
            self.pretend_service();
            if self.awaits_packages() && service.unit.is_none() {
                let why = "an earlier package may bring it and start it itself";
                return Ok(Done::Unknown(why.to_owned()));
            }
        }
        Ok(if said.is_empty() {
            Done::Unchanged
        } else {
            Done::Changed(said.join(", "))
        })
    }

    /// Starts, stops, restarts or reloads a service of the operating system.
    ///
    /// # Errors
    /// Why it does not.
    pub(in crate::agent) async fn control_service(&self, name: &str, verb: &str, stream: &str) -> Result<(), Fault> {
        if has_systemd() {
            self.tool(&["systemctl", verb, name], "", stream).await?;
        } else if Path::new("/etc/init.d").join(name).exists() {
            self.tool(&["service", name, verb], "", stream).await?;
        } else {
            let what = format!("The service {name} cannot be told to {verb}");
            return Err(Fault::new("tool-missing", what)
                .why("systemd does not run here, and no package brings a script for it in /etc/init.d")
                .next("Give the service a `command`, so that the agent keeps it running itself"));
        }
        Ok(())
    }

    // Whether it runs, and whether it starts with the machine.
    async fn service_state(&self, name: &str, stream: &str) -> Result<(bool, bool), Fault> {
        let ask = async |command: &[&str]| {
            let whole: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            self.run("service", &whole, Path::new("/"), &BTreeMap::new(), PATIENCE, stream, "")
                .await
        };
        if let Some(pretended) = self.pretend(|overlay| overlay.services.get(name).copied()).flatten() {
            return Ok(pretended);
        }
        if has_systemd() {
            let said = ask(&["systemctl", "show", "--property=ActiveState,UnitFileState", name]).await?;
            let is = |line: &str| said.text.lines().any(|l| l == line);
            let running = is("ActiveState=active") || is("ActiveState=activating") || is("ActiveState=reloading");
            let enabled = is("UnitFileState=enabled") || is("UnitFileState=static") || is("UnitFileState=alias");
            return Ok((running, enabled));
        }
        let script = Path::new("/etc/init.d").join(name).exists();
        let running = script && ask(&["service", name, "status"]).await?.is_good();
        let wanted_by = Path::new(UNITS)
            .join("multi-user.target.wants")
            .join(format!("{name}.service"));
        let by_script = fs::read_dir("/etc/rc3.d").is_ok_and(|entries| {
            let is_it = |file: &str| file.starts_with('S') && file.get(3..) == Some(name);
            entries.flatten().any(|entry| is_it(&entry.file_name().to_string_lossy()))
        });
        Ok((
            running,
            wanted_by.is_symlink() || by_script && !Path::new("/usr/bin/systemctl").exists(),
        ))
    }

    pub(super) fn cron(&self, cron: &Cron) -> Result<Done, Fault> {
        let path = format!("/etc/cron.d/{}", cron.name);
        if !cron.present {
            return self.no_file(&path);
        }
        let written = self.own_file(&path, &cron.text())?;
        Ok(if written {
            Done::Changed(format!("wrote {path}"))
        } else {
            Done::Unchanged
        })
    }

    pub(super) async fn timer(&self, timer: &Timer, stream: &str) -> Result<Done, Fault> {
        let unit = format!("{}.timer", timer.name);
        let files = [format!("{UNITS}/{}.service", timer.name), format!("{UNITS}/{unit}")];
        if !timer.present {
            if self.is_there(Path::new(&files[1])) == Some(false) {
                return Ok(Done::Unchanged);
            }
            self.tool(&["systemctl", "disable", "--now", &unit], "", stream).await?;
            let wanted_by = Path::new(UNITS).join("timers.target.wants").join(&unit);
            self.pretend(|overlay| overlay.disk.put(&wanted_by, Entry::Nothing));
            for file in &files {
                self.no_file(file)?;
            }
            return Ok(Done::Changed("removed".to_owned()));
        }
        let (service, when) = timer.texts();
        let service = self.own_file(&files[0], &service)?;
        let when = self.own_file(&files[1], &when)?;
        let wanted_by = Path::new(UNITS).join("timers.target.wants").join(&unit);
        let enabled = self.entry(&wanted_by).is_ok_and(|entry| matches!(entry, Entry::Link(_)));
        if !(service || when) && enabled {
            return Ok(Done::Unchanged);
        }
        if has_systemd() {
            self.tool(&["systemctl", "daemon-reload"], "", stream).await?;
            self.tool(&["systemctl", "enable", "--now", &unit], "", stream).await?;
            if when && !self.is_plan() {
                self.tool(&["systemctl", "restart", &unit], "", stream).await?;
            }
        } else {
            self.tool(&["systemctl", "enable", &unit], "", stream).await?;
        }
        self.pretend(|overlay| overlay.disk.put_link(&wanted_by, Path::new(&files[1])));
        Ok(Done::Changed(format!("runs {}", timer.calendar)))
    }

    // Writes a file of ours where it differs, and says whether it did.
    pub(super) fn own_file(&self, path: &str, text: &str) -> Result<bool, Fault> {
        let real = self.place(path)?;
        let failed = |error| io_fault(&format!("The file {path} cannot be written"), &error);
        if let Entry::File(now) = self.entry(&real).map_err(failed)?
            && now.content.is(text.as_bytes()).map_err(failed)?
        {
            return Ok(false);
        }
        self.put_file(&real, text.as_bytes(), 0o644).map_err(failed)?;
        Ok(true)
    }

    pub(super) fn no_file(&self, path: &str) -> Result<Done, Fault> {
        self.absent(&crate::model::configuration::Absent {
            path: path.to_owned(),
            recursive: false,
        })
    }
}
