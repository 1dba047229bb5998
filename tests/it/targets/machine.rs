//! Every state type that needs a whole machine, applied by the real agent on a real server: made true once, left alone the
//! second time, and put right where someone changed it by hand.

use super::containers::{self, Container};
use super::text;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const AGENT: &str = "greenroom agent --once --offline --configuration /var/lib/configuration.json";

const FOLDER: &str = "/var/lib/greenroom-agent";

fn states() -> Value {
    json!([
        {"type": "group", "name": "shop", "present": true, "gid": 1900},
        {"type": "user", "name": "shop", "present": true, "uid": 1901, "group": "shop", "groups": ["adm"], "home": "/srv/shop",
         "shell": "/bin/bash", "comment": "The shop", "ssh_keys": ["ssh-ed25519 AAAA shop@example.org"]},
        {"type": "user", "name": "games", "present": false},
        {"type": "directory", "path": "/srv/shop/data", "mode": "0750", "owner": "shop", "group": "shop"},
        {"type": "file", "id": "shop/file/conf", "path": "/etc/shop/shop.json", "content": "{\"a\": 1}\n", "mode": "0640",
         "owner": "root", "group": "shop", "validate": ["python3", "-m", "json.tool", "{}"],
         "notify": [{"verb": "run", "state": "shop/execute/told"}]},
        {"type": "link", "path": "/etc/shop/current", "to": "shop.json"},
        {"type": "absent", "path": "/etc/motd"},
        {"type": "execute", "id": "shop/execute/told", "command": ["sh", "-c", "echo told >>/srv/shop/told; id -un >>/srv/shop/told"],
         "cwd": "/srv/shop", "timeout_s": 10, "failure": "state-failed", "user": "shop", "refresh_only": true},
        {"type": "cron", "name": "shop-report", "present": true, "schedule": "15 3 * * *", "command": ["/usr/bin/true", "50%"], "user": "shop"},
        {"type": "timer", "name": "shop-sweep", "present": true, "calendar": "*-*-* 04:00:00", "command": ["/usr/bin/true"], "user": "shop"},
        {"type": "hosts_entry", "address": "10.9.8.7", "names": ["db.internal", "db"], "present": true},
        {"type": "system_service", "name": "shop-clock", "unit": "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
         "running": true, "enabled": true},
        {"type": "package", "name": "postgresql", "program": "postgresql", "install": {"state": "installed", "also": ["tree"]}},
        {"type": "package", "name": "nano", "program": "nano", "install": {"state": "purged"}},
        {"type": "system_service", "name": "postgresql", "running": true, "enabled": true},
        {"type": "wait_for", "host": "127.0.0.1", "port": 5432, "timeout_s": 30},
        {"type": "database_user", "name": "shop", "present": true, "may": ["createdb"], "password": {"secret": "shop/password"}},
        {"type": "server_database", "name": "shop", "owner": "shop"},
        {"type": "database_restore", "database": "shop", "source": "/var/lib/shop.sql"},
        {"type": "archive", "path": "/opt/tool", "source": "/var/lib/tool.tar.gz", "sha256": "SUM", "strip": 1},
        {"type": "download", "path": "/opt/page", "url": "http://127.0.0.1:8123/page", "sha256":
         "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", "mode": "0644", "owner": "shop"},
    ])
}

fn numbered(mut states: Value, restorable: bool) -> String {
    for (index, state) in states.as_array_mut().unwrap().iter_mut().enumerate() {
        let state = state.as_object_mut().unwrap();
        let kind = state["type"].as_str().unwrap().to_owned();
        state.entry("id").or_insert(json!(format!("shop/{kind}/{index}")));
        state.entry("title").or_insert(json!(format!("State {index}")));
        state
            .entry("origin")
            .or_insert(json!(format!("recipes/shop.yaml:{}:5", index + 1)));
    }
    json!({"format": 1, "restorable": restorable, "states": states}).to_string()
}

fn server(image: &str) -> Container {
    let server = Container::boot(image, &[], &[(env!("CARGO_BIN_EXE_greenroom"), "/usr/local/bin/greenroom")]);
    server.put(
        "/var/lib/shop.sql",
        b"CREATE TABLE books (title text); INSERT INTO books VALUES ('Emma');\n",
    );
    server.put("/var/lib/secrets.json", b"{\"shop/password\": \"it's a secret\"}");
    server.output("apt-get update -qq; mkdir -p /tmp/tool-1.0/bin && echo tool >/tmp/tool-1.0/bin/tool && tar -C /tmp -czf /var/lib/tool.tar.gz tool-1.0");
    server.output("mkdir -p /tmp/web && printf hello >/tmp/web/page && (cd /tmp/web && setsid python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 &)");
    server
}

