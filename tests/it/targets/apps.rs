//! The shipped recipes for apps, each with a small app of its kind on a plain Debian server: built from its checkout, kept
//! running, and answering.

use super::containers::{self, Container};
use super::text;
use greenroom::model::configuration::{Layout, NodeConfiguration};
use greenroom::recipes::view::View;
use greenroom::recipes::{Bundle, compile};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const BOOT: Duration = Duration::from_secs(60);
const FILES: u16 = 7999;

struct App {
    name: &'static str,
    port: u16,
    // What its pages say.
    says: &'static str,
    recipe: Value,
    command: Option<Value>,
    files: &'static [(&'static str, &'static str)],
    // What else makes its repository.
    script: &'static str,
}

// A wheel as pip takes it, without a build tool.
const WHEEL: &str = r#"python3 - <<'END'
import zipfile
with zipfile.ZipFile("greeting-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("greeting.py", "TEXT = 'hello from a wheel'\n")
    wheel.writestr("greeting-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    wheel.writestr("greeting-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("greeting-1.0.dist-info/RECORD", "greeting.py,,\ngreeting-1.0.dist-info/METADATA,,\n"
        "greeting-1.0.dist-info/WHEEL,,\ngreeting-1.0.dist-info/RECORD,,\n")
END"#;

const PYTHON: &str = "\
import sys, greeting
from http.server import BaseHTTPRequestHandler, HTTPServer

class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(greeting.TEXT.encode())

HTTPServer(('127.0.0.1', int(sys.argv[1])), Pages).serve_forever()
";

const NODE: &str = "\
const greeting = require('greeting');
require('http').createServer((_, answer) => answer.end(greeting.text)).listen(Number(process.argv[2]), '127.0.0.1');
";

const RUBY: &str = "\
require 'bundler/setup'
require 'greeting'
require 'socket'
server = TCPServer.new('127.0.0.1', Integer(ARGV[0]))
loop do
  client = server.accept
  while (line = client.gets) && line != \"\\r\\n\"; end
  client.write \"HTTP/1.1 200 OK\\r\\nContent-Length: #{Greeting::TEXT.bytesize}\\r\\nConnection: close\\r\\n\\r\\n#{Greeting::TEXT}\"
  client.close
end
";

fn apps(sha256: &str) -> Vec<App> {
    vec![
        App {
            name: "python-shop",
            port: 8101,
            says: "hello from a wheel",
            recipe: json!({ "name": "python-app" }),
            command: Some(json!(["python3", "app.py", "{{ ports.web }}"])),
            files: &[("app.py", PYTHON), ("requirements.txt", "./greeting-1.0-py3-none-any.whl\n")],
            script: WHEEL,
        },
        App {
            name: "node-shop",
            port: 8102,
            says: "hello from a package",
            recipe: json!({ "name": "node-app" }),
            command: Some(json!(["node", "app.js", "{{ ports.web }}"])),
            files: &[
                ("app.js", NODE),
                (
                    "greeting/package.json",
                    r#"{"name": "greeting", "version": "1.0.0", "main": "index.js"}"#,
                ),
                ("greeting/index.js", "exports.text = 'hello from a package';\n"),
                (
                    "package.json",
                    r#"{"name": "node-shop", "version": "1.0.0", "dependencies": {"greeting": "file:greeting"}}"#,
                ),
                (
                    "package-lock.json",
                    r#"{"name": "node-shop", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
                        "": {"name": "node-shop", "version": "1.0.0", "dependencies": {"greeting": "file:greeting"}},
                        "greeting": {"version": "1.0.0"},
                        "node_modules/greeting": {"resolved": "greeting", "link": true}}}"#,
                ),
            ],
            script: "true",
        },
        App {
            name: "rack-shop",
            port: 8103,
            says: "hello from a gem",
            recipe: json!({ "name": "rack-app" }),
            command: Some(json!(["ruby", "app.rb", "{{ ports.web }}"])),
            files: &[
                ("app.rb", RUBY),
                ("Gemfile", "gem 'greeting', path: 'greeting'\n"),
                (
                    "greeting/lib/greeting.rb",
                    "module Greeting\n  TEXT = 'hello from a gem'\nend\n",
                ),
                (
                    "greeting/greeting.gemspec",
                    "Gem::Specification.new do |s|\n  s.name = 'greeting'\n  s.version = '1.0'\n  s.summary = 'a greeting'\n  \
                     s.authors = ['test']\n  s.files = ['lib/greeting.rb']\nend\n",
                ),
            ],
            script: "true",
        },
        App {
            name: "static-shop",
            port: 8104,
            says: "hello from a page",
            recipe: json!({ "name": "static-site", "with": { "folder": "pages" } }),
            command: None,
            files: &[("pages/index.html", "hello from a page\n")],
            script: "true",
        },
        App {
            name: "binary-shop",
            port: 8105,
            says: "hello from a program",
            recipe: json!({ "name": "binary-app", "with": {
                "url": format!("http://127.0.0.1:{FILES}/program"), "sha256": sha256 } }),
            command: Some(json!(["binary-shop", "{{ ports.web }}"])),
            files: &[("pages/index.html", "hello from a program\n")],
            script: "true",
        },
    ]
}

