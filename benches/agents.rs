//! `cargo bench --bench agents [-- COUNT]`: a fleet on one server. So many agents register with one token, wait at once for what
//! each should be, and are woken by changes that touch one in a hundred of them.
//!
//! | figure | goal at 10,000 agents |
//! |---|---|
//! | from a change to the touched agent's answer in hand | p99 1 s |
//! | agents woken that were not touched | 0 |
//! | the server's resident memory while all wait | 400 MB |
//!
//! The server is the real program in a process of its own; agents are this process's connections, each signing as agents do.
//! Both share the machine's processors.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

use greenroom::model::signature::{SigningKey, sign_request};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc};

const ROUNDS: usize = 5;

struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Agent {
    key: SigningKey,
    name: String,
    node: String,
    client: Client,
}

impl Agent {
    async fn send(&self, url: &str, method: Method, path: &str, body: Option<Value>, more: &[(&str, String)]) -> Response {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let uri = format!("{url}{path}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let nonce = format!("{:032x}", rand::random::<u128>());
        let created = i64::try_from(now).unwrap();
        let signed = sign_request(&self.key, &self.node, (method.as_str(), &uri), &bytes, created, &nonce);
        let mut request = self
            .client
            .request(method, &uri)
            .header("content-digest", signed.content_digest)
            .header("signature-input", signed.signature_input)
            .header("signature", signed.signature)
            .body(bytes);
        for (name, value) in more {
            request = request.header(*name, value);
        }
        request.send().await.unwrap()
    }
}

fn main() {
    greenroom::tls::install();
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(fleet(count));
}

async fn fleet(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (server, token) = serve(folder.path()).await;
    let api = Client::builder().no_proxy().build().unwrap();
    let call = async |method: Method, path: &str, body: &Value| {
        let request = api
            .request(method, format!("{}{path}", server.url))
            .bearer_auth(&token)
            .json(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json::<Value>().await.unwrap()
    };
    for (kind, name) in [("Environment", "production"), ("Datacenter", "dc1")] {
        let object = json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": {} });
        call(Method::PUT, &format!("/api/v1/{}s/{name}", kind.to_lowercase()), &object).await;
    }
    let wanted = json!({ "name": "n*", "environment": "production", "datacenter": "dc1", "uses": count, "ttl": "1h" });
    let secret = call(Method::POST, "/api/v1/node-tokens", &wanted).await["secret"]
        .as_str()
        .unwrap()
        .to_owned();

    let began = Instant::now();
    let agents = register(&server.url, &secret, count).await;
    println!("{count} agents registered in {:.1?}", began.elapsed());
    let empty = |round: usize| {
        let file = json!({ "id": "a/file/x", "title": "A file", "origin": "bench:1:1", "type": "file",
            "path": "/tmp/x", "content": format!("{round}\n"), "mode": "0644" });
        json!({ "format": 1, "states": [file] })
    };

    let (heard, mut answers) = mpsc::unbounded_channel::<(usize, Instant)>();
    let asked = Arc::new(AtomicUsize::new(0));
    for (index, agent) in agents.iter().enumerate() {
        let (agent, heard, asked) = (Arc::clone(agent), heard.clone(), Arc::clone(&asked));
        let url = server.url.clone();
        tokio::spawn(async move {
            let mut etag = String::new();
            loop {
                let more = [("prefer", "wait=50".to_owned()), ("if-none-match", etag.clone())];
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = agent.send(&url, Method::GET, "/agent/v1/configuration", None, &more).await;
                match answer.status() {
                    StatusCode::OK => {
                        etag = answer.headers()["etag"].to_str().unwrap().to_owned();
                        answer.bytes().await.unwrap();
                        let _ = heard.send((index, Instant::now()));
                    }
                    StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_secs(2)).await,
                    _ => {}
                }
            }
        });
    }
    while asked.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!(
        "server's resident memory while all wait: {} MB",
        resident_mb(server.child.id())
    );

    let touched = (count / 100).max(1);
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let mut changed_at = vec![None; count];
        for step in 0..touched {
            let index = (step * 100 + round) % count;
            let path = format!("/api/v1/agents/{}/configuration", agents[index].name);
            changed_at[index] = Some(Instant::now());
            call(Method::PUT, &path, &empty(round + 1)).await;
        }
        for _ in 0..touched {
            let (index, at) = tokio::time::timeout(Duration::from_secs(20), answers.recv())
                .await
                .unwrap()
                .unwrap();
            let changed = changed_at[index].unwrap_or_else(|| panic!("agent {index} was woken, and nothing of it was touched"));
            times.push(at.duration_since(changed));
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "from change to answer, {} changes: p50 {:.1?}  p99 {:.1?}  max {:.1?}",
        times.len(),
        at(50),
        at(99),
        times[times.len() - 1]
    );
    println!("server's resident memory at the end: {} MB", resident_mb(server.child.id()));
}

async fn register(url: &str, secret: &str, count: usize) -> Vec<Arc<Agent>> {
    let turns = Arc::new(Semaphore::new(32));
    let mut tasks = Vec::new();
    for index in 0..count {
        let (turns, url, secret) = (Arc::clone(&turns), url.to_owned(), secret.to_owned());
        tasks.push(tokio::spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let mut agent = Agent {
                key: SigningKey::from_seed(&format!("{index:064x}")).unwrap(),
                name: format!("n{index:05}"),
                node: "nod_00000000000000000000000000000000".to_owned(),
                client: Client::builder().no_proxy().build().unwrap(),
            };
            let body = json!({ "name": agent.name, "key": agent.key.public().to_string(), "facts": {} });
            let bearer = [("authorization", format!("Bearer {secret}"))];
            loop {
                let answer = agent
                    .send(&url, Method::POST, "/agent/v1/register", Some(body.clone()), &bearer)
                    .await;
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
                assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
                agent.node = answer.json::<Value>().await.unwrap()["node"].as_str().unwrap().to_owned();
                return Arc::new(agent);
            }
        }));
    }
    let mut agents = Vec::new();
    for task in tasks {
        agents.push(task.await.unwrap());
    }
    agents
}

async fn serve(folder: &std::path::Path) -> (Server, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let data = folder.join("data");
    let settings = folder.join("settings.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[data]\nfolder = \"{}\"\n",
        data.display()
    );
    std::fs::write(&settings, text).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .arg("serve")
        .arg("--config")
        .arg(&settings)
        .env("GREENROOM_LOG", "warn")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server {
        child,
        url: format!("http://127.0.0.1:{port}"),
    };
    let http = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let secret = loop {
        let said = std::fs::read_to_string(folder.join("log")).unwrap();
        if let Some((_, rest)) = said.split_once("/sign-in/link/") {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            break end.map_or(rest, |end| &rest[..end]).to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let answer = http
        .post(format!("{}/sign-in/link/{secret}", server.url))
        .send()
        .await
        .unwrap();
    let cookie = answer.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let made = http
        .post(format!("{}/api/v1/tokens", server.url))
        .header("cookie", cookie)
        .json(&json!({ "name": "bench" }));
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    (server, made["secret"].as_str().unwrap().to_owned())
}

fn resident_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
}
