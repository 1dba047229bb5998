//! From a bare machine to a converged node: a real server, real cloud-init, a real systemd, and nothing on the machine before.

use super::containers::{self, Container};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);
const TILL: &str = r#"recipe: till
description: The till of a shop.
params:
  receipt: {type: text, default: "", description: What is printed on every receipt}
states:
  - directory: {path: /srv/till}
  - file: {id: till-receipt, path: /srv/till/receipt, content: "{{ params.receipt }}\n"}
  - service: {name: till, command: [python3, -m, http.server, "8099"], cwd: /srv/till}
"#;

/// A server that containers reach, with an environment and a role that makes a till.
struct Server {
    process: Child,
    folder: tempfile::TempDir,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    async fn start(receipt: &str) -> Self {
        greenroom::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let recipes = folder.path().join("recipes");
        for made in [&data, &recipes] {
            std::fs::create_dir(made).unwrap();
        }
        std::fs::write(recipes.join("till.yaml"), TILL).unwrap();
        let database = format!("sqlite:{}", data.join("greenroom.db").display());
        let token = crate::support::access::token(&database).await;
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_greenroom"))
            .args([
                "--json",
                "serve",
                "--listen",
                &format!("{}:0", containers::gateway()),
                "--data",
            ])
            .arg(&data)
            .env("GREENROOM_SERVER_LOG", "debug")
            .env("GREENROOM_ORGANISATION_RECIPES", &recipes)
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        let server = Self {
            process,
            folder,
            url: said["url"].as_str().unwrap_or_default().to_owned(),
            token,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        assert!(!server.url.is_empty(), "the server does not start:\n{}", server.log());
        let recipes = json!([{ "name": "till", "with": { "receipt": receipt } }]);
        server.save("Environment", "production", json!({})).await;
        server.save("Datacenter", "dc1", json!({})).await;
        server.save("Role", "till", json!({ "recipes": recipes })).await;
        for name in ["till-1", "till-2"] {
            let spec = json!({ "environment": "production", "datacenter": "dc1", "roles": ["till"] });
            server.save("Node", name, spec).await;
        }
        server
    }

    async fn save(&self, kind: &str, name: &str, spec: Value) {
        let object = json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        let url = format!("{}/api/v1/{}s/{name}", self.url, kind.to_lowercase());
        let answer = self
            .http
            .put(url)
            .bearer_auth(&self.token)
            .json(&object)
            .send()
            .await
            .unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
    }

    async fn get(&self, path: &str) -> Value {
        let asked = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        asked.send().await.unwrap().json().await.unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command
            .args(arguments)
            .env("GREENROOM_SERVER", &self.url)
            .env("GREENROOM_TOKEN", &self.token);
        command.output().unwrap()
    }

    fn good(&self, arguments: &[&str]) -> String {
        let ran = self.command(arguments);
        assert!(ran.status.success(), "{arguments:?}: {}", super::text(&ran));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Waits until the agent of a node has done all that is wanted of it; gives what the server says of it.
    async fn converged(&self, name: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let agents = self.get("/api/v1/agents").await;
            let agent = agents["items"]
                .as_array()
                .and_then(|all| all.iter().find(|agent| agent["name"] == name));
            if let Some(agent) = agent.filter(|agent| agent["up_to_date"] == true) {
                return agent.clone();
            }
            assert!(Instant::now() < deadline, "{agents:#}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Text that hardly can be compressed.
fn long_receipt() -> String {
    let mut text = String::new();
    while text.len() < 48_000 {
        text.push_str(&greenroom::model::secret::make(""));
    }
    text
}

fn service(machine: &Container) -> String {
    machine.wait(PATIENCE, "curl -sf http://127.0.0.1:8099/receipt");
    machine.output("pgrep -f '[h]ttp.server 8099'").trim().to_owned()
}

fn agent(machine: &Container) -> String {
    machine.wait(PATIENCE, "systemctl is-active greenroom-agent");
    machine
        .output("systemctl show -p MainPID --value greenroom-agent")
        .trim()
        .to_owned()
}

fn cloud_init_is_done(machine: &Container) {
    machine.wait(PATIENCE, "cloud-init status | grep -qE 'done|error'");
    let said = machine.run("cloud-init status --long; tail -n 60 /var/log/cloud-init-output.log");
    let said = super::text(&said);
    assert!(said.contains("status: done"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_user_data_comes_from_the_server_by_an_agent_that_outlives_restarts() {
    let Some(image) = containers::image() else { return };
    let server = Server::start(&long_receipt()).await;
    let refused = server.command(&["node", "render", "till-1", "--target", "cloud-init"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        super::text(&refused).contains("user-data-too-long"),
        "{}",
        super::text(&refused)
    );
    let stub = server.good(&["node", "boot", "till-1", "--without-agent", "--print", "user-data"]);
    assert!(stub.starts_with("#cloud-config\n") && stub.len() < 4096, "{stub}");
    let machine = Container::boot(
        image,
        &[
            ("/var/lib/cloud/seed/nocloud/user-data", stub.as_bytes()),
            (
                "/var/lib/cloud/seed/nocloud/meta-data",
                b"instance-id: i-1\nlocal-hostname: till-1\n",
            ),
        ],
        &[],
    );
    cloud_init_is_done(&machine);
    let registered = server.converged("till-1").await;
    let (before, first) = (service(&machine), agent(&machine));
    let hash = machine.output("sha256sum </usr/local/bin/greenroom");
    assert_eq!(
        hash.split_whitespace().next().unwrap(),
        sha256(Path::new(env!("CARGO_BIN_EXE_greenroom")))
    );
    machine.output("test ! -e /etc/greenroom/token && test -d /var/lib/greenroom-agent && ! pgrep -af '[g]rn_'");

    machine.output("systemctl restart greenroom-agent");
    assert_ne!(agent(&machine), first);
    machine.wait(PATIENCE, "greenroom agent status | grep -q holds");
    assert_eq!(service(&machine), before, "what the agent supervises goes on");
    let second = agent(&machine);
    machine.output("systemctl reload greenroom-agent");
    machine.wait(PATIENCE, "journalctl -u greenroom-agent | grep -q 'goes over to the program'");
    machine.wait(PATIENCE, "greenroom agent status | grep -q holds");
    assert_eq!((agent(&machine), service(&machine)), (second, before));
    let again = machine.output(&format!("greenroom agent install --server {} --name till-1", server.url));
    assert!(again.contains("All was as it should be"), "{again}");

    machine.reboot();
    assert_ne!(agent(&machine), first);
    service(&machine);
    let now = server.converged("till-1").await;
    assert_eq!(now["id"], registered["id"], "it is the same node");

    let running = service(&machine);
    let gone = super::text(&machine.run("greenroom agent uninstall"));
    assert!(gone.contains("Removed") && gone.contains("goes on: till"), "{gone}");
    machine
        .output("! systemctl cat greenroom-agent && test ! -e /usr/local/bin/greenroom && test -e /var/lib/greenroom-agent/key");
    assert_eq!(service(&machine), running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_kernel_is_told_an_address_becomes_the_node() {
    let Some(image) = containers::image() else { return };
    let server = Server::start("thank you").await;
    let kernel = server.good(&["node", "boot", "till-2", "--print", "kernel"]);
    let kernel = kernel.trim();
    let seed = kernel.strip_prefix("ds=nocloud;dsmode=net;s=").unwrap();
    assert!(seed.starts_with(&server.url) && seed.ends_with('/'), "{kernel}");
    let machine = Container::boot_with(image, &[], &[], &[kernel]);
    cloud_init_is_done(&machine);
    server.converged("till-2").await;
    assert_eq!(machine.output("cat /srv/till/receipt"), "thank you\n");
    assert_eq!(machine.output("hostname").trim(), "till-2");
    assert!(machine.output("cat /var/lib/cloud/data/instance-id").starts_with("iid-"));
    service(&machine);
    let log = server.good(&["node", "log", "till-2"]);
    assert!(
        log.contains("Applying 3 states") && log.contains("Everything is as it should be"),
        "{log}"
    );
    let changes = server.good(&["node", "reports", "till-2", "--changes"]);
    assert!(changes.contains("till-receipt: changed, intentional, written"), "{changes}");
    // Whoever finds the address later cannot become the node, and nobody finds it in the log.
    let token = seed.trim_end_matches('/').rsplit('/').next().unwrap();
    let log = server.log();
    assert!(log.contains("/nocloud/") && !log.contains(token), "the address is in the log");
    let other = Container::boot(image, &[], &[(env!("CARGO_BIN_EXE_greenroom"), "/usr/local/bin/agent")]);
    let install = format!(
        "GREENROOM_NODE_TOKEN={token} timeout 60 agent agent install --server {} --name till-2",
        server.url
    );
    let refused = super::text(&other.run(&install));
    assert!(refused.contains("It has not registered yet"), "{refused}");
    other.wait(PATIENCE, "journalctl -u greenroom-agent | grep -q 'not registered yet'");
}

fn sha256(file: &Path) -> String {
    greenroom::model::secret::hash_all(std::fs::File::open(file).unwrap())
        .unwrap()
        .1
}