// The app in a repository of the machine's own, and the commit.
fn repository(server: &Container, app: &App) -> String {
    let place = format!("/srv/git/{}", app.name);
    for (path, text) in app.files {
        server.put(&format!("{place}/{path}"), text.as_bytes());
    }
    let made = format!(
        "cd {place} || exit 1\n{}\ngit init --quiet -b main . && git add --all && \
         git -c user.name=Test -c user.email=test@example.org commit --quiet -m first && git rev-parse HEAD",
        app.script
    );
    server.output(&made).trim().to_owned()
}

fn view(app: &App, commit: &str) -> View {
    let mut spec = json!({ "type": "service", "owners": { "dev": "team-shop", "ops": "platform" },
        "repository": format!("/srv/git/{}", app.name), "recipes": [app.recipe], "ports": { "web": { "public": true } } });
    if let Some(command) = &app.command {
        spec["processes"] = json!({ "web": { "command": command } });
    }
    let document = json!({ "apiVersion": "greenroom/v1", "kind": "App", "metadata": { "name": app.name }, "spec": spec });
    let (descriptor, found) = greenroom::recipes::descriptor::parse("app.json", document.to_string().as_bytes());
    let descriptor = descriptor.unwrap_or_else(|| panic!("{}", super::shown(&found)));
    let mut view = View::example(&descriptor, &BTreeMap::new());
    view.stack = None;
    view.node.layout = Layout::of_servers();
    view.node.confined_to = None;
    view.node.installs_packages = true;
    let here = &mut view.apps[0];
    commit.clone_into(&mut here.release.commit);
    here.release.repository = format!("/srv/git/{}", app.name);
    here.ports = BTreeMap::from([("web".to_owned(), app.port)]);
    view
}

fn compiled(views: Vec<View>) -> NodeConfiguration {
    let mut views = views.into_iter();
    let mut all = views.next().unwrap();
    all.apps.extend(views.flat_map(|view| view.apps));
    match compile(&Bundle::shipped(), &all) {
        Ok(compiled) => compiled.configuration,
        Err(found) => panic!("{}", super::shown(&found)),
    }
}

#[test]
fn an_app_of_each_kind_is_built_from_its_checkout_and_answers() {
    let Some(image) = containers::image() else { return };
    let program = (env!("CARGO_BIN_EXE_greenroom"), "/usr/local/bin/greenroom");
    let server = Container::boot(image, &[], &[program]);
    server.output("apt-get -qq update && apt-get -qq install --yes --no-install-recommends git python3 curl >&2");
    let script = "#!/bin/sh\nexec python3 -m http.server --bind 127.0.0.1 --directory pages \"$1\"\n";
    server.put("/srv/files/program", script.as_bytes());
    let sha256 = server.output("sha256sum /srv/files/program | cut -d ' ' -f 1");
    server.output(&format!(
        "systemd-run --quiet python3 -m http.server --bind 127.0.0.1 --directory /srv/files {FILES}"
    ));
    server.wait(BOOT, &format!("curl -sf http://127.0.0.1:{FILES}/program >&2"));
    let apps = apps(sha256.trim());
    let views = apps.iter().map(|app| view(app, &repository(&server, app))).collect();
    server.put("/var/lib/configuration.json", &serde_json::to_vec(&compiled(views)).unwrap());
    let once = "greenroom agent --once --offline --configuration /var/lib/configuration.json";
    let first = server.run(once);
    assert_eq!(first.status.code(), Some(2), "{}", text(&first));
    for app in &apps {
        server.wait(
            BOOT,
            &format!("curl -sf http://127.0.0.1:{}/ | grep -q '{}'", app.port, app.says),
        );
    }
    let second = server.run(once);
    assert_eq!(second.status.code(), Some(0), "{}", text(&second));
}
