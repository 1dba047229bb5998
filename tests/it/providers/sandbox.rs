//! What is special about sandboxes: real processes, real ports, real folders.

use super::contract::{Arena, spec, token};
use crate::agent::harness;
use async_trait::async_trait;
use greenroom::machine::processes::{self, Process};
use greenroom::model::id::NodeId;
use greenroom::providers::sandbox::{Sandbox, SandboxOptions};
use greenroom::providers::{NodeSpec, Observed, Provider, ProviderError};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

const POINTS: [&str; 5] = ["folders", "ports", "token", "spawned", "started"];
const NEVER: usize = usize::MAX;

pub struct SandboxArena {
    sandbox: Sandbox,
    data: PathBuf,
    cut: Arc<AtomicUsize>,
    temporary: Option<tempfile::TempDir>,
}

// Each test has ports of its own, below those that the system gives to outgoing connections.
fn pool() -> (u16, u16) {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    let first = NEXT.fetch_add(20, Ordering::SeqCst);
    (first, first + 19)
}

impl SandboxArena {
    pub fn new(isolation: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let data = temporary.path().canonicalize().unwrap();
        let mut arena = Self::within(isolation, data, pool()).unwrap();
        arena.temporary = Some(temporary);
        arena
    }

    fn within(isolation: &str, data: PathBuf, ports: (u16, u16)) -> Result<Self, ProviderError> {
        let cut = Arc::new(AtomicUsize::new(NEVER));
        let asked = Arc::clone(&cut);
        let sandbox = Sandbox::new(SandboxOptions {
            folder: data.clone(),
            first_port: ports.0,
            last_port: ports.1,
            isolation: isolation.into(),
            path: harness::path().split(':').take(1).map(PathBuf::from).collect(),
            environment: BTreeMap::from([("GIVEN_WORD".to_owned(), "given".to_owned())]),
            agent_program: env!("CARGO_BIN_EXE_greenroom").into(),
            interrupt: Some(Arc::new(move |point| {
                let wanted = asked.load(Ordering::SeqCst);
                let here = POINTS.get(wanted).is_some_and(|name| *name == point);
                if here {
                    asked.store(NEVER, Ordering::SeqCst);
                }
                here
            })),
        })?;
        Ok(Self {
            sandbox,
            data,
            cut,
            temporary: None,
        })
    }

    fn folder(&self, node: &NodeId) -> PathBuf {
        self.data.join("sandboxes").join(node.as_str())
    }

    fn marked(&self, node: &NodeId) -> Vec<Process> {
        let mark = self.folder(node).join("agent").display().to_string();
        let mut all = processes::all();
        all.retain(|p| p.variable(processes::FOLDER) == Some(&mark));
        all
    }
}

impl Drop for SandboxArena {
    fn drop(&mut self) {
        let below = self.data.join("sandboxes").display().to_string();
        let own = |p: &Process| p.variable(processes::FOLDER).is_some_and(|f| f.starts_with(&below));
        for process in processes::family(&processes::all(), own) {
            process.signal(Signal::KILL);
        }
    }
}

#[async_trait]
impl Arena for SandboxArena {
    fn provider(&self) -> &dyn Provider {
        &self.sandbox
    }

    fn cuts(&self) -> usize {
        POINTS.len()
    }

    fn cut(&self, point: usize) {
        self.cut.store(point, Ordering::SeqCst);
    }

    async fn kill_agent(&self, node: &NodeId) {
        // With its keeper, where it has one; else that would start it again.
        for process in self.marked(node) {
            if process.variable(processes::SERVICE).is_none() {
                process.signal(Signal::KILL);
            }
        }
        let running = || self.marked(node).iter().any(|p| p.variable(processes::SERVICE).is_none());
        harness::eventually(|| "the agent's end".into(), || (!running()).then_some(())).await;
    }

    fn leftovers(&self, node: &NodeId) -> Vec<String> {
        let mut left: Vec<String> = self.marked(node).iter().map(|p| format!("{p:?}")).collect();
        if self.folder(node).exists() {
            left.push(self.folder(node).display().to_string());
        }
        left
    }
}

