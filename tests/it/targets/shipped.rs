//! The shipped recipes, applied to a plain Debian server in a container: what they set up answers.

use super::containers::{self, Container};
use super::text;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::descriptor::Descriptor;
use greenroom::model::inventory::Role;
use greenroom::recipes::view::View;
use greenroom::recipes::{Bundle, compile, run_list, values};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const BOOT: Duration = Duration::from_secs(60);

/// What these recipes compile to on a machine of its own.
fn compiled(recipes: &Value) -> NodeConfiguration {
    let role: Role = serde_json::from_value(
        json!({"apiVersion": "greenroom/v1", "kind": "Role", "metadata": {"name": "all"}, "spec": {"recipes": recipes}}),
    )
    .unwrap();
    let mut view = View::example(&app(), &BTreeMap::new());
    view.apps.clear();
    view.stack = None;
    view.node.confined_to = None;
    view.node.installs_packages = true;
    view.node.name = "shop-1".to_owned();
    view.run_list = run_list::expand(&["all"], &|_| Some(&role), &[]).unwrap();
    view.layers = values::role(&role);
    match compile(&Bundle::shipped(), &view) {
        Ok(compiled) => compiled.configuration,
        Err(found) => panic!("{}", super::shown(&found)),
    }
}

fn app() -> Descriptor {
    let document = json!({"apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": "shop"}, "spec": {"type": "service",
        "owners": {"dev": "team-shop", "ops": "platform"}, "repository": "/srv/git/shop.git", "recipes": [{"name": "python-app"}],
        "processes": {"web": {"command": ["python3", "app.py"]}}, "ports": {"web": {"public": true}}}});
    let (descriptor, found) = greenroom::recipes::descriptor::parse("shop.json", document.to_string().as_bytes());
    descriptor.unwrap_or_else(|| panic!("{}", super::shown(&found)))
}

fn applied(server: &Container, states: &NodeConfiguration) {
    server.put("/var/lib/configuration.json", &serde_json::to_vec(states).unwrap());
    let once = "greenroom agent --once --offline --configuration /var/lib/configuration.json";
    let first = server.run(once);
    assert_eq!(first.status.code(), Some(2), "{}", text(&first));
    let second = server.run(once);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second));
}

fn server(image: &str) -> Container {
    // Debian's unit of redis asks for users of its own, which the kernel does not give to a container.
    let relaxed: (&str, &[u8]) = (
        "/etc/systemd/system/redis-server.service.d/container.conf",
        b"[Service]\nPrivateUsers=no\n",
    );
    let program = (env!("CARGO_BIN_EXE_greenroom"), "/usr/local/bin/greenroom");
    Container::boot(image, &[relaxed], &[program])
}

fn version(server: &Container) -> String {
    let said = server.output(
        "apt-cache policy postgresql | grep Candidate: || { apt-get -qq update; apt-cache policy postgresql | grep Candidate:; }",
    );
    said.trim()
        .trim_start_matches("Candidate: ")
        .split('+')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn the_shipped_recipes_set_up_a_server_whose_services_answer() {
    let Some(image) = containers::image() else { return };
    let server = server(image);
    let postgresql = version(&server);
    let states = compiled(&json!([
        {"name": "base", "with": {"timezone": "Europe/Berlin", "people": [{"name": "ada", "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE ada"]}]}},
        {"name": "nginx", "with": {"site": "shop", "port": 8081}},
        {"name": "haproxy", "with": {"port": 8082, "servers": ["127.0.0.1:8081"]}},
        {"name": "postgresql", "with": {"version": postgresql, "databases": [{"name": "shop", "owner": "shop"}], "standbys": ["127.0.0.1/32"]}},
        {"name": "redis"},
        {"name": "memcached"},
        {"name": "cron", "with": {"jobs": [{"name": "mark", "schedule": "* * * * *", "command": ["touch", "/var/tmp/cron-ran"]}]}},
        {"name": "backup", "with": {"folders": ["/etc/nginx"], "databases": ["shop"]}},
        {"name": "node-exporter"},
    ]));
    applied(&server, &states);
    server.put("/var/www/html/index.html", b"nginx serves this\n");
    server.wait(BOOT, "curl -sf http://127.0.0.1:8081/ | grep -q nginx");
    server.wait(BOOT, "curl -sf http://127.0.0.1:8082/ | grep -q nginx");
    server.wait(BOOT, "curl -sf http://127.0.0.1:9100/metrics | grep -q node_load1");
    assert_eq!(server.output("redis-cli set a 1 && redis-cli get a"), "OK\n1\n");
    server.output("exec 3<>/dev/tcp/127.0.0.1/11211; printf 'version\\r\\nquit\\r\\n' >&3; grep -q VERSION <&3");
    let owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'";
    assert_eq!(
        server.output(&format!("su postgres -c \"psql -Atc \\\"{owner}\\\"\"")).trim(),
        "shop"
    );
    server.output("greenroom-backup && tar -tzf /var/backups/greenroom/folders-*.tar.gz | grep -q nginx.conf && ls /var/backups/greenroom/shop-*.dump");
    server.output("id -nG ada | grep -qw operators && sudo -l -U ada | grep -q NOPASSWD && test \"$(date +%Z)\" != UTC");
    server.output("logrotate -d /etc/logrotate.d/greenroom-apps && sshd -T | grep -q 'passwordauthentication no'");
    server.wait(Duration::from_secs(90), "test -e /var/tmp/cron-ran");
}

#[test]
fn a_standby_follows_its_primary_and_can_take_its_place() {
    let Some(image) = containers::image() else { return };
    let (primary, standby) = (server(image), server(image));
    let postgresql = version(&primary);
    let access = json!({"version": postgresql, "listen": "*", "standbys": ["172.16.0.0/12"], "standby_method": "trust"});
    let mut main = access.clone();
    main["databases"] = json!([{"name": "shop", "owner": "shop"}]);
    applied(&primary, &compiled(&json!([{"name": "postgresql", "with": main}])));
    let mut follower = access;
    follower["primary"] = json!(primary.address());
    applied(
        &standby,
        &compiled(&json!([{"name": "postgresql-standby", "with": follower}])),
    );
    let sql =
        |server: &Container, statement: &str| server.output(&format!("su postgres -c \"psql -At -d shop -c '{statement}'\""));
    sql(&primary, "CREATE TABLE orders (id int)");
    sql(&primary, "INSERT INTO orders VALUES (7)");
    standby.wait(
        BOOT,
        "su postgres -c \"psql -At -d shop -c 'SELECT id FROM orders'\" | grep -q 7",
    );
    assert_eq!(sql(&standby, "SELECT pg_is_in_recovery()").trim(), "t");
    sql(&standby, "SELECT pg_promote()");
    sql(&standby, "INSERT INTO orders VALUES (8)");
}

#[test]
fn the_shipped_recipes_do_nothing_to_a_sandbox_that_they_must_not() {
    let mut view = View::example(&app(), &BTreeMap::new());
    let role: Role = serde_json::from_value(
        json!({"apiVersion": "greenroom/v1", "kind": "Role", "metadata": {"name": "base"},
        "spec": {"recipes": [{"name": "base"}]}}),
    )
    .unwrap();
    view.run_list = run_list::expand(&["base"], &|_| Some(&role), &[]).unwrap();
    let compiled = compile(&Bundle::shipped(), &view).unwrap_or_else(|found| panic!("{}", super::shown(&found)));
    assert!(compiled.configuration.states.iter().all(|state| state.app.is_some()));
}
