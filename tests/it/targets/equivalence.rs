//! One configuration, four targets, real servers: all end in the same files, packages, users, groups and services.

use super::containers::{self, Container};
use super::{configuration, shown, text};
use greenroom::model::configuration::NodeConfiguration;
use greenroom::recipes::targets::{Options, cloud_init, image, shell};
use serde_json::{Value, json};
use std::time::Duration;

const MANIFEST: &str = include_str!("manifest.py");

/// A service that tells how it was started.
const TELL: &str = r#"import http.server, json, os, sys
class Tell(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = {"arguments": sys.argv[1:], "folder": os.getcwd(), "greeting": os.environ.get("GREETING"), "path": os.environ["PATH"].split(":")[0],
                "conf": open("/etc/shop/shop.conf").read()}
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps(told, sort_keys=True).encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", 8099), Tell).serve_forever()
"#;

fn shop() -> NodeConfiguration {
    let mut states: Vec<Value> = serde_json::from_str(include_str!("shop.json")).unwrap();
    for state in &mut states {
        if state["path"] == "/srv/shop/tell.py" {
            state["content"] = json!(TELL);
        }
    }
    configuration(Value::Array(states))
}

fn manifest(server: &Container) -> Vec<String> {
    server.put("/var/lib/manifest.py", MANIFEST.as_bytes());
    server
        .output("python3 /var/lib/manifest.py")
        .lines()
        .map(str::to_owned)
        .collect()
}

/// What the service tells of itself.
fn told(server: &Container) -> String {
    server.wait(Duration::from_secs(30), "curl -sf http://127.0.0.1:8099/");
    server.output("curl -sf http://127.0.0.1:8099/")
}

fn by_agent(image: &str, states: &NodeConfiguration) -> Container {
    let configuration = serde_json::to_vec(states).unwrap();
    let server = Container::boot(
        image,
        &[("/var/lib/configuration.json", &configuration)],
        &[(env!("CARGO_BIN_EXE_greenroom"), "/usr/local/bin/greenroom")],
    );
    let once = "greenroom agent --once --offline --configuration /var/lib/configuration.json";
    let first = server.run(once);
    assert_eq!(first.status.code(), Some(2), "{}", text(&first));
    let second = server.run(once);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second));
    server
}

fn by_script(image: &str, states: &NodeConfiguration) -> Container {
    let script = shell(states, &Options::default()).unwrap_or_else(|found| panic!("{}", shown(&found)));
    assert_eq!(super::shellcheck(&script), "");
    let server = Container::boot(image, &[("/var/lib/configure", script.as_bytes())], &[]);
    let first = server.run("bash /var/lib/configure");
    assert_eq!(first.status.code(), Some(2), "{}", text(&first));
    let second = server.run("bash /var/lib/configure");
    assert_eq!(second.status.code(), Some(0), "{}", text(&second));
    server
}

fn by_cloud_init(image: &str, states: &NodeConfiguration) -> Container {
    let data = cloud_init(states, None, &Options::default()).unwrap_or_else(|found| panic!("{}", shown(&found)));
    let meta = b"instance-id: i-1\nlocal-hostname: shop-1\n";
    let seed = "/var/lib/cloud/seed/nocloud";
    let files: [(&str, &[u8]); 2] = [
        (&format!("{seed}/user-data"), &data.bytes),
        (&format!("{seed}/meta-data"), meta),
    ];
    let server = Container::boot(image, &files, &[]);
    let checked = server.run(&format!(
        "zcat -f {seed}/user-data >/var/lib/user-data && cloud-init schema --config-file /var/lib/user-data"
    ));
    assert!(checked.status.success(), "{}", text(&checked));
    server.wait(Duration::from_secs(240), "cloud-init status | grep -qE 'done|error'");
    let status = server.run("cloud-init status --long; tail -n 40 /var/log/cloud-init-output.log");
    assert!(text(&status).contains("status: done"), "{}", text(&status));
    // What cloud-init's own keys did is what the whole script would have done.
    let script = shell(states, &Options::default()).unwrap();
    server.put("/var/lib/whole", script.as_bytes());
    let again = server.run("bash /var/lib/whole");
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    server
}

fn by_image(base: &str, states: &NodeConfiguration) -> Container {
    let options = Options {
        base_image: Some(base.to_owned()),
        ..Options::default()
    };
    let context = image(states, &options).unwrap_or_else(|found| panic!("{}", shown(&found)));
    let name = format!("greenroom-test/built:{:08x}", rand::random::<u32>());
    containers::build(&context.tar(), &name);
    let server = Container::boot(&name, &[], &[]);
    containers::remove(&name);
    server
}

type Maker = fn(&str, &NodeConfiguration) -> Container;

#[test]
fn all_targets_end_in_the_same_files_packages_users_and_services() {
    let Some(base) = containers::image() else { return };
    let states = shop();
    let makers: [(&str, Maker); 4] = [
        ("agent", by_agent),
        ("shell", by_script),
        ("cloud-init", by_cloud_init),
        ("image", by_image),
    ];
    let mut ends: Vec<(&str, Vec<String>, String)> = Vec::new();
    for (target, make) in makers {
        let server = make(base, &states);
        let told = told(&server);
        ends.push((target, manifest(&server), told));
    }
    let (_, first, first_told) = &ends[0];
    // The test sees what it compares.
    for seen in [
        "file /etc/shop/shop.conf 0640",
        "folder /srv/shop/static 0750",
        "package git ",
    ] {
        assert!(
            first.iter().any(|line| line.starts_with(seen)),
            "{seen} is not in the manifest"
        );
    }
    for (target, lines, told) in &ends[1..] {
        let missing: Vec<&String> = first.iter().filter(|line| !lines.contains(line)).collect();
        let more: Vec<&String> = lines.iter().filter(|line| !first.contains(line)).collect();
        assert!(
            missing.is_empty() && more.is_empty(),
            "by {target}\nmissing: {missing:#?}\nmore: {more:#?}"
        );
        assert_eq!(told, first_told, "by {target}");
    }
}
