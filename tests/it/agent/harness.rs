//! A server that only speaks to agents, and an agent run as the program it is, in a sandbox folder of its own.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use greenroom::clock::{Ids, SystemIds};
use greenroom::machine::processes;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::id::NodeId;
use greenroom::wire::agent::{LogBatch, Register, Registered, Report, ReportOutcome, SecretValue};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
struct Told {
    away: bool,
    keys: Vec<String>,
    configuration: Option<(String, String)>,
    secrets: BTreeMap<String, String>,
    reports: Vec<Report>,
    logs: BTreeMap<(String, String, i64), String>,
    // Chunks that came again with another text: what must never happen.
    forged: Vec<String>,
}

/// A server as agents see it.
#[derive(Debug, Clone)]
pub struct AgentServer {
    told: Arc<Mutex<Told>>,
    pub url: String,
    changed: Arc<tokio::sync::Notify>,
}

impl AgentServer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            told: Arc::default(),
            url: format!("http://{}", listener.local_addr().unwrap()),
            changed: Arc::default(),
        };
        let router = Router::new()
            .route("/agent/v1/register", post(register))
            .route("/agent/v1/configuration", get(configuration))
            .route("/agent/v1/secrets/{*name}", get(secret))
            .route("/agent/v1/reports", post(report))
            .route("/agent/v1/logs", post(logs))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// Answers nothing but 503 from now on, or answers again.
    pub fn away(&self, away: bool) {
        self.told.lock().unwrap().away = away;
    }

    pub fn secret(&self, name: &str, value: &str) {
        self.told.lock().unwrap().secrets.insert(name.into(), value.into());
    }

    /// Wants these states; `wish` makes it another wish for the same ones.
    pub fn want(&self, states: &Value, wish: u32) -> String {
        let configuration: NodeConfiguration = serde_json::from_value(json!({ "format": 1, "states": states })).unwrap();
        let hash = configuration.hash().unwrap();
        let body = String::from_utf8(configuration.canonical().unwrap()).unwrap();
        self.told.lock().unwrap().configuration = Some((format!("\"{hash};{wish}\""), body));
        self.changed.notify_waiters();
        hash
    }

    pub fn keys(&self) -> Vec<String> {
        self.told.lock().unwrap().keys.clone()
    }

    pub fn reports(&self) -> Vec<Report> {
        self.told.lock().unwrap().reports.clone()
    }

    /// Everything of a stream, in order of its numbers. Numbers start at 1 and none is missing.
    pub fn log(&self, stream: &str) -> String {
        let told = self.told.lock().unwrap();
        assert!(told.forged.is_empty(), "{:?}", told.forged);
        let mut text = String::new();
        let pieces = told.logs.iter().filter(|((s, ..), _)| s == stream);
        for (next, ((_, _, seq), chunk)) in (1..).zip(pieces) {
            assert_eq!(*seq, next, "a piece of {stream} is missing");
            text.push_str(chunk);
        }
        text
    }

    /// Waits for a report that ends a convergence of this configuration, not counting the first `skip` of them.
    pub async fn result(&self, hash: &str, skip: usize) -> Report {
        let what = || {
            format!(
                "a result, after {:?}\n{}",
                self.reports(),
                self.log(&format!("converge/{hash}"))
            )
        };
        eventually(what, || {
            let reports = self.reports();
            let mut ends = reports
                .into_iter()
                .filter(|r| r.configuration == hash && r.outcome != ReportOutcome::Converging);
            ends.nth(skip)
        })
        .await
    }

    pub async fn applied(&self, hash: &str) -> Report {
        let report = self.result(hash, 0).await;
        let log = self.log(&format!("converge/{hash}"));
        assert_eq!(report.outcome, ReportOutcome::Applied, "{:#?}\n{log}", report.fault);
        report
    }
}

/// Polls until there is something, or fails after a long time.
pub async fn eventually<T>(what: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {}", what());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.trim_start_matches("Bearer ").to_owned()
}