fn outcomes(told: &str) -> BTreeMap<String, String> {
    let told: Value = serde_json::from_str(told).unwrap_or_else(|error| panic!("{error}: {told}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let states = told["states"].as_array().cloned().unwrap_or_default();
    states.iter().map(|s| (text(&s["id"]), text(&s["outcome"]))).collect()
}

fn plan(server: &Container) -> BTreeMap<String, String> {
    let said = server.run("greenroom agent --plan --json --offline --configuration /var/lib/configuration.json");
    assert_eq!(said.status.code(), Some(2), "{}", text(&said));
    outcomes(&String::from_utf8_lossy(&said.stdout))
}

// Whether what the plan said is what happened, where it said that it knew.
fn foretold(server: &Container, planned: &BTreeMap<String, String>) {
    let done = outcomes(&server.output(&format!("cat {FOLDER}/journal")));
    let said = |of: &BTreeMap<String, String>, id: &str| of.get(id).map_or("unchanged", String::as_str).to_owned();
    for id in planned.keys().chain(done.keys()) {
        let (would, did) = (said(planned, id), said(&done, id));
        let same = would == "unknown" || (would == "would_change") == (did == "changed");
        assert!(same, "{id}: {would}, but then {did}\n{planned:#?}\n{done:#?}");
    }
    let unknown = planned.values().filter(|what| *what == "unknown").count();
    assert!(
        unknown * 3 <= planned.len().max(6),
        "a plan that knows nothing is none: {planned:#?}"
    );
}

#[test]
fn every_state_of_a_whole_machine_is_made_true_once_and_put_right_when_it_drifts() {
    let Some(image) = containers::image() else { return };
    let server = server(image);
    let sum = server.output("sha256sum /var/lib/tool.tar.gz | cut -d' ' -f1");
    let configuration = numbered(states(), true).replace("SUM", sum.trim());
    server.put("/var/lib/configuration.json", configuration.as_bytes());
    let agent = format!("{AGENT} --secrets /var/lib/secrets.json");

    let planned = plan(&server);
    let first = server.run(&agent);
    assert_eq!(first.status.code(), Some(2), "{}", text(&first));
    foretold(&server, &planned);
    assert!(!text(&first).contains("it's a secret"), "{}", text(&first));
    assert_eq!(server.output("cat /srv/shop/told"), "told\nshop\n");
    assert_eq!(
        server.output("id shop").trim(),
        "uid=1901(shop) gid=1900(shop) groups=1900(shop),4(adm)"
    );
    assert_eq!(
        server.output("stat -c '%U:%G %a' /etc/shop/shop.json /srv/shop/data"),
        "root:shop 640\nshop:shop 750\n"
    );
    assert_eq!(
        server.output("readlink /etc/shop/current; cat /opt/tool/bin/tool; cat /opt/page"),
        "shop.json\ntool\nhello"
    );
    assert!(
        server
            .output("cat /etc/cron.d/shop-report")
            .contains("shop /usr/bin/true 50\\%")
    );
    assert_eq!(
        server.output("systemctl is-active shop-clock shop-sweep.timer postgresql"),
        "active\nactive\nactive\n"
    );
    assert!(server.output("getent hosts db").contains("10.9.8.7"));
    let asked = "PGPASSWORD=\"it's a secret\" psql -h 127.0.0.1 -U shop -At shop -c 'select title from books'";
    assert_eq!(server.output(asked), "Emma\n");
    assert!(!server.run("id games || test -e /etc/motd").status.success());

    let second = server.run(&agent);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second));

    server.output(
        "echo '{}' >/etc/shop/shop.json; chown root /srv/shop/data; gpasswd -d shop adm >/dev/null; ln -sfn /tmp /etc/shop/current; \
         systemctl stop shop-clock; rm /etc/cron.d/shop-report; sed -i '/10.9.8.7/d' /etc/hosts || true; echo x >/opt/page; \
         apt-get remove -y -qq tree >/dev/null; echo hi >/etc/motd",
    );
    let planned = plan(&server);
    let third = server.run(&agent);
    assert_eq!(third.status.code(), Some(2), "{}", text(&third));
    foretold(&server, &planned);
    let fourth = server.run(&agent);
    assert_eq!(fourth.status.code(), Some(0), "{}", text(&fourth));
    assert_eq!(server.output("cat /srv/shop/told"), "told\nshop\ntold\nshop\n");
    assert_eq!(
        server.output("systemctl is-active shop-clock; which tree; readlink /etc/shop/current; cat /opt/page"),
        "active\n/usr/bin/tree\nshop.json\nhello"
    );
}

#[test]
fn what_must_not_be_is_refused_and_leaves_everything_as_it_was() {
    let Some(image) = containers::image() else { return };
    let server = server(image);
    let go = |states: Value| {
        server.put("/var/lib/configuration.json", numbered(states, false).as_bytes());
        server.run(AGENT)
    };
    // A node whose environment must not be restored, whatever the compiler said.
    let refused = go(json!([
        {"type": "file", "path": "/etc/before", "content": "x", "mode": "0644"},
        {"type": "database_restore", "database": "shop", "source": "/var/lib/shop.sql"},
    ]));
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert!(text(&refused).contains("must not be restored"), "{}", text(&refused));
    assert!(
        !server.run("test -e /etc/before").status.success(),
        "nothing is done before it is refused"
    );

    // A download that is not what the recipe means is not kept.
    let wrong = "0".repeat(64);
    let refused = go(
        json!([{"type": "download", "path": "/opt/page", "url": "http://127.0.0.1:8123/page", "sha256": wrong, "mode": "0644"}]),
    );
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert_eq!(server.output("ls -A /opt"), "");

    // A file that its own program does not accept does not take the place of a good one.
    let file = |content: &str| json!([{"type": "file", "path": "/etc/shop.json", "content": content, "mode": "0644", "validate": ["python3", "-m", "json.tool", "{}"]}]);
    assert_eq!(go(file("{}\n")).status.code(), Some(2));
    let refused = go(file("{\n"));
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused));
    assert_eq!(
        server.output("cat /etc/shop.json; ls -A /etc | grep -c 'shop.json'"),
        "{}\n1\n"
    );

    // What is only looked at is told and left as it is.
    let looked = go(json!([{"type": "file", "path": "/etc/shop.json", "content": "other\n", "mode": "0644", "audit": true}]));
    assert_eq!(looked.status.code(), Some(0), "{}", text(&looked));
    assert!(text(&looked).contains("differs and is left as it is"), "{}", text(&looked));
    assert_eq!(server.output("cat /etc/shop.json"), "{}\n");
}
