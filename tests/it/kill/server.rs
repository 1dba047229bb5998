//! A real server process with one small app, and the life of one stack on it.

use crate::support::database::TestDatabase;
use greenroom::wire::stacks::{Accepted, StackView};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is started and killed many times over the same data.
#[derive(Debug)]
pub struct Server {
    folder: tempfile::TempDir,
    database: Option<TestDatabase>,
    first_port: u16,
    process: Option<Child>,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Server {
    /// Makes the app's repository, an account with a token, and the app itself.
    pub async fn new(database: Option<TestDatabase>, first_port: u16) -> Self {
        greenroom::tls::install();
        let folder = tempfile::tempdir().unwrap();
        make_repository(&folder.path().join("greeter.git"));
        let mut server = Self {
            folder,
            database,
            first_port,
            process: None,
            url: String::new(),
            token: String::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        server.token = crate::support::access::token(&server.database_url()).await;
        server.start(None).await;
        let descriptor = json!({
            "apiVersion": "greenroom/v1", "kind": "App",
            "metadata": {"name": "greeter"},
            "spec": {
                "type": "website", "owners": {"dev": "a", "ops": "b"},
                "repository": server.folder.path().join("greeter.git").display().to_string(),
                "recipes": [{"name": "python-app"}],
                "processes": {"web": {"command": ["python3", "-u", "app.py"]}},
                "ports": {"http": {"public": true}},
                "env": {"PORT": {"value": "{{ ports.http }}"}},
                "readinessProbe": {"httpGet": {"path": "/"}},
            }
        });
        let saved = server.post("/api/v1/apps", &descriptor).await;
        assert!(saved.get("name").is_some(), "{saved}");
        server
    }

    fn database_url(&self) -> String {
        if let Some(database) = &self.database {
            database.url.clone()
        } else {
            std::fs::create_dir_all(self.data()).unwrap();
            format!("sqlite:{}", self.data().join("greenroom.db").display())
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the server; it dies at `crash` where one is given.
    pub async fn start(&mut self, crash: Option<&str>) {
        self.kill();
        // The same at each start, as a server's is: agents know no other.
        let port = self.first_port + 19;
        self.url = format!("http://127.0.0.1:{port}");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("server.log"))
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(self.data())
            .env("GREENROOM_SANDBOX_FIRST_PORT", self.first_port.to_string())
            .env("GREENROOM_SANDBOX_LAST_PORT", (self.first_port + 18).to_string())
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if self.database.is_some() {
            command.env("DATABASE_URL", self.database_url());
        }
        if let Some(point) = crash {
            command.env("GREENROOM_CRASH_AT", point);
        }
        self.process = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self
                .http
                .get(format!("{}/healthz", self.url))
                .send()
                .await
                .is_ok_and(|a| a.status().is_success())
            {
                return;
            }
            // One that is told to crash may die of what it finds at its start.
            if crash.is_some() && self.is_dead() {
                return;
            }
            assert!(Instant::now() < deadline, "the server does not start:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_dead(&mut self) -> bool {
        self.process
            .as_mut()
            .is_none_or(|process| process.try_wait().unwrap().is_some())
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// What the server and the agents have logged so far.
    pub fn log(&self) -> String {
        let mut text = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        for node in std::fs::read_dir(self.data().join("sandboxes"))
            .into_iter()
            .flatten()
            .flatten()
        {
            text.push_str("== an agent:\n");
            text += &std::fs::read_to_string(node.path().join("agent/agent.log")).unwrap_or_default();
        }
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self
            .http
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .json(body)
            .send()
            .await;
        // A server that dies before it answers gives nothing; what it stored is found later.
        match answer {
            Ok(answer) => answer.json().await.unwrap_or(Value::Null),
            Err(_) => Value::Null,
        }
    }

    async fn stack(&self, name: &str) -> Option<StackView> {
        let answer = self
            .http
            .get(format!("{}/api/v1/stacks/{name}", self.url))
            .bearer_auth(&self.token)
            .send()
            .await
            .ok()?;
        answer.json().await.ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        for pid in processes_below(self.folder.path()) {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL);
        }
    }
}

/// One stack from its launch to its end.
#[derive(Debug)]
pub struct Life {
    server: Server,
    name: &'static str,
}

impl Life {
    /// A life that has not begun.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            name: "mortal-stack",
        }
    }

    /// Launches at v1 on a server that dies at `crash`.
    pub async fn launch(&mut self, crash: &str) {
        let request = json!({
            "name": self.name, "apps": [{"app": "greeter", "revision": "v1"}], "idempotency_key": "one"
        });
        self.through_a_crash("launch", crash, "/api/v1/stacks".into(), request).await;
        self.serves("launch", crash, "hello from version 1").await;
    }

    /// Updates to v2 on a server that dies at `crash`.
    pub async fn update(&mut self, crash: &str) {
        let request = json!({"apps": [{"app": "greeter", "revision": "v2"}]});
        self.through_a_crash("update", crash, format!("/api/v1/stacks/{}/update", self.name), request)
            .await;
        self.serves("update", crash, "hello from version 2").await;
    }

    /// Puts it to sleep on a server that dies at `crash`: nothing runs, and its folder stays.
    pub async fn stop(&mut self, crash: &str) {
        let path = format!("/api/v1/stacks/{}/stop", self.name);
        self.through_a_crash("stop", crash, path, Value::Null).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stack = self.server.stack(self.name).await;
            if stack.as_ref().is_some_and(|s| s.state.as_str() == "stopped") {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "stop after {crash} never ended: {stack:#?}\n{}",
                self.server.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            (self.count("agent"), self.count("app.py"), self.sandboxes()),
            (0, 0, 1),
            "stop after {crash}: {}",
            self.lines()
        );
    }

    /// Wakes it on a server that dies at `crash`.
    pub async fn start(&mut self, crash: &str) {
        let path = format!("/api/v1/stacks/{}/start", self.name);
        self.through_a_crash("start", crash, path, Value::Null).await;
        self.serves("start", crash, "hello from version 2").await;
    }

    /// Gives it a new server, on a server that dies at `crash`.
    pub async fn rebuild(&mut self, crash: &str) {
        let path = format!("/api/v1/stacks/{}/rebuild", self.name);
        self.through_a_crash("rebuild", crash, path, Value::Null).await;
        self.serves("rebuild", crash, "hello from version 2").await;
    }

    async fn through_a_crash(&mut self, what: &str, crash: &str, path: String, request: Value) {
        self.server.start(Some(crash)).await;
        let answer = self.server.post(&path, &request).await;
        let accepted = serde_json::from_value::<Accepted>(answer.clone()).is_ok();
        self.wait_for_death(what, crash, &answer).await;
        self.server.start(None).await;
        if !accepted {
            // The answer was lost, as on any network: the same launch again is the same one, and an update that is under way
            // already is refused.
            self.server.post(&path, &request).await;
        }
    }

    async fn wait_for_death(&mut self, what: &str, crash: &str, answer: &Value) {
        let deadline = Instant::now() + PATIENCE;
        while !self.server.is_dead() {
            assert!(
                Instant::now() < deadline,
                "the {what} never came to {crash}: {answer}\n{:#?}\n{}",
                self.server.stack(self.name).await,
                self.server.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn serves(&self, what: &str, crash: &str, page: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stack = self.server.stack(self.name).await;
            if let Some(stack) = &stack {
                assert!(
                    !["failed", "tainted"].contains(&stack.state.as_str()),
                    "{what} after {crash}: {:?} {:?}\n{}",
                    stack.state,
                    stack.fault,
                    self.server.log()
                );
                // What follows once it serves is part of it: the old server of a rebuild goes.
                let ended = stack.run.as_ref().is_none_or(|run| run.state.is_ended());
                if stack.state.as_str() == "ready" && ended {
                    let text = reqwest::get(stack.links[0].direct()).await.unwrap().text().await.unwrap();
                    assert!(
                        text.contains(page),
                        "{what} after {crash}: {text}\n{stack:#?}\n{}",
                        self.server.log()
                    );
                    break;
                }
            }
            assert!(
                Instant::now() < deadline,
                "{what} after {crash} never ended: {stack:#?}\n{}",
                self.server.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let agents = self.count("agent");
        let apps = self.count("app.py");
        assert_eq!(
            (agents, apps),
            (1, 1),
            "one agent and one app process, {what} after {crash}: {}",
            self.lines()
        );
        assert_eq!(self.sandboxes(), 1, "one sandbox, {what} after {crash}");
    }

    /// Destroys on a server that dies at `crash`; nothing is left.
    pub async fn destroy(&mut self, crash: &str) {
        self.server.start(Some(crash)).await;
        let answer = self
            .server
            .http
            .delete(format!("{}/api/v1/stacks/{}", self.server.url, self.name))
            .bearer_auth(&self.server.token)
            .send()
            .await;
        let accepted = answer.is_ok();
        let said = match answer {
            Ok(answer) => Value::String(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default())),
            Err(_) => Value::Null,
        };
        self.wait_for_death("destroy", crash, &said).await;
        self.server.start(None).await;
        if !accepted {
            let _ = self
                .server
                .http
                .delete(format!("{}/api/v1/stacks/{}", self.server.url, self.name))
                .bearer_auth(&self.server.token)
                .send()
                .await;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stack = self.server.stack(self.name).await;
            if stack.as_ref().is_some_and(|s| s.state.as_str() == "destroyed") {
                break;
            }
            assert!(
                Instant::now() < deadline,
                "destroy after {crash} never ended: {stack:#?}\n{}",
                self.server.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.server.kill();
        assert_eq!(self.sandboxes(), 0, "a folder is left, destroy after {crash}");
        let left = processes_below(self.server.folder.path());
        assert!(left.is_empty(), "processes are left, destroy after {crash}: {left:?}");
    }

    fn sandboxes(&self) -> usize {
        let Ok(all) = std::fs::read_dir(self.server.data().join("sandboxes")) else {
            return 0;
        };
        all.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("nod_"))
            .count()
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for pid in processes_below(self.server.folder.path()) {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(&line).replace('\0', " "));
        }
        text
    }

    // Processes whose command line holds this word; a wrapper that only starts and watches one does not count.
    fn count(&self, word: &str) -> usize {
        let mine = processes_below(self.server.folder.path());
        mine.iter()
            .filter(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
                let program = words
                    .first()
                    .map(|w| String::from_utf8_lossy(w).into_owned())
                    .unwrap_or_default();
                let wrapper = program.ends_with("bwrap") || words.contains(&b"--keep".as_slice());
                !wrapper && words.iter().skip(1).any(|w| *w == word.as_bytes())
            })
            .count()
    }
}

/// Processes, other than servers, that were started for something below this folder.
fn processes_below(folder: &Path) -> Vec<i32> {
    let needle = folder.join("data/sandboxes").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let held = ["cmdline", "environ"].iter().any(|file| {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(&needle)
        });
        if held {
            found.push(pid);
        }
    }
    found
}

fn make_repository(path: &Path) {
    let git = |arguments: &[&str], folder: &Path| {
        let done = Command::new("git")
            .args([
                "-c",
                "user.name=Test",
                "-c",
                "user.email=test@example.org",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(arguments)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success(), "git {arguments:?}");
    };
    std::fs::create_dir_all(path).unwrap();
    git(&["init", "--quiet"], path);
    for version in [1, 2] {
        std::fs::write(path.join("app.py"), APP.replace("VERSION", &version.to_string())).unwrap();
        git(&["add", "."], path);
        git(&["commit", "--quiet", "-m", &format!("Version {version}")], path);
        git(&["tag", &format!("v{version}")], path);
    }
}

const APP: &str = r#"
import http.server, os

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello from version VERSION"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

print("listening", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"#;
