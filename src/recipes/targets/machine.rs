//! What a script does for the states of a whole machine: packages, accounts, services of the system, schedules, downloads.

use super::quote::{print, word, words};
use super::steps::{Step, place};
use crate::model::configuration::{
    AptRepository, Archive, Cron, DatabaseUser, Download, Group, HostsEntry, Install, ServerDatabase, StateBody, SystemService,
    Timer, User, WaitFor,
};

const UNITS: &str = "/etc/systemd/system";

/// The commands for such a state, the `number`th of its script.
pub fn step(body: &StateBody, number: usize) -> Step {
    match body {
        StateBody::Link(link) => plain(
            format!("is_link {} {}", word(&link.path), word(&link.to)),
            format!("link {} {}", word(&link.path), word(&link.to)),
        ),
        StateBody::Absent(absent) => {
            let path = word(&absent.path);
            let remove = if absent.recursive { "remove_all" } else { "remove_one" };
            plain(format!("is_absent {path}"), format!("{remove} {path}"))
        }
        StateBody::SystemService(service) => system_service(service, number),
        StateBody::User(user) => account(user, number),
        StateBody::Group(group) => group_step(group),
        StateBody::Cron(cron) => cron_step(cron, number),
        StateBody::Timer(timer) => timer_step(timer, number),
        StateBody::Download(download) => download_step(download),
        StateBody::Archive(archive) => archive_step(archive),
        StateBody::AptRepository(repository) => repository_step(repository, number),
        StateBody::HostsEntry(entry) => hosts_step(entry),
        StateBody::ServerDatabase(database) => database_step(database),
        StateBody::DatabaseUser(user) => role_step(user),
        StateBody::WaitFor(wait) => wait_step(wait),
        // Refused before; a script that got here all the same says so and stops.
        other => plain("never".to_owned(), format!("refuse {}", word(other.type_name()))),
    }
}

fn plain(check: String, apply: String) -> Step {
    Step {
        check,
        apply,
        ..Step::default()
    }
}

/// The commands for packages that the package manager looks after.
pub fn packages(name: &str, wanted: &Install) -> Step {
    let all: Vec<&str> = std::iter::once(name).chain(wanted.also.iter().map(String::as_str)).collect();
    let names = words(&all);
    match wanted.state.as_str() {
        "absent" => return plain(format!("! any_installed {names}"), format!("apt remove -- {names}")),
        "purged" => return plain(format!("! any_known {names}"), format!("apt purge -- {names}")),
        _ => {}
    }
    let mut check = format!("all_installed {names} && all_held {} {names}", wanted.hold);
    let mut first = name.to_owned();
    if let Some(version) = &wanted.version {
        check = format!("{check} && has_version {} {}", word(name), word(version));
        first = format!("{name}={version}");
    }
    if wanted.state == "latest" {
        check = format!("{check} && all_latest {names}");
    }
    let exact: Vec<&str> = std::iter::once(first.as_str())
        .chain(wanted.also.iter().map(String::as_str))
        .collect();
    plain(
        check,
        format!("install_packages {}\nhold {} {names}", words(&exact), wanted.hold),
    )
}

fn system_service(service: &SystemService, number: usize) -> Step {
    let wanted = |value: Option<bool>| value.map_or("-", |yes| if yes { "true" } else { "false" });
    let arguments = format!(
        "{} {} {}",
        word(&service.name),
        wanted(service.running),
        wanted(service.enabled)
    );
    let mut step = plain(
        format!("is_system_service {arguments}"),
        format!("system_service {arguments}"),
    );
    if let Some(unit) = &service.unit {
        let path = word(&format!("{UNITS}/{}.service", service.name));
        step.text = Some(print(unit));
        step.check = format!("text_{number} | holds {path} 644 && {}", step.check);
        step.apply = format!("text_{number} | unit_file {}\n{}", word(&service.name), step.apply);
    }
    step
}

fn account(user: &User, number: usize) -> Step {
    let name = word(&user.name);
    if !user.present {
        return plain(format!("! is_account {name}"), format!("userdel {name}"));
    }
    let or = |value: &Option<String>| word(value.as_deref().unwrap_or_default());
    let uid = user.uid.map_or_else(String::new, |uid| uid.to_string());
    let groups = user.groups.as_ref().map_or_else(
        || "-".to_owned(),
        |groups| {
            let mut groups = groups.clone();
            groups.sort();
            groups.dedup();
            groups.join(",")
        },
    );
    let arguments = format!(
        "{name} {} {} {} {} {} {}",
        word(&uid),
        or(&user.group),
        word(&groups),
        or(&user.home),
        or(&user.shell),
        or(&user.comment)
    );
    let mut step = plain(format!("is_user {arguments}"), format!("user {arguments} {}", user.system));
    if let Some(keys) = &user.ssh_keys {
        let lines: Vec<&str> = keys.iter().map(|key| key.trim()).chain([""]).collect();
        step.text = Some(print(&if keys.is_empty() { String::new() } else { lines.join("\n") }));
        step.check = format!("{} && text_{number} | has_keys {name}", step.check);
        step.apply = format!(
            "if ! {{ is_user {arguments}; }}; then {}; fi\ntext_{number} | keys {name}",
            step.apply
        );
    }
    step
}

fn group_step(group: &Group) -> Step {
    let name = word(&group.name);
    if !group.present {
        return plain(format!("! is_group {name} ''"), format!("groupdel {name}"));
    }
    let gid = word(&group.gid.map_or_else(String::new, |gid| gid.to_string()));
    plain(
        format!("is_group {name} {gid}"),
        format!("group {name} {gid} {}", group.system),
    )
}