impl AgentServer {
    fn refuses(&self, headers: &HeaderMap) -> Option<StatusCode> {
        let told = self.told.lock().unwrap();
        if told.away {
            return Some(StatusCode::SERVICE_UNAVAILABLE);
        }
        let key = bearer(headers).split_once(':').map(|(_, key)| key.to_owned());
        let known = key.is_some_and(|key| told.keys.contains(&key));
        (!known).then_some(StatusCode::UNAUTHORIZED)
    }
}

async fn register(State(server): State<AgentServer>, headers: HeaderMap, Json(body): Json<Register>) -> Response {
    let mut told = server.told.lock().unwrap();
    if told.away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if bearer(&headers) != "one-time" || body.key.len() != 64 {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    told.keys.push(body.key);
    Json(Registered { node: body.node }).into_response()
}

async fn configuration(State(server): State<AgentServer>, headers: HeaderMap) -> Response {
    let known = headers.get("if-none-match").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let changed = server.changed.notified();
        if let Some(status) = server.refuses(&headers) {
            return status.into_response();
        }
        let now = server.told.lock().unwrap().configuration.clone();
        match now {
            Some((etag, body)) if known.as_ref() != Some(&etag) => return ([("etag", etag)], body).into_response(),
            now if Instant::now() > until => {
                return now
                    .map_or(StatusCode::NOT_FOUND, |_| StatusCode::NOT_MODIFIED)
                    .into_response();
            }
            _ => {
                let _ = tokio::time::timeout(Duration::from_millis(500), changed).await;
            }
        }
    }
}

