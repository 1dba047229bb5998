//! `cargo bench --profile dist --bench agents [-- COUNT]`: a fleet on one server. So many agents register with one token, wait at once for what
//! each should be, and are woken by changes of a role that one in a hundred of them has.
//!
//! | figure | goal at 10,000 agents |
//! |---|---|
//! | from the change of the role to a touched agent's new configuration in hand | p99 1 s |
//! | agents woken that were not touched | 0 |
//! | the server's resident memory while all wait | 400 MB |
//! | the resident memory of one real agent, idle, and after 1,000 states | 25 MB |
//!
//! The server is the real program in a process of its own; agents are this process's connections, each signing as agents do.
//! Both share the machine's processors. The last figure is that of the real program.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

mod fleet;

use fleet::{Agent, Server, register, serve};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const ROUNDS: usize = 5;
const ROLES: usize = 100;

fn main() {
    greenroom::tls::install();
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(10_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(folder.path()).await;
        fleet_of(count, &server).await;
        one_real_agent(&server, folder.path()).await;
    });
}

fn role(index: usize) -> String {
    format!("r{:02}", index % ROLES)
}

fn memcached(memory: usize) -> Value {
    json!({ "recipes": [{ "name": "memcached" }], "values": { "memcached": { "memory": memory } } })
}

async fn fleet_of(count: usize, server: &Server) {
    server.save("Environment", "production", json!({}), None).await;
    server.save("Datacenter", "dc1", json!({}), None).await;
    for index in 0..ROLES {
        server.save("Role", &role(index), memcached(64), None).await;
    }
    let began = Instant::now();
    for index in 0..count {
        let spec = json!({ "environment": "production", "datacenter": "dc1", "roles": [role(index)] });
        server.save("Node", &format!("n{index:05}"), spec, None).await;
    }
    println!("{count} nodes saved in {:.1?}", began.elapsed());
    let wanted = json!({ "name": "n*", "environment": "production", "datacenter": "dc1", "uses": count, "ttl": "1h" });
    let token = server.call(Method::POST, "/api/v1/node-tokens", &wanted).await;
    let began = Instant::now();
    let agents = register(&server.url, token["secret"].as_str().unwrap(), count).await;
    println!("{count} agents registered in {:.1?}", began.elapsed());

    let (heard, mut answers) = mpsc::unbounded_channel::<(usize, Instant)>();
    let asked = Arc::new(AtomicUsize::new(0));
    let mut waiting = tokio::task::JoinSet::new();
    for (index, agent) in agents.iter().enumerate() {
        waiting.spawn(wait_for_ever(
            index,
            Arc::clone(agent),
            server.url.clone(),
            heard.clone(),
            Arc::clone(&asked),
        ));
    }
    // The first configuration of each.
    for _ in 0..count {
        tokio::time::timeout(Duration::from_secs(60), answers.recv())
            .await
            .unwrap()
            .unwrap();
    }
    while asked.load(Ordering::Relaxed) < 2 * count {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!(
        "server's resident memory while all wait: {} MB",
        resident_mb(server.child.id())
    );

    let touched = (0..count).filter(|index| index % ROLES == 0).count();
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let changed = Instant::now();
        server.save("Role", &role(round), memcached(65), Some(1)).await;
        for _ in 0..touched {
            let (index, at) = tokio::time::timeout(Duration::from_secs(20), answers.recv())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(index % ROLES, round, "agent {index} was woken, and nothing of it was touched");
            times.push(at.duration_since(changed));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(answers.try_recv().is_err(), "an agent was woken that nothing had touched");
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "from the change of a role to the answer, {} answers: p50 {:.1?}  p99 {:.1?}  max {:.1?}",
        times.len(),
        at(50),
        at(99),
        times[times.len() - 1]
    );
    println!("server's resident memory at the end: {} MB", resident_mb(server.child.id()));
}

async fn wait_for_ever(
    index: usize,
    agent: Arc<Agent>,
    url: String,
    heard: mpsc::UnboundedSender<(usize, Instant)>,
    asked: Arc<AtomicUsize>,
) {
    let mut etag = String::new();
    loop {
        let more = [("prefer", "wait=50".to_owned()), ("if-none-match", etag.clone())];
        asked.fetch_add(1, Ordering::Relaxed);
        let answer = agent.send(&url, Method::GET, "/agent/v1/configuration", None, &more).await;
        match answer.status() {
            StatusCode::OK => {
                answer.headers()["etag"].to_str().unwrap().clone_into(&mut etag);
                answer.bytes().await.unwrap();
                let _ = heard.send((index, Instant::now()));
            }
            StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_secs(2)).await,
            _ => {}
        }
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn one_real_agent(server: &Server, folder: &std::path::Path) {
    let token = json!({ "name": "real", "environment": "production", "datacenter": "dc1", "uses": 1, "ttl": "1h" });
    let token = server.call(Method::POST, "/api/v1/node-tokens", &token).await;
    std::fs::write(folder.join("token"), token["secret"].as_str().unwrap()).unwrap();
    let log = std::fs::File::create(folder.join("agent.log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_greenroom"))
        .args([
            "agent",
            "--server",
            &server.url,
            "--name",
            "real",
            "--splay",
            "0s",
            "--token-file",
        ])
        .arg(folder.join("token"))
        .arg("--folder")
        .arg(folder.join("agent"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let agent = Running(child);
    let files = |count: usize| {
        let file = |n: usize| {
            json!({ "id": format!("a/file/{n}"), "title": "A file", "origin": "bench:1:1", "type": "file",
                "path": folder.join(format!("files/{n}")), "content": format!("{n}\n").repeat(50), "mode": "0644" })
        };
        json!({ "format": 1, "states": (0..count).map(file).collect::<Vec<_>>() })
    };
    for count in [1, 1_000] {
        let path = "/api/v1/agents/real/configuration";
        let deadline = Instant::now() + Duration::from_secs(60);
        // It may not have registered yet.
        while !assign(server, path, &files(count)).await {
            assert!(Instant::now() < deadline, "the agent did not register");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while std::fs::read_dir(folder.join("files")).map_or(0, Iterator::count) < count {
            assert!(Instant::now() < deadline, "the agent did not converge");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        println!(
            "a real agent's resident memory, idle after {count} states: {} MB, at most {} MB",
            resident_mb(agent.0.id()),
            peak_mb(agent.0.id())
        );
    }
}

async fn assign(server: &Server, path: &str, wanted: &Value) -> bool {
    let api = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = api
        .put(format!("{}{path}", server.url))
        .bearer_auth(&server.token)
        .json(wanted);
    request.send().await.unwrap().status().is_success()
}

// The resident memory of a process, in MB.
fn resident_mb(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

// The most resident memory that a process has had, in MB.
fn peak_mb(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
}
