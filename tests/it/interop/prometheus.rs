//! The real Prometheus finds its targets here.

use super::{Company, program};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_lists_our_nodes_as_targets_with_their_labels() {
    let Some(program) = program("prometheus", &[]) else { return };
    let company = Company::open(24_100).await;
    let settings = company.folder().join("prometheus.yml");
    std::fs::write(
        &settings,
        format!(
            "scrape_configs:\n  - job_name: nodes\n    scrape_interval: 1h\n    http_sd_configs:\n      \
             - url: {}/api/v1/interop/prometheus\n        refresh_interval: 1s\n        authorization:\n          \
             credentials: {}\n    relabel_configs:\n      - source_labels: [__meta_greenroom_datacenter]\n        \
             target_label: datacenter\n      - source_labels: [__meta_greenroom_roles]\n        \
             regex: .*,web,.*\n        action: keep\n",
            company.url(),
            company.stage.token
        ),
    )
    .unwrap();
    // Not in the pool of any other test.
    let port = 24_119;
    let mut command = Command::new(program);
    command
        .arg(format!("--config.file={}", settings.display()))
        .arg(format!("--storage.tsdb.path={}", company.folder().join("tsdb").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(company.folder().join("prometheus.log")).unwrap());
    let _running = Prometheus(command.spawn().unwrap());
    let targets = async || -> Option<Vec<(String, String)>> {
        let url = format!("http://127.0.0.1:{port}/api/v1/targets?state=active");
        let answer: Value = company.stage.http.get(url).send().await.ok()?.json().await.ok()?;
        let active = answer["data"]["activeTargets"].as_array()?;
        let mut found: Vec<(String, String)> = active
            .iter()
            .map(|target| {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (word(&target["labels"]["instance"]), word(&target["labels"]["datacenter"]))
            })
            .collect();
        found.sort();
        Some(found)
    };
    let wait_for = async |wanted: &[(&str, &str)]| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = targets().await.unwrap_or_default();
            if found.iter().map(|(a, b)| (a.as_str(), b.as_str())).eq(wanted.iter().copied()) {
                return;
            }
            let log = std::fs::read_to_string(company.folder().join("prometheus.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{found:?}\n{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    wait_for(&[("127.0.0.1:9100", "dc-north"), ("127.0.0.2:9100", "dc-south")]).await;
    // A new node is found at the next refresh.
    let spec = serde_json::json!({
        "datacenter": "dc-south", "environment": "production", "roles": ["web"], "addresses": {"private": "127.0.0.3"}
    });
    company.save("Node", "web-3", spec).await;
    wait_for(&[
        ("127.0.0.1:9100", "dc-north"),
        ("127.0.0.2:9100", "dc-south"),
        ("127.0.0.3:9100", "dc-south"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_are_always_sent_whole_with_brackets_around_ipv6() {
    let company = Company::open(24_120).await;
    let answer = company.get("/api/v1/interop/prometheus?port=9256").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("etag").is_none());
    let groups: Value = answer.json().await.unwrap();
    let all: Vec<&str> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["targets"][0].as_str().unwrap())
        .collect();
    assert!(all.contains(&"[fd00::7]:9256"), "{all:?}");
    for (path, status) in [("?port=metrics", 400), ("?app=nothing", 404), ("?q=role:web%20AND", 400)] {
        let answer = company.get(&format!("/api/v1/interop/prometheus{path}")).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    let answer = company
        .get("/api/v1/interop/prometheus?q=role:web%20AND%20datacenter:dc-south")
        .await;
    let groups: Value = answer.json().await.unwrap();
    assert_eq!(groups.as_array().unwrap().len(), 1, "{groups}");
    assert_eq!(groups[0]["targets"], serde_json::json!(["127.0.0.2:9100"]));
}