async fn serving(server: &harness::AgentServer, arena: &SandboxArena) -> (NodeSpec, u16) {
    let mut spec = spec(&["shop/web"]);
    spec.bootstrap.server_url.clone_from(&server.url);
    let handle = arena.sandbox.ensure(&spec, token(1)).await.unwrap();
    let port = handle.ports["shop/web"];
    let text = format!(
        "import http.server, json, os, pathlib, sys\n\
         class H(http.server.BaseHTTPRequestHandler):\n\
         \x20   def do_GET(self):\n\
         \x20       p = pathlib.Path(self.path)\n\
         \x20       try: seen = sorted(os.listdir(p))\n\
         \x20       except OSError as e: seen = str(e)\n\
         \x20       try: (p / 'w').write_text('x'); wrote = True\n\
         \x20       except OSError: wrote = False\n\
         \x20       self.send_response(200); self.end_headers()\n\
         \x20       self.wfile.write(json.dumps([seen, wrote, dict(os.environ)]).encode())\n\
         http.server.HTTPServer(('127.0.0.1', {port}), H).serve_forever()\n"
    );
    let hash = server.want(
        &json!([harness::state(
            "shop/service/web",
            "service",
            json!({
                "name": "shop-web", "command": ["python3", "-c", text], "cwd": handle.layout.apps,
                "restart": { "policy": "on_failure", "limit": 3 }, "stop_timeout_s": 2, "revision": "1",
                "ready": { "http": format!("http://127.0.0.1:{port}/"), "timeout_s": 30 },
            })
        )]),
        0,
    );
    server.applied(&hash).await;
    (spec, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_inherits_nothing_and_is_gone_without_a_trace() {
    let server = harness::AgentServer::start().await;
    let arena = SandboxArena::new("plain");
    let (spec, port) = serving(&server, &arena).await;
    let seen: serde_json::Value = serde_json::from_str(&harness::fetch(port, "/").await).unwrap();
    let mut names: Vec<&str> = seen[2].as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let wanted = [
        "GIVEN_WORD",
        "GREENROOM_FOLDER",
        "GREENROOM_NODE",
        "GREENROOM_SERVICE",
        "HOME",
        "LANG",
        "PATH",
        "TMPDIR",
    ];
    names.retain(|name| *name != "LC_CTYPE");
    assert_eq!(names, wanted);
    assert_eq!(seen[2]["GIVEN_WORD"], "given", "what the settings give, and nothing else");
    assert_eq!(seen[2]["HOME"], arena.folder(&spec.node).join("home").display().to_string());
    arena.sandbox.destroy(&spec.node, token(1)).await.unwrap();
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[tokio::test]
async fn what_a_sandbox_has_of_its_own_is_not_for_the_settings_to_give() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["PATH", "HOME", "TMPDIR", "GREENROOM_FOLDER", "", "1ST", "A=B", "A B"] {
        let options = SandboxOptions {
            folder: folder.path().to_owned(),
            first_port: 1,
            last_port: 2,
            isolation: "plain".into(),
            path: Vec::new(),
            environment: BTreeMap::from([(name.to_owned(), "hunter2".to_owned())]),
            agent_program: PathBuf::new(),
            interrupt: None,
        };
        let error = Sandbox::new(options).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")) && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn walls_hide_homes_and_the_servers_data_and_keep_the_system_as_it_is() {
    let server = harness::AgentServer::start().await;
    let arena = SandboxArena::new("bubblewrap");
    std::fs::write(arena.data.join("greenroom.db"), "accounts").unwrap();
    let (spec, port) = serving(&server, &arena).await;
    let look = async |path: &str| {
        let text = harness::fetch(port, path).await;
        let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
        (seen[0].to_string(), seen[1].as_bool().unwrap())
    };
    assert!(look(&arena.data.display().to_string()).await.0.contains("[\"sandboxes\"]"));
    assert!(!look("/etc").await.1, "the system can be read only");
    let beside = format!("[\"{}\"]", spec.node);
    assert_eq!(look(&arena.data.join("sandboxes").display().to_string()).await.0, beside);
    assert!(look(&arena.folder(&spec.node).join("data").display().to_string()).await.1);
    let processes = look("/proc").await.0.matches(',').count();
    assert!(processes < 100, "only its own processes show");

    // The agent alone dies: its keeper starts it again, and the service goes on.
    let service = arena
        .marked(&spec.node)
        .into_iter()
        .find(|p| p.variable(processes::SERVICE).is_some())
        .unwrap();
    let lock = arena.folder(&spec.node).join("agent/lock");
    let holder = |own: &Process| {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", own.pid))
            .into_iter()
            .flatten()
            .flatten();
        fds.filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|path| path == lock)
    };
    let agent = arena
        .marked(&spec.node)
        .into_iter()
        .find(|p| holder(p))
        .expect("someone holds the lock");
    agent.signal(Signal::KILL);
    let back = || arena.marked(&spec.node).into_iter().find(|p| holder(p) && p.pid != agent.pid);
    harness::eventually(|| "another agent".into(), back).await;
    assert!(processes::is_alive(service.pid, service.ticks));
    assert_eq!(arena.sandbox.observe(&spec.node).await.unwrap(), Observed::Running);
    arena.sandbox.destroy(&spec.node, token(1)).await.unwrap();
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_a_foreign_program_is_passed_over_and_an_empty_pool_says_so() {
    let temporary = tempfile::tempdir().unwrap();
    let (first, _) = pool();
    let arena = SandboxArena::within("plain", temporary.path().canonicalize().unwrap(), (first, first + 1)).unwrap();
    let foreign = std::net::TcpListener::bind(("127.0.0.1", first)).unwrap();
    let one = spec(&["a/web"]);
    let handle = arena.sandbox.ensure(&one, token(1)).await.unwrap();
    assert_eq!(handle.ports["a/web"], first + 1);
    let two = spec(&["a/web"]);
    let error = arena.sandbox.ensure(&two, token(1)).await.unwrap_err();
    assert!(
        matches!(&error, ProviderError::Quota { why } if why.contains(&first.to_string())),
        "{error}"
    );
    arena.sandbox.destroy(&two.node, token(1)).await.unwrap();
    drop(foreign);
    arena.sandbox.ensure(&two, token(1)).await.unwrap();
    for spec in [one, two] {
        arena.sandbox.destroy(&spec.node, token(1)).await.unwrap();
        assert_eq!(arena.leftovers(&spec.node), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_called_so_and_nothing_is_left_of_the_sandbox() {
    let temporary = tempfile::tempdir().unwrap();
    let data = temporary.path().canonicalize().unwrap();
    let mounted = crate::agent::converge::Mounted::tmpfs(&data, "64k");
    let arena = SandboxArena::within("plain", data.clone(), pool()).unwrap();
    let kept = spec(&["a/web"]);
    // Filled to the last byte; the fences of this node are there already, and so is what is not to be written again.
    let _ = std::fs::write(data.join("filler"), vec![0; 1024 * 1024]);
    let error = arena.sandbox.ensure(&kept, token(1)).await.unwrap_err();
    assert!(matches!(error, ProviderError::DiskFull { .. }), "{error}");
    assert_eq!(arena.leftovers(&kept.node), [""; 0]);
    std::fs::remove_file(data.join("filler")).unwrap();
    arena.sandbox.destroy(&kept.node, token(1)).await.unwrap();
    drop(arena);
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rewrote_its_environment_or_left_its_group_is_ended_too() {
    let arena = SandboxArena::new("plain");
    let spec = spec(&[]);
    arena.sandbox.ensure(&spec, token(1)).await.unwrap();
    let mark = arena.folder(&spec.node).join("agent");
    let mut child = std::process::Command::new("/bin/sh")
        .args([
            "-c",
            "env -i setsid sleep 300 & env -i sleep 301 & trap '' TERM; wait; sleep 302",
        ])
        .env(processes::FOLDER, &mark)
        .spawn()
        .unwrap();
    let family = || processes::family(&processes::all(), |p| p.pid == child.id());
    harness::eventually(|| "three processes".into(), || (family().len() == 3).then_some(())).await;
    let all = family();
    arena.sandbox.destroy(&spec.node, token(1)).await.unwrap();
    child.wait().unwrap();
    assert!(all.iter().all(|p| !processes::is_alive(p.pid, p.ticks)));
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
}
