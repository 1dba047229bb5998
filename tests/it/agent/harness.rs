//! A server that only speaks to agents, and an agent run as the program it is, in a sandbox folder of its own.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flate2::read::GzDecoder;
use greenroom::clock::{Clock, Ids, SystemClock, SystemIds};
use greenroom::machine::processes;
use greenroom::model::configuration::NodeConfiguration;
use greenroom::model::configuration::blobs;
use greenroom::model::id::NodeId;
use greenroom::model::secret;
use greenroom::model::signature::{Claim, PublicKey, SigningKey, content_digest, document};
use greenroom::wire::agent::{
    LogBatch, MAINTENANCE, NewKey, Register, Registered, Report, ReportOutcome, SIGNATURE, SecretValue,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
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
    // The node that registered last.
    node: String,
    // How far this server's clock is ahead.
    ahead_s: i64,
    // Signatures that have been here.
    seen: BTreeSet<String>,
    configuration: Option<(String, String)>,
    // Why somebody works on the node.
    maintenance: Option<String>,
    // How long it wants to be left alone, and how often it was not.
    busy: Option<u64>,
    turned_away: usize,
    // What someone in between makes of a document.
    altered: Option<String>,
    // What someone in between makes of a long content, and how many were asked for.
    altered_blob: Option<String>,
    blobs: usize,
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
    key: Arc<SigningKey>,
    pub url: String,
    changed: Arc<tokio::sync::Notify>,
}

