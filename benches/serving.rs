//! `cargo bench --profile dist --bench serving`: a node's configuration of 8 KB served to its agent, and the answer that it has not changed,
//! beside nginx serving the same bytes from disk in the same run, each under the same `wrk`.
//!
//! | figure | goal |
//! |---|---|
//! | requests a second for the configuration, signed by the node | 60 % of nginx |
//! | the same for "not changed" (304) | 60 % of nginx |
//! | the same with an API token, compiled for people and tools | |
//!
//! Agents ask with a signature that is good for five minutes, and so does `wrk` here; each request is proved. nginx has as many
//! workers as processors, keeps connections and logs nothing. Server and load share the machine; compare ratios.
//! Needs `nginx` and `wrk` on the `PATH`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

mod fleet;

use fleet::{register, serve};
use greenroom::model::signature::sign_request;
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ROUNDS: usize = 3;
const SECONDS: u64 = 5;

fn main() {
    greenroom::tls::install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(measure(folder.path()));
}

async fn measure(folder: &Path) {
    let server = serve(folder).await;
    server.save("Environment", "production", json!({}), None).await;
    server.save("Datacenter", "dc1", json!({}), None).await;
    let wanted = json!({ "name": "n*", "environment": "production", "datacenter": "dc1", "uses": 1, "ttl": "1h" });
    let token = server.call(Method::POST, "/api/v1/node-tokens", &wanted).await;
    let agents = register(&server.url, token["secret"].as_str().unwrap(), 1).await;
    let agent = &agents[0];
    let file = |n: usize| {
        json!({ "id": format!("a/file/{n}"), "title": "Write a file", "origin": "bench.yaml:1:1", "type": "file",
            "path": format!("/etc/bench/{n}.conf"), "content": "setting = value\n".repeat(8), "mode": "0644" })
    };
    let configuration = json!({ "format": 1, "states": (0..26).map(file).collect::<Vec<_>>() });
    let path = format!("/api/v1/agents/{}/configuration", agent.name);
    let hash = server.call(Method::PUT, &path, &configuration).await["hash"]
        .as_str()
        .unwrap()
        .to_owned();

    let uri = format!("{}/agent/v1/configuration", server.url);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let created = i64::try_from(now).unwrap();
    let signed = sign_request(
        &agent.key,
        &agent.node,
        ("GET", &uri),
        b"",
        created,
        "00000000000000000000000000000001",
    );
    let signature = vec![
        format!("content-digest: {}", signed.content_digest),
        format!("signature-input: {}", signed.signature_input),
        format!("signature: {}", signed.signature),
    ];
    let answer = agent
        .send(&server.url, Method::GET, "/agent/v1/configuration", None, &[])
        .await;
    let body = answer.bytes().await.unwrap();
    println!("a configuration of {} bytes", body.len());
    let nginx = Nginx::start(folder, &body);
    let etag = nginx.etag().await;

    let unchanged = |etag: &str| vec![format!("if-none-match: {etag}")];
    let both = |etag: &str| [signature.clone(), unchanged(etag)].concat();
    let token = vec![format!("authorization: Bearer {}", server.token)];
    let node = format!("{}/api/v1/nodes/{}", server.url, agent.name);
    let mut seen = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        seen[0].push(wrk(&nginx.url, &[], 200));
        seen[1].push(wrk(&uri, &signature, 200));
        seen[2].push(wrk(&nginx.url, &unchanged(&etag), 304));
        seen[3].push(wrk(&uri, &both(&format!("\"{hash}\"")), 304));
        seen[4].push(wrk(&node, &token, 200));
    }
    let [nginx_200, ours_200, nginx_304, ours_304, api] = seen.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    });
    let row = |what: &str, ours: f64, nginx: f64| {
        println!(
            "{what:34} {ours:>9.0} req/s   nginx {nginx:>9.0}   {:.0} % of nginx",
            ours / nginx * 100.0
        );
    };
    row("the configuration, signed", ours_200, nginx_200);
    row("not changed, signed", ours_304, nginx_304);
    row("the node's object, API token", api, nginx_200);
}

struct Nginx {
    url: String,
    child: std::process::Child,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers go with it when it is told to end, and not when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Nginx {
    fn start(folder: &Path, body: &[u8]) -> Self {
        let root = folder.join("nginx");
        std::fs::create_dir_all(root.join("html")).unwrap();
        std::fs::write(root.join("html/node.json"), body).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = root.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {at}/{kind};"));
        let text = format!(
            "daemon off; worker_processes auto; user root; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; keepalive_requests 100000000; {}\n\
             server {{ listen 127.0.0.1:{port}; root {at}/html; default_type application/json; }} }}\n",
            temporary.join(" ")
        );
        let settings = root.join("nginx.conf");
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let url = format!("http://127.0.0.1:{port}/node.json");
        Self { url, child }
    }

    async fn etag(&self) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for _ in 0..100 {
            if let Ok(answer) = client.get(&self.url).send().await {
                return answer.headers()["etag"].to_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nginx did not start");
    }
}

// Requests a second; every answer must have been of this status.
fn wrk(url: &str, headers: &[String], status: u16) -> f64 {
    let once = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", url])
        .args(headers.iter().flat_map(|header| ["-H", header]))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&once.stdout), status.to_string(), "{url}");
    let ended = Command::new("wrk")
        .args(["-t2", "-c64", &format!("-d{SECONDS}s")])
        .args(headers.iter().flat_map(|header| ["-H", header]))
        .arg(url)
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(!said.contains("Non-2xx"), "{said}");
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap();
    rate.trim().parse().unwrap()
}