async fn secret(State(server): State<AgentServer>, headers: HeaderMap, Path(name): Path<String>) -> Response {
    if let Some(status) = server.refuses(&headers) {
        return status.into_response();
    }
    match server.told.lock().unwrap().secrets.get(&name) {
        Some(value) => Json(SecretValue { value: value.clone() }).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn report(State(server): State<AgentServer>, headers: HeaderMap, Json(report): Json<Report>) -> StatusCode {
    if let Some(status) = server.refuses(&headers) {
        return status;
    }
    let mut told = server.told.lock().unwrap();
    if !told.reports.iter().any(|r| r.id == report.id) {
        told.reports.push(report);
    }
    StatusCode::NO_CONTENT
}

async fn logs(State(server): State<AgentServer>, headers: HeaderMap, Json(batch): Json<LogBatch>) -> StatusCode {
    if let Some(status) = server.refuses(&headers) {
        return status;
    }
    let mut told = server.told.lock().unwrap();
    for chunk in batch.chunks {
        let key = (chunk.stream, chunk.writer, chunk.writer_seq);
        match told.logs.get(&key) {
            Some(text) if *text != chunk.text => {
                let forged = format!("{key:?}: {text:?} became {:?}", chunk.text);
                told.forged.push(forged);
            }
            Some(_) => {}
            None => {
                told.logs.insert(key, chunk.text);
            }
        }
    }
    StatusCode::NO_CONTENT
}

/// A folder with an agent; whatever the agent started ends with it.
#[derive(Debug)]
pub struct Node {
    pub folder: PathBuf,
    pub id: NodeId,
    url: String,
    agent: Option<std::process::Child>,
    _temporary: tempfile::TempDir,
}

/// `PATH` with the real python3, whatever stands in front of it.
pub fn path() -> &'static str {
    static FOUND: OnceLock<String> = OnceLock::new();
    FOUND.get_or_init(|| {
        let output = Command::new("python3")
            .args(["-c", "import sys; print(sys.base_prefix)"])
            .output();
        let prefix = String::from_utf8(output.expect("python3 is installed").stdout).unwrap();
        format!("{}/bin:/usr/local/bin:/usr/bin:/bin", prefix.trim())
    })
}

impl Node {
    pub fn new(server: &AgentServer) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap();
        for name in ["agent", "home", "tmp", "apps"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("token"), "one-time\n").unwrap();
        Self {
            folder,
            id: NodeId::from_bits(SystemIds.next()),
            url: server.url.clone(),
            agent: None,
            _temporary: temporary,
        }
    }

    pub fn start(mut self) -> Self {
        self.begin();
        self
    }

    /// Starts an agent beside whatever runs already.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenroom"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("agent.log"))
            .unwrap();
        command
            .args(["agent", "--server", &self.url, "--node", self.id.as_str()])
            .arg("--folder")
            .arg(self.folder.join("agent"))
            .arg("--token-file")
            .arg(self.folder.join("token"))
            .arg("--confined-to")
            .arg(&self.folder)
            .args(["--longest-pause-ms", "200"])
            .env_clear()
            .env("PATH", path())
            .env("HOME", self.folder.join("home"))
            .env("TMPDIR", self.folder.join("tmp"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    pub fn begin(&mut self) {
        assert!(self.agent.is_none());
        self.agent = Some(self.command().spawn().unwrap());
    }

    /// kill -9 of the agent, and of nothing else.
    pub fn kill(&mut self) {
        let mut agent = self.agent.take().expect("the agent runs");
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The processes of a service.
    pub fn processes(&self, service: &str) -> Vec<u32> {
        let mark = self.path("agent");
        let all = processes::all();
        let own = |p: &&processes::Process| {
            p.variable(processes::FOLDER) == Some(&mark) && p.variable(processes::SERVICE) == Some(service)
        };
        all.iter().filter(own).map(|p| p.pid).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        let mark = self.path("agent");
        for _ in 0..200 {
            let left = processes::family(&processes::all(), |p| p.variable(processes::FOLDER) == Some(&mark));
            if left.is_empty() {
                break;
            }
            for process in left {
                process.signal(rustix::process::Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default();
            print_out(&said);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever reads of a failed test wants to know what the agent said"
)]
fn print_out(said: &str) {
    eprintln!("the agent said:\n{said}");
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A state of this type, with what all states have.
pub fn state(id: &str, kind: &str, body: Value) -> Value {
    let mut state = json!({ "id": id, "title": id, "app": "shop", "origin": "recipes/test.yaml:1:1", "type": kind });
    let Value::Object(more) = body else {
        panic!("a body is an object")
    };
    state.as_object_mut().unwrap().extend(more);
    state
}

/// A service that runs this Python text.
pub fn python(node: &Node, name: &str, text: &str, ready: Option<Value>) -> Value {
    let mut body = json!({
        "name": name, "command": ["python3", "-u", "-c", text], "cwd": node.path("apps"),
        "restart": { "policy": "on_failure", "limit": 2 }, "stop_timeout_s": 3, "revision": "1",
    });
    if let Some(ready) = ready {
        body["ready"] = ready;
    }
    state(&format!("shop/service/{name}"), "service", body)
}

/// A web server that answers with this text and says what it is asked.
pub fn web(node: &Node, name: &str, port: u16, text: &str) -> Value {
    let program = format!(
        "import http.server, os\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       self.send_response(200); self.end_headers(); self.wfile.write(b'{text}')\n\
         \x20   def log_message(self, f, *a):\n\
         \x20       print('asked', a[0], flush=True)\n\
         print('serving', os.getpid(), flush=True)\n\
         http.server.HTTPServer(('127.0.0.1', {port}), H).serve_forever()\n"
    );
    let ready = json!({ "http": format!("http://127.0.0.1:{port}/ready"), "timeout_s": 30 });
    python(node, name, &program, Some(ready))
}

pub async fn fetch(port: u16, path: &str) -> String {
    greenroom::tls::install();
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap();
    answer.text().await.unwrap()
}

/// A repository with one commit for each of these texts of `page.txt`; gives its folder and the commits.
pub fn repository(folder: &FilePath, texts: &[&str]) -> (String, Vec<String>) {
    let place = folder.join("repository");
    std::fs::create_dir_all(&place).unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(&place)
            .args([
                "-c",
                "user.name=Test",
                "-c",
                "user.email=test@example.org",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet", "-b", "main"]);
    let commits = texts.iter().map(|text| {
        std::fs::write(place.join("page.txt"), text).unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", text]);
        git(&["rev-parse", "HEAD"])
    });
    let commits = commits.collect();
    (place.display().to_string(), commits)
}
