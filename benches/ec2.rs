//! `cargo bench --features ec2 --bench ec2`: how long EC2 launches take to leave us. Needs moto: `GREENROOM_MOTO` names a python that has it.
//!
//! | figure | goal | yardstick |
//! |---|---|---|
//! | from the submit of a launch, over HTTP, until RunInstances arrives at EC2 | p95 150 ms | `GET /healthz` on the same server |
//! | 200 launches at once: until the last RunInstances has been sent | 10 s | the same calls straight to moto, eight at a time |
//!
//! EC2 is moto behind the tests' proxy, which notes when calls arrive. Server, proxy and moto share the machine's processors, and moto
//! is the slowest of them: it answers some 25 to 40 launches a second.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

#[expect(dead_code, unused_imports, reason = "tests need more of it")]
#[path = "../tests/it/support/cloud/mod.rs"]
mod cloud;

use async_trait::async_trait;
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use cloud::{Cloud, Weather};
use greenroom::cli::serve::{Replacements, start_with};
use greenroom::config::Settings;
use greenroom::providers::NodeSpec;
use greenroom::providers::ec2::{Ec2, Ec2Options, FirstStart, Pace, Reach};
use greenroom::wire::auth::NewToken;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ONE_BY_ONE: usize = 40;
const AT_ONCE: usize = 200;

