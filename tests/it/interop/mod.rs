//! Other tools ask the inventory: the real Ansible, Puppet and Prometheus, and what Backstage reads and writes.

mod ansible;
mod backstage;
mod prometheus;
mod puppet;
mod puppet_agent;

use crate::launches::stage::Stage;
use greenroom::model::inventory::{Object, ObjectKind};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A server with a small company in its inventory: two web nodes and a database, in two datacenters.
struct Company {
    stage: Stage,
}

impl Company {
    async fn open(first_port: u16) -> Self {
        let stage = Stage::open(first_port).await;
        let company = Self { stage };
        company.save("Datacenter", "dc-north", json!({})).await;
        company
            .save("Datacenter", "dc-south", json!({"standbyFor": "dc-north"}))
            .await;
        let production = json!({"values": {"puppet_classes": {"motd": {"text": "from the environment", "loud": false}}}});
        company.save("Environment", "production", production).await;
        company
            .save("Role", "web", json!({"values": {"puppet_classes": ["tools"]}}))
            .await;
        company.save("Role", "database", json!({})).await;
        for (name, datacenter, address) in [("web-1", "dc-north", "127.0.0.1"), ("web-2", "dc-south", "127.0.0.2")] {
            let spec = json!({
                "datacenter": datacenter, "environment": "production", "roles": ["web"],
                "addresses": {"private": address},
                "values": {"greeting": format!("hello from {name}"), "puppet_classes": {"motd": {"text": format!("this is {name}")}}},
            });
            company.save("Node", name, spec).await;
        }
        let spec = json!({
            "datacenter": "dc-north", "environment": "production", "roles": ["database"], "addresses": {"private": "fd00::7"},
            "maintenance": {"reason": "a disk is changed"},
        });
        company.save("Node", "db-1", spec).await;
        company
    }

    async fn save(&self, kind: &str, name: &str, spec: Value) {
        let body = json!({"apiVersion": "greenroom/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let object = Object::from_json(ObjectKind::of(kind).unwrap(), &body.to_string()).unwrap();
        let store = &self.stage.running.control.store;
        let mut tx = store.write(&self.stage.admin, "object.save", name).await.unwrap();
        let version = tx
            .object_version(object.kind(), name)
            .await
            .unwrap()
            .map_or(1, |(v, _)| v + 1);
        tx.put_object(&object, version, "test", "").await.unwrap();
        tx.commit().await.unwrap();
    }

    fn folder(&self) -> &Path {
        self.stage.folder.path()
    }

    fn url(&self) -> String {
        self.stage.running.url.replace("localhost", "127.0.0.1")
    }

    /// A program that calls ours with these arguments and its own, as tools that take one file want it.
    fn script(&self, name: &str, arguments: &str) -> PathBuf {
        let path = self.folder().join(name);
        let text = format!(
            "#!/bin/sh\nGREENROOM_SERVER={} GREENROOM_TOKEN={} HOME={} XDG_CACHE_HOME= exec {} {arguments} \"$@\"\n",
            self.url(),
            self.stage.token,
            self.folder().display(),
            env!("CARGO_BIN_EXE_greenroom"),
        );
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        path
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.url());
        self.stage.http.get(url).bearer_auth(&self.stage.token).send().await.unwrap()
    }
}

/// Where a program is. Missing, it fails the tests in CI; elsewhere it says so, and the test is left out.
fn program(name: &str, folders: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let also = std::env::var_os(format!("GREENROOM_{}", name.to_uppercase().replace('-', "_")));
    let found = also.map(PathBuf::from).into_iter().chain(
        std::env::split_paths(&path)
            .chain(folders.iter().map(PathBuf::from))
            .map(|folder| folder.join(name)),
    );
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is missing; tests/all installs it");
        let _ = writeln!(std::io::stderr(), "left out: {name} is missing; tests/all installs it");
    }
    found
}

/// Runs it without blocking the server that it asks, and gives what it printed.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn out(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