fn cron_step(cron: &Cron, number: usize) -> Step {
    let path = word(&format!("/etc/cron.d/{}", cron.name));
    if !cron.present {
        return plain(format!("is_absent {path}"), format!("remove_one {path}"));
    }
    Step {
        text: Some(print(&cron.text())),
        check: format!("text_{number} | holds {path} 644"),
        apply: format!("text_{number} | put {path} 644"),
        ..Step::default()
    }
}

fn timer_step(timer: &Timer, number: usize) -> Step {
    let name = word(&timer.name);
    let [service, unit] = ["service", "timer"].map(|kind| word(&format!("{UNITS}/{}.{kind}", timer.name)));
    if !timer.present {
        return plain(format!("is_absent {unit}"), format!("no_timer {name}"));
    }
    let (service_text, timer_text) = timer.texts();
    Step {
        text: Some(print(&service_text)),
        second: Some(print(&timer_text)),
        check: format!("text_{number} | holds {service} 644 && second_{number} | holds {unit} 644 && is_enabled {name}.timer"),
        apply: format!("text_{number} | put {service} 644\nsecond_{number} | put {unit} 644\ntimer {name}"),
        ..Step::default()
    }
}

fn download_step(download: &Download) -> Step {
    let place = place(
        &download.path,
        &download.mode,
        owner(download.owner.as_ref(), download.group.as_ref()).as_deref(),
    );
    let hash = word(&download.sha256);
    plain(
        format!("is_download {hash} {place}"),
        format!("download {} {hash} {place}", word(&download.url)),
    )
}

fn archive_step(archive: &Archive) -> Step {
    let (path, hash) = (word(&archive.path), word(&archive.sha256));
    plain(
        format!("is_unpacked {path} {hash}"),
        format!("unpack {path} {hash} {} {}", word(&archive.source), archive.strip),
    )
}

fn repository_step(repository: &AptRepository, number: usize) -> Step {
    let list = word(&format!("/etc/apt/sources.list.d/{}.sources", repository.name));
    let key = word(&repository.key_file());
    if !repository.present {
        return plain(
            format!("is_absent {list} && is_absent {key}"),
            format!("rm -f -- {list} {key}\napt update"),
        );
    }
    let mut step = Step {
        text: Some(print(&repository.text())),
        check: format!("text_{number} | holds {list} 644"),
        apply: format!("text_{number} | put {list} 644"),
        ..Step::default()
    };
    if let Some(text) = &repository.key {
        step.second = Some(print(text));
        step.check = format!("{} && second_{number} | holds {key} 644", step.check);
        step.apply = format!("second_{number} | put {key} 644\n{}", step.apply);
    }
    step.apply.push_str("\napt update");
    step
}

fn hosts_step(entry: &HostsEntry) -> Step {
    let main = entry.names.first().map(String::as_str).unwrap_or_default();
    let arguments = format!(
        "{} {} {} {}",
        word(&entry.address),
        word(main),
        word(&entry.names.join(" ")),
        entry.present
    );
    plain(format!("is_in_hosts {arguments}"), format!("put_in_hosts {arguments}"))
}

fn database_step(database: &ServerDatabase) -> Step {
    let arguments = format!(
        "{} {}",
        word(&database.name),
        word(database.owner.as_deref().unwrap_or_default())
    );
    plain(format!("is_database {arguments}"), format!("database {arguments}"))
}

fn role_step(user: &DatabaseUser) -> Step {
    let name = word(&user.name);
    if !user.present {
        return plain(format!("! is_role {name}"), format!("no_role {name}"));
    }
    let abilities = ["createdb", "createrole", "replication", "superuser"];
    let has = |ability: &str| user.may.iter().any(|may| may == ability);
    let marks: Vec<&str> = abilities.iter().map(|a| if has(a) { "t" } else { "f" }).collect();
    let options: Vec<String> = abilities
        .iter()
        .map(|a| format!("{}{}", if has(a) { "" } else { "NO" }, a.to_uppercase()))
        .collect();
    plain(
        format!("is_role_as {name} '{}'", marks.join("|")),
        format!("role {name} '{}'", options.join(" ")),
    )
}

fn wait_step(wait: &WaitFor) -> Step {
    let asks = match (wait.port, &wait.http, &wait.file) {
        (Some(port), ..) => format!("takes_connections {} {port}", word(&wait.host)),
        (_, Some(url), _) => super::steps::answers(url),
        (.., file) => format!("[ -e {} ]", word(file.as_deref().unwrap_or_default())),
    };
    let apply = format!("wait_for {} 'what is waited for' {asks}", wait.timeout_s);
    // It changes nothing, so looking is all of it.
    let bracket = asks.starts_with('[');
    let apply = if bracket {
        let file = word(wait.file.as_deref().unwrap_or_default());
        format!("wait_for {} {file} test -e {file}", wait.timeout_s)
    } else {
        apply
    };
    Step {
        check: format!("if [ \"$dry_run\" = 1 ]; then {asks}; else\n( {apply} )\nfi"),
        apply,
        ..Step::default()
    }
}

/// Whose a file is, as `user:group` with a part left empty where it is not looked at; nothing where neither is.
pub fn owner(owner: Option<&String>, group: Option<&String>) -> Option<String> {
    if owner.is_none() && group.is_none() {
        return None;
    }
    let text = |part: Option<&String>| part.map(String::as_str).unwrap_or_default().to_owned();
    Some(format!("{}:{}", text(owner), text(group)))
}
