//! Recipes of whole machines: compiled for a server, refused in a sandbox and where data must not be restored.

use super::{bundle, document, shown as lines, valid};
use greenroom::model::configuration::{NodeConfiguration, StateBody};
use greenroom::model::diagnostic::Diagnostic;
use greenroom::recipes::compile;
use greenroom::recipes::view::View;
use serde_json::json;
use std::collections::BTreeMap;

const RECIPE: &str = "\
recipe: command-app
description: A server with everything on it
states:
  - group: {name: shop, gid: 1900}
  - user: {name: shop, group: shop, groups: [adm], ssh_keys: ['ssh-ed25519 AAAA x']}
  - package: {name: [nginx, redis-server], state: latest}
  - file: {path: /etc/nginx/shop.conf, content: x, owner: root, group: shop, validate: [nginx, -t, -c, '{}'], notify: [{reload: service/nginx}]}
  - link: {path: /etc/nginx/on, to: shop.conf}
  - directory: {path: /var/www/html, state: absent, recursive: true}
  - execute: {id: told, command: [systemd-analyze, verify], refresh_only: true, subscribe: [link/on]}
  - service: {name: nginx, state: running, enabled: true, subscribe: [user/shop]}
  - cron: {name: report, schedule: '15 3 * * *', command: [/usr/bin/report], user: shop}
  - timer: {name: sweep, calendar: daily, command: [/usr/bin/sweep]}
  - download: {path: /opt/x, url: 'https://example.org/x', sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824}
  - archive: {path: /opt/y, source: /opt/x, sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824, strip: 1}
  - apt_repository: {name: acme, uris: ['https://apt.example.org/'], suites: [bookworm], components: [main], key: KEY}
  - hosts_entry: {address: 10.0.0.7, names: [db.internal]}
  - database: {name: shop, owner: shop}
  - database_user: {name: shop, password: {secret: shop/env/DB}, may: [createdb]}
  - database_restore: {database: shop, source: /var/lib/shop.sql}
  - wait_for: {port: 5432}
";

fn compiled(recipe: &str, change: impl FnOnce(&mut View)) -> Result<NodeConfiguration, Vec<Diagnostic>> {
    let bundle = bundle(&[("command-app.yaml", recipe)]);
    let app = document(
        "shop",
        json!({"recipes": [{"name": "command-app"}], "env": {"DB": {"secret": true, "generator": "secret"}}}),
    );
    let mut view = View::example(&valid(&app), &BTreeMap::new());
    view.node.confined_to = None;
    view.node.installs_packages = true;
    change(&mut view);
    compile(&bundle, &view).map(|compiled| compiled.configuration)
}

fn shown(result: Result<NodeConfiguration, Vec<Diagnostic>>) -> String {
    lines(&result.unwrap_err())
}

#[test]
fn a_server_gets_every_state_in_written_order_with_its_notifications() {
    let configuration = compiled(RECIPE, |_| {}).unwrap_or_else(|found| panic!("{found:#?}"));
    let kinds: Vec<&str> = configuration.states.iter().map(|state| state.body.type_name()).collect();
    assert_eq!(
        kinds,
        [
            "group",
            "user",
            "package",
            "file",
            "link",
            "absent",
            "execute",
            "service",
            "cron",
            "timer",
            "download",
            "archive",
            "apt_repository",
            "hosts_entry",
            "database",
            "database_user",
            "database_restore",
            "wait_for"
        ]
    );
    assert!(configuration.restorable);
    let notified = |index: usize| {
        let all = configuration.states[index].notify.iter();
        all.map(|n| format!("{} {}", n.verb, n.state)).collect::<Vec<_>>()
    };
    assert_eq!(notified(3), ["reload shop/service/nginx"]);
    // What others subscribed to notifies them.
    assert_eq!(notified(1), ["restart shop/service/nginx"]);
    assert_eq!(notified(4), ["run shop/execute/told"]);
    let StateBody::Package {
        install: Some(install), ..
    } = &configuration.states[2].body
    else {
        panic!("a package")
    };
    assert_eq!(
        (install.state.as_str(), &install.also[..]),
        ("latest", &["redis-server".to_owned()][..])
    );
}

