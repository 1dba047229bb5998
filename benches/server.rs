//! `cargo bench --bench server`: what people and machines wait for, each beside a yardstick of the same run.
//!
//! | figure | yardstick |
//! |---|---|
//! | submit of a launch (four apps' worth of git, validation, compile, one transaction), over HTTP | `GET /healthz` on the same server |
//! | engine overhead for one step | two bare commits on the same SQLite file |
//! | cold start to `/healthz`, empty data folder | `greenroom --version`, the same program doing nothing |
//! | idle memory (resident) a few seconds after the start | |
//!
//! Figures of the machine it runs on; compare ratios, not milliseconds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

use async_trait::async_trait;
use greenroom::cli::serve::{Replacements, start_with};
use greenroom::clock::{SystemClock, SystemIds};
use greenroom::config::Settings;
use greenroom::engine::kind::{StepContext, StepError, StepKind, StepKinds};
use greenroom::engine::{Engine, EngineOptions};
use greenroom::model::actor::Actor;
use greenroom::model::plan::{EffectClass, Plan, StepSpec};
use greenroom::model::run::RunState;
use greenroom::providers::fake::Fake;
use greenroom::store::Store;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const SUBMITS: usize = 100;
const STEPS: usize = 500;
const STARTS: usize = 15;

fn main() {
    greenroom::tls::install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(submit());
    runtime.block_on(engine());
    cold_start();
}

fn show(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "{what:<58} p50 {:>9.2?}  p95 {:>9.2?}  max {:>9.2?}  (n={})",
        at(50),
        at(95),
        times[times.len() - 1],
        times.len()
    );
    at(95)
}

fn ratio(ours: Duration, yardstick: Duration) {
    println!(
        "{:<58} {:.2}\n",
        "  p95, ratio to the yardstick",
        ours.as_secs_f64() / yardstick.as_secs_f64()
    );
}

async fn submit() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.data.folder = folder.path().join("data");
    settings.server.listen = "127.0.0.1:0".into();
    let replace = Replacements {
        providers: Some(vec![Arc::new(Fake::default())]),
        ..Replacements::default()
    };
    let server = start_with(settings, replace).await.unwrap();
    let link = server.control.first_link().await.unwrap().unwrap();
    let session = server
        .control
        .sign_in_with_link(link.url.rsplit('/').next().unwrap())
        .await
        .unwrap();
    let admin = server.control.authenticate_session(&session).await.unwrap();
    let request = serde_json::from_value(json!({"name": "bench"})).unwrap();
    let token = server.control.create_token(&admin, &request).await.unwrap().secret.unwrap();
    for index in 1..=4 {
        let path = folder.path().join(format!("app{index}.git"));
        repository(&path);
        let descriptor = json!({
            "apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": format!("app{index}")},
            "spec": {
                "type": "service", "owners": {"dev": "a", "ops": "b"}, "repository": path.display().to_string(),
                "recipes": [{"name": "python-app"}], "processes": {"web": {"command": ["python3", "app.py"]}},
                "ports": {"http": {}}, "env": {"PORT": {"value": "{{ ports.http }}"}},
                "dependsOn": (1..index).map(|i| json!({"app": format!("app{i}")})).collect::<Vec<_>>(),
            }
        });
        server
            .control
            .save_app(&admin, None, "app.json", descriptor.to_string().as_bytes(), None)
            .await
            .unwrap();
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut bare = Vec::new();
    let mut submits = Vec::new();
    for _ in 0..SUBMITS {
        let began = Instant::now();
        http.get(format!("{}/healthz", server.url))
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        bare.push(began.elapsed());
        let began = Instant::now();
        let answer = http
            .post(format!("{}/api/v1/stacks", server.url))
            .bearer_auth(&token)
            .json(&json!({"apps": [{"app": "app4", "revision": "main"}]}))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        submits.push(began.elapsed());
        assert!(status.is_success(), "{body}");
        // A launch waits for its agent, of which the fake has none; it must not pile up.
        let stack = body["stack"]["id"].as_str().unwrap().to_owned();
        server.control.destroy_stack(&admin, &stack).await.unwrap();
    }
    let yardstick = show("GET /healthz", bare);
    let ours = show("submit of a launch, four apps, to accepted", submits);
    ratio(ours, yardstick);
    server.shutdown().await;
}