impl AgentServer {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            told: Arc::default(),
            key: Arc::new(SigningKey::from_seed(&secret::make("")).unwrap()),
            url: format!("http://{}", listener.local_addr().unwrap()),
            changed: Arc::default(),
        };
        let router = Router::new()
            .route("/agent/v1/register", post(register))
            .route("/agent/v1/configuration", get(configuration))
            .route("/agent/v1/secrets/{*name}", get(secret))
            .route("/agent/v1/blobs/{hash}", get(blob))
            .route("/agent/v1/reports", post(report))
            .route("/agent/v1/logs", post(logs))
            .route("/agent/v1/keys", post(keys))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    /// Answers nothing but 503 from now on, or answers again.
    pub fn away(&self, away: bool) {
        self.told.lock().unwrap().away = away;
    }

    /// Says that somebody works on the node, or no longer.
    pub fn maintenance(&self, reason: Option<&str>) {
        self.told.lock().unwrap().maintenance = reason.map(str::to_owned);
        self.changed.notify_waiters();
    }

    /// Asks everybody to come back in so many seconds, or takes them again.
    pub fn busy(&self, seconds: Option<u64>) {
        self.told.lock().unwrap().busy = seconds;
    }

    /// How many were asked to come back.
    pub fn turned_away(&self) -> usize {
        self.told.lock().unwrap().turned_away
    }

    /// Has a clock that is this far ahead of the node's.
    pub fn ahead(&self, seconds: i64) {
        self.told.lock().unwrap().ahead_s = seconds;
    }

    /// Puts someone in between who gives this document for the one that was signed, or takes them away again.
    pub fn alter(&self, document: Option<&str>) {
        self.told.lock().unwrap().altered = document.map(str::to_owned);
        self.changed.notify_waiters();
    }

    /// Puts someone in between who gives this for each long content, or takes them away again.
    pub fn alter_blobs(&self, content: Option<&str>) {
        self.told.lock().unwrap().altered_blob = content.map(str::to_owned);
    }

    /// How many long contents were asked for.
    pub fn blobs(&self) -> usize {
        self.told.lock().unwrap().blobs
    }

    pub fn secret(&self, name: &str, value: &str) {
        self.told.lock().unwrap().secrets.insert(name.into(), value.into());
    }

    /// Wants these states; `wish` makes it another wish for the same ones.
    pub fn want(&self, states: &Value, wish: u32) -> String {
        self.want_all(json!({ "format": 1, "states": states }), wish)
    }

    /// Wants this whole configuration.
    pub fn want_all(&self, configuration: Value, wish: u32) -> String {
        let configuration: NodeConfiguration = serde_json::from_value(configuration).unwrap();
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
    // Whether the request is signed by a key that registered, and for exactly these bytes.
    fn refuses(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Response> {
        let mut told = self.told.lock().unwrap();
        if told.away {
            return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
        }
        let now_s = SystemClock.now().0 / 1000 + told.ahead_s;
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let uri = format!("http://{}{}", text("host"), uri.path_and_query().unwrap());
        let digest = content_digest(body);
        let signed = Claim::read(text("signature-input"), text("signature")).is_some_and(|claim| {
            let is_of = |key: &String| claim.is_of(&key.parse::<PublicKey>().unwrap(), method.as_str(), &uri, &digest);
            let now = (claim.created - now_s).abs() <= 300;
            now && told.keys.iter().any(is_of) && text("content-digest") == digest
        });
        let new = told.seen.insert(text("signature").to_owned());
        let date = jiff::Timestamp::from_second(now_s).unwrap();
        let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        (!signed || !new).then(|| (StatusCode::UNAUTHORIZED, [("date", date)]).into_response())
    }

    fn read<T: DeserializeOwned>(&self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<T, Response> {
        if let Some(refusal) = self.refuses(&Method::POST, uri, headers, body) {
            return Err(refusal);
        }
        let mut plain = Vec::new();
        if headers.get("content-encoding").is_some_and(|v| v == "gzip") {
            GzDecoder::new(body.as_ref()).read_to_end(&mut plain).unwrap();
        } else {
            plain.extend_from_slice(body);
        }
        Ok(serde_json::from_slice(&plain).unwrap())
    }
}

async fn register(State(server): State<AgentServer>, headers: HeaderMap, Json(body): Json<Register>) -> Response {
    let mut told = server.told.lock().unwrap();
    if told.away {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some(seconds) = told.busy {
        told.turned_away += 1;
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", seconds.to_string())]).into_response();
    }
    if bearer(&headers) != "one-time" || body.key.parse::<PublicKey>().is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    told.keys.push(body.key);
    let node = if body.node.is_empty() {
        NodeId::from_bits(7).as_str().to_owned()
    } else {
        body.node
    };
    told.node.clone_from(&node);
    let server_key = server.key.public().to_string();
    Json(Registered { node, server_key }).into_response()
}

async fn configuration(State(server): State<AgentServer>, uri: Uri, headers: HeaderMap) -> Response {
    let known = headers.get("if-none-match").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let until = Instant::now() + Duration::from_secs(5);
    if let Some(status) = server.refuses(&Method::GET, &uri, &headers, b"") {
        return status;
    }
    loop {
        let changed = server.changed.notified();
        let (now, node, altered) = {
            let told = server.told.lock().unwrap();
            if told.away {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            (told.configuration.clone(), told.node.clone(), told.altered.clone())
        };
        let maintenance = server.told.lock().unwrap().maintenance.clone();
        match now {
            Some((etag, body)) if known.as_ref() != Some(&etag) => {
                let body = blobs::detach(&body).unwrap_or(body);
                let issued = SystemClock.now().0;
                let signed = document(&node, etag.trim_matches('"'), issued, body.as_bytes());
                let signature = format!("issued={issued};sig={}", server.key.sign(&signed));
                let headers = [("etag", etag), (SIGNATURE, signature)];
                let mut answer = (headers, altered.unwrap_or(body)).into_response();
                if let Some(reason) = maintenance {
                    answer.headers_mut().insert(MAINTENANCE, reason.parse().unwrap());
                }
                return answer;
            }
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

async fn secret(State(server): State<AgentServer>, uri: Uri, headers: HeaderMap, Path(name): Path<String>) -> Response {
    if let Some(status) = server.refuses(&Method::GET, &uri, &headers, b"") {
        return status;
    }
    match server.told.lock().unwrap().secrets.get(&name) {
        Some(value) => Json(SecretValue { value: value.clone() }).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn blob(State(server): State<AgentServer>, uri: Uri, headers: HeaderMap, Path(hash): Path<String>) -> Response {
    if let Some(status) = server.refuses(&Method::GET, &uri, &headers, b"") {
        return status;
    }
    let mut told = server.told.lock().unwrap();
    told.blobs += 1;
    let whole = told.configuration.as_ref().map(|(_, body)| body.clone()).unwrap_or_default();
    match told.altered_blob.clone().or_else(|| blobs::find(&whole, &hash)) {
        Some(content) => content.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn report(State(server): State<AgentServer>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let report: Report = match server.read(&uri, &headers, &body) {
        Ok(report) => report,
        Err(status) => return status,
    };
    let mut told = server.told.lock().unwrap();
    if !told.reports.iter().any(|r| r.id == report.id) {
        told.reports.push(report);
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn keys(State(server): State<AgentServer>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let new: NewKey = match server.read(&uri, &headers, &body) {
        Ok(new) => new,
        Err(status) => return status,
    };
    let mut told = server.told.lock().unwrap();
    let key: PublicKey = new.key.parse().unwrap();
    assert!(key.verify(NewKey::words(&told.node, &new.key).as_bytes(), &new.proof));
    told.keys = vec![new.key];
    StatusCode::NO_CONTENT.into_response()
}

async fn logs(State(server): State<AgentServer>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let batch: LogBatch = match server.read(&uri, &headers, &body) {
        Ok(batch) => batch,
        Err(status) => return status,
    };
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
    StatusCode::NO_CONTENT.into_response()
}

/// A folder with an agent; whatever the agent started ends with it.
#[derive(Debug)]
pub struct Node {
    pub folder: PathBuf,
    pub id: NodeId,
    url: String,
    more: Vec<String>,
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
        Self::with(server, &[])
    }

    /// One of the inventory's own, with these further arguments.
    pub fn of_the_inventory(server: &AgentServer, more: &[&str]) -> Self {
        let mut more = more.to_vec();
        more.extend(["--name", "web-1"]);
        Self::with(server, &more)
    }

    /// A node whose agent has these further arguments.
    pub fn with(server: &AgentServer, more: &[&str]) -> Self {
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
            more: more.iter().map(|&word| word.to_owned()).collect(),
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
            .args(["agent", "--server", &self.url])
            .args(&self.more)
            .arg("--folder")
            .arg(self.folder.join("agent"))
            .arg("--token-file")
            .arg(self.folder.join("token"))
            .arg("--confined-to")
            .arg(&self.folder)
            .args(["--longest-pause-ms", "200"])
            .args(if self.more.iter().any(|word| word == "--name") {
                vec![]
            } else {
                vec!["--node", self.id.as_str()]
            })
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

    /// As [`Self::begin`], from a program's file of its own.
    pub fn begin_as(&mut self, program: &FilePath) {
        assert!(self.agent.is_none());
        let usual = self.command();
        let mut command = Command::new(program);
        command.args(usual.get_args()).env_clear();
        command.envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let log = std::fs::File::create(self.folder.join("agent.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
    }

    pub fn agent_pid(&self) -> u32 {
        self.agent.as_ref().expect("the agent runs").id()
    }

    pub fn has_ended(&mut self) -> bool {
        let agent = self.agent.as_mut();
        agent.is_none_or(|agent| agent.try_wait().unwrap().is_some())
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