#[test]
fn a_sandbox_refuses_each_of_them_at_its_place_with_advice() {
    let found = shown(compiled(RECIPE, |view| {
        view.node.confined_to = Some("/sandbox".to_owned());
        view.node.installs_packages = false;
    }));
    for line in [4, 5, 6, 7, 11, 12, 13, 16, 17, 18, 19, 20] {
        assert!(
            found.contains(&format!("command-app.yaml:{line}:")),
            "line {line} in\n{found}"
        );
    }
    assert!(found.contains("Docker or EC2"), "{found}");
}

#[test]
fn a_dump_is_refused_where_the_environment_must_not_be_restored() {
    let found = shown(compiled(RECIPE, |view| {
        view.restorable = false;
        view.environment = "production".to_owned();
    }));
    assert!(
        found.contains("error[not-restorable]") && found.contains("`production` must not be restored"),
        "{found}"
    );
    assert_eq!(found.matches("error[").count(), 1, "{found}");
}

#[test]
fn what_fits_nothing_is_said_with_its_place() {
    let head = "recipe: command-app\ndescription: x\nstates:\n";
    for (text, message) in [
        ("  - service: {name: x}\n", "one of `state`, `enabled` and `unit`"),
        (
            "  - service: {name: x, state: running, env: {A: b}}\n",
            "`env` belongs to a process with `command`",
        ),
        ("  - link: {path: /etc/x}\n", "`to` is needed"),
        ("  - file: {path: /etc/x}\n", "`content` is needed"),
        (
            "  - wait_for: {port: 1, file: /etc/x}\n",
            "exactly one of `port`, `http` and `file`",
        ),
        ("  - database_user: {name: x, password: clear}\n", "never in clear"),
        (
            "  - file: {path: /etc/x, content: y, notify: [{run: x, reload: y}]}\n",
            "exactly one of `restart`, `reload` and `run`",
        ),
        (
            "  - file: {path: /etc/x, content: y, notify: [{restart: service/no}]}\n",
            "is no service",
        ),
        ("  - execute: {command: [x], subscribe: [file/no]}\n", "is no state"),
        ("  - cron: {name: x, schedule: 'often', command: [x]}\n", "not a cron time"),
        (
            "  - download: {path: /x/y, url: 'https://x', sha256: abc}\n",
            "not a SHA-256 hash",
        ),
    ] {
        let found = shown(compiled(&format!("{head}{text}"), |_| {}));
        // What no text in it could mend is found before it is compiled, and said of whoever uses it.
        let place = found.contains("command-app.yaml:4:") || found.contains("the recipe \"command-app\" has errors");
        assert!(found.contains(message) && place, "{text}\n{found}");
    }
}

#[test]
fn a_state_that_comes_after_others_waits_for_them_and_the_rest_stays_as_written() {
    let recipe = |states: &str| format!("recipe: command-app\ndescription: In order\nstates:\n{states}");
    let file = |name: &str, more: &str| format!("  - file: {{id: {name}, path: /etc/{name}, content: x{more}}}\n");
    let states = [
        file("a", ", after: [file/c]"),
        file("b", ""),
        file("c", ", after: [file/d]"),
        file("d", ""),
        file("e", ""),
    ];
    let all = compiled(&recipe(&states.concat()), |_| {}).unwrap();
    let order: Vec<&str> = all.states.iter().map(|state| state.id.as_str()).collect();
    assert_eq!(
        order,
        ["shop/file/b", "shop/file/d", "shop/file/c", "shop/file/a", "shop/file/e"]
    );
    assert!(all.states.iter().all(|state| state.notify.is_empty()));

    let states = [
        file("a", ", after: [file/b]"),
        file("b", ", after: [file/a]"),
        file("c", ", after: [file/a]"),
    ];
    let found = compiled(&recipe(&states.concat()), |_| {}).unwrap_err();
    let told: Vec<(&str, usize)> = found.iter().map(|d| (d.code.as_str(), d.line as usize)).collect();
    assert_eq!(told, [("state-cycle", 4), ("state-cycle", 5)], "{found:?}");
    assert!(
        found[0].message.contains("shop/file/a after shop/file/b after shop/file/a"),
        "{found:?}"
    );

    let found = compiled(&recipe(&file("a", ", after: [file/none]")), |_| {}).unwrap_err();
    assert!(
        found[0].code == "unknown-state" && found[0].message.contains("`after` names"),
        "{found:?}"
    );
}