fn main() {
    greenroom::tls::install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

/// User-data of the usual length.
#[derive(Debug)]
struct Usual;

#[async_trait]
impl FirstStart for Usual {
    async fn user_data(&self, spec: &NodeSpec) -> Result<String, String> {
        Ok(format!("#cloud-config\n# {}\n{}", spec.bootstrap.token, "#".repeat(1500)))
    }
}

struct Bench {
    cloud: Cloud,
    url: String,
    token: String,
    http: reqwest::Client,
}

impl Bench {
    async fn launch(&self, name: &str) -> String {
        let body = json!({ "name": name, "apps": [{ "app": "app", "revision": "main" }], "provider": "ec2" });
        let sent = self
            .http
            .post(format!("{}/api/v1/stacks", self.url))
            .bearer_auth(&self.token)
            .json(&body);
        let answer = sent.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        let accepted: Value = answer.json().await.unwrap();
        accepted["stack"]["id"].as_str().unwrap().to_owned()
    }

    /// When each stack's first RunInstances arrived.
    fn arrivals(&self) -> BTreeMap<String, Instant> {
        let mut first = BTreeMap::new();
        for (call, at) in self.cloud.calls("RunInstances") {
            let key = (1..20).find(|n| {
                call.get(&format!("TagSpecification.1.Tag.{n}.Key"))
                    .is_some_and(|k| k == "greenroom:stack")
            });
            let stack = key.and_then(|n| call.get(&format!("TagSpecification.1.Tag.{n}.Value")));
            first.entry(stack.cloned().unwrap_or_default()).or_insert(at);
        }
        first
    }
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let bench = serve(folder.path(), cloud).await;

    let mut healthz = Vec::new();
    for _ in 0..100 {
        let began = Instant::now();
        bench.http.get(format!("{}/healthz", bench.url)).send().await.unwrap();
        healthz.push(began.elapsed());
    }
    let mut sent = Vec::new();
    for index in 0..ONE_BY_ONE {
        let began = Instant::now();
        let stack = bench.launch(&format!("one-{index}")).await;
        let arrived = loop {
            if let Some(at) = bench.arrivals().get(&stack) {
                break *at;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it was never launched");
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        sent.push(arrived - began);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    show("GET /healthz", healthz);
    show("submit until RunInstances arrives", sent);

    let before = bench.arrivals().len();
    let began = Instant::now();
    let names: Vec<String> = (0..AT_ONCE).map(|index| format!("many-{index}")).collect();
    let stacks: BTreeSet<String> = futures_util::future::join_all(names.iter().map(|name| bench.launch(name)))
        .await
        .into_iter()
        .collect();
    let accepted = began.elapsed();
    let last = loop {
        let arrivals = bench.arrivals();
        if arrivals.len() >= before + AT_ONCE {
            break stacks.iter().map(|stack| arrivals[stack]).max().unwrap();
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{} of {AT_ONCE} were sent",
            arrivals.len() - before
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let total = last - began;
    println!("{AT_ONCE} launches at once: all accepted after {accepted:.2?}, the last RunInstances sent after {total:.2?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let there = bench.cloud.tagged("greenroom", "bench").await;
    let instances = there.iter().filter(|line| line.starts_with("i-")).count();
    println!(
        "instances: {instances} for {} stacks, duplicates: {}",
        ONE_BY_ONE + AT_ONCE,
        instances.saturating_sub(ONE_BY_ONE + AT_ONCE)
    );

    // The yardstick: the emulator alone, with nothing to do but this.
    let began = Instant::now();
    let lanes = (0..8).map(|_| async {
        for _ in 0..AT_ONCE / 8 {
            let image = bench.cloud.calls("RunInstances")[0].0["ImageId"].clone();
            let call = [
                ("ImageId", image.as_str()),
                ("InstanceType", "t3.small"),
                ("MinCount", "1"),
                ("MaxCount", "1"),
            ];
            bench.cloud.ask("RunInstances", &call).await;
        }
    });
    futures_util::future::join_all(lanes).await;
    println!(
        "yardstick: {AT_ONCE} RunInstances straight to moto, eight at a time: {:.2?}",
        began.elapsed()
    );
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    println!(
        "{what:<40} p50 {:>9.2?}  p95 {:>9.2?}  max {:>9.2?}  (n={})",
        at(50),
        at(95),
        times[times.len() - 1],
        times.len()
    );
}

async fn serve(folder: &Path, cloud: Cloud) -> Bench {
    let ec2 = Ec2::new(Ec2Options {
        folder: folder.join("ec2"),
        region: "us-east-1".into(),
        profile: String::new(),
        endpoint: cloud.url().into(),
        owner: "bench".into(),
        image: "self/greenroom-base-*".into(),
        types: [vec!["t3.small".into()], vec!["t3.medium".into()], vec!["t3.xlarge".into()]],
        subnets: Vec::new(),
        security_groups: Vec::new(),
        key_pair: String::new(),
        instance_profile: String::new(),
        root_gb: 16,
        root_type: "gp3".into(),
        spot: false,
        reach: Reach::Public,
        first_port: 8000,
        server_url: "https://greenroom.example".into(),
        first_start: Arc::new(Usual),
        credentials: Some(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "bench",
        ))),
        pace: Pace::default(),
        interrupt: None,
    });
    let mut settings = Settings::default();
    settings.server.listen = "127.0.0.1:0".into();
    settings.data.folder = folder.join("data");
    let replace = Replacements {
        providers: Some(vec![Arc::new(ec2.await.unwrap())]),
        ..Replacements::default()
    };
    let running = start_with(settings, replace).await.unwrap();
    let control = &running.control;
    let link = control.first_link().await.unwrap().unwrap();
    let session = control.sign_in_with_link(link.url.rsplit('/').next().unwrap()).await.unwrap();
    let admin = control.authenticate_session(&session).await.unwrap();
    let request = NewToken {
        name: "bench".into(),
        role: None,
        expires_in: None,
    };
    let token = control.create_token(&admin, &request).await.unwrap().secret.unwrap();
    let repository = folder.join("app.git");
    std::fs::create_dir(&repository).unwrap();
    std::fs::write(repository.join("app.py"), "").unwrap();
    for words in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &[
            "-c",
            "user.name=b",
            "-c",
            "user.email=b@example.org",
            "commit",
            "--quiet",
            "--message",
            "The app",
        ],
    ] {
        assert!(
            Command::new("git")
                .arg("-C")
                .arg(&repository)
                .args(words)
                .status()
                .unwrap()
                .success()
        );
    }
    let descriptor = json!({
        "apiVersion": "greenroom/v1", "kind": "App", "metadata": { "name": "app" },
        "spec": {
            "type": "website", "owners": { "dev": "a", "ops": "b" }, "repository": repository.display().to_string(),
            "recipes": [{ "name": "checkout" }], "processes": { "web": { "command": ["python3", "app.py"] } },
            "ports": { "http": { "public": true } },
        }
    });
    let text = descriptor.to_string();
    control
        .save_app(&admin, None, "app.json", text.as_bytes(), None)
        .await
        .unwrap();
    Bench {
        cloud,
        url: running.url.clone(),
        token,
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
    }
}