fn repository(path: &Path) {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args([
            "-c",
            "user.name=Bench",
            "-c",
            "user.email=b@example.org",
            "-c",
            "init.defaultBranch=main",
        ]);
        assert!(
            command
                .args(arguments)
                .current_dir(path)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
    };
    std::fs::create_dir_all(path).unwrap();
    git(&["init", "--quiet"]);
    std::fs::write(path.join("app.py"), "print()\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "First"]);
}

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl StepKind for Nothing {
    fn name(&self) -> &'static str {
        "nothing"
    }

    fn class(&self) -> EffectClass {
        EffectClass::Pure
    }

    async fn apply(&self, _cx: &StepContext) -> Result<Value, StepError> {
        Ok(Value::Null)
    }
}

async fn engine() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    let store = Store::open(&url, Arc::new(SystemClock), Arc::new(SystemIds)).await.unwrap();
    let actor = Actor::system("bench");
    let mut commits = Vec::new();
    for _ in 0..STEPS {
        let began = Instant::now();
        for _ in 0..2 {
            store
                .write(&actor, "bench.commit", "x")
                .await
                .unwrap()
                .commit()
                .await
                .unwrap();
        }
        commits.push(began.elapsed());
    }
    let engine = Engine::new(
        store.clone(),
        StepKinds::new([Arc::new(Nothing) as Arc<dyn StepKind>]),
        EngineOptions::default(),
    );
    let stop = CancellationToken::new();
    let running = engine.start(stop.clone());
    let mut steps = Vec::new();
    // Chains of ten, so that what is measured is the way from one step to the next.
    for chain in 0..STEPS / 10 {
        let plan = Plan {
            kind: "bench".into(),
            title: "Bench".into(),
            subject: format!("bench-{chain}"),
            steps: (0..10)
                .map(|i| StepSpec::new(format!("s{i}"), "nothing", "Nothing").after((i > 0).then(|| format!("s{}", i - 1))))
                .collect(),
        };
        let mut tx = store.write(&actor, "bench.run", "x").await.unwrap();
        let run = tx.insert_run(&plan, &actor, None).await.unwrap();
        tx.commit().await.unwrap();
        loop {
            let record = store.run(&run).await.unwrap().unwrap();
            if record.run.state == RunState::Succeeded {
                let from = record.run.started_at.unwrap();
                let took = record.run.ended_at.unwrap().since(from);
                steps.push(Duration::from_micros(u64::try_from(took * 100).unwrap()));
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let yardstick = show("two bare commits, SQLite", commits);
    let ours = show("engine overhead for one step, SQLite (mean of ten)", steps);
    ratio(ours, yardstick);
    stop.cancel();
    running.await.unwrap();
}

fn cold_start() {
    let program = env!("CARGO_BIN_EXE_greenroom");
    let mut nothing = Vec::new();
    let mut starts = Vec::new();
    let mut memory = 0;
    for round in 0..STARTS {
        let began = Instant::now();
        assert!(
            Command::new(program)
                .arg("--version")
                .stdout(Stdio::null())
                .status()
                .unwrap()
                .success()
        );
        nothing.push(began.elapsed());
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let began = Instant::now();
        let mut server = Command::new(program)
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
            .arg(folder.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !answers(port) {
            std::thread::sleep(Duration::from_millis(1));
        }
        starts.push(began.elapsed());
        if round == STARTS - 1 {
            std::thread::sleep(Duration::from_secs(5));
            let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
            memory = status
                .lines()
                .find_map(|l| l.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
                .unwrap();
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }
    let yardstick = show("greenroom --version", nothing);
    let ours = show("cold start to /healthz, empty folder", starts);
    ratio(ours, yardstick);
    println!(
        "{:<58} {:.1} MiB",
        "idle server, resident after 5 s",
        f64::from(u32::try_from(memory).unwrap()) / 1024.0
    );
}

// Plain bytes: an HTTP client's own start would be measured too.
fn answers(port: u16) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut answer = [0; 12];
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}
