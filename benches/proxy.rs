//! `cargo bench --profile dist --bench proxy`: an app asked through the built-in reverse proxy, beside nginx as a proxy in front
//! of the same app and the app asked directly, in the same run under the same `wrk`.
//!
//! | figure | goal |
//! |---|---|
//! | requests a second for a page of 1 KiB | 70 % of nginx as a proxy |
//! | the same for 64 KiB | |
//! | the slowest hundredth of them | |
//!
//! The app is nginx with one worker serving memory, so that it is never what is measured. nginx as a proxy keeps as many
//! connections to it as it likes, has a worker for each processor and logs nothing. Each request to ours carries the
//! pass of someone who is signed in, and the proxy looks at it. Server and load share the machine; compare ratios.
//! Needs `nginx` and `wrk` on the `PATH`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and prints its figures"
)]

use greenroom::cli::serve::{Replacements, Running, start_with};
use greenroom::config::Settings;
use greenroom::model::id::{NodeId, StackId};
use greenroom::model::stack::{Purpose, Size, Stack, StackApp, StackSpec, StackState};
use serde_json::json;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const ROUNDS: usize = 3;
const SECONDS: u64 = 5;
const HOST: &str = "shop--bench-duet.localhost";

fn main() {
    greenroom::tls::install();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(measure(folder.path()));
}

async fn measure(folder: &Path) {
    let (app, front) = (free_port(), free_port());
    let _app = Nginx::start(&folder.join("app"), 1, &app_server(folder, app));
    let _front = Nginx::start(&folder.join("front"), 0, &front_server(front, app));
    let (running, cookie) = serve(folder, app).await;
    let ours = running.url.rsplit(':').next().unwrap().to_owned();
    let pass = vec![format!("host: {HOST}:{ours}"), format!("cookie: {cookie}")];
    for (page, name) in [("small", "1 KiB"), ("large", "64 KiB")] {
        let mut seen = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            seen[0].push(wrk(&format!("http://127.0.0.1:{app}/{page}"), &[]));
            seen[1].push(wrk(&format!("http://127.0.0.1:{front}/{page}"), &[]));
            seen[2].push(wrk(&format!("http://127.0.0.1:{ours}/{page}"), &pass));
        }
        let [direct, nginx, proxy] = seen.map(|mut figures| {
            figures.sort_by(|a, b| a.0.total_cmp(&b.0));
            figures.swap_remove(figures.len() / 2)
        });
        println!(
            "{name:>7}: {:>8.0} req/s (p99 {})   nginx {:>8.0} (p99 {})   {:.0} % of nginx   directly {:>8.0}",
            proxy.0,
            proxy.1,
            nginx.0,
            nginx.1,
            proxy.0 / nginx.0 * 100.0,
            direct.0
        );
    }
    running.shutdown().await;
}

// A server with one stack that serves, whose app is at this port, and the cookie of someone who may look at it.
async fn serve(folder: &Path, app: u16) -> (Running, String) {
    let mut settings = Settings::default();
    settings.server.listen = "127.0.0.1:0".into();
    settings.data.folder = folder.join("data");
    let running = start_with(settings, Replacements::default()).await.unwrap();
    let control = &running.control;
    let link = control.first_link().await.unwrap().unwrap();
    let session = control.sign_in_with_link(link.url.rsplit('/').next().unwrap()).await.unwrap();
    let admin = control.authenticate_session(&session).await.unwrap();
    let descriptor = json!({
        "apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": "shop"},
        "spec": {
            "type": "website", "owners": {"dev": "a", "ops": "b"}, "repository": "/nowhere/shop.git",
            "recipes": [{"name": "python-app"}], "processes": {"web": {"command": ["true"]}}, "ports": {"http": {"public": true}},
        }
    });
    let descriptor = descriptor.to_string();
    let saved = control.save_app(&admin, None, "shop.json", descriptor.as_bytes(), None);
    saved.await.unwrap();
    let mut tx = control.store.journal().await.unwrap();
    let node = NodeId::from_bits(tx.next_id());
    let mut stack = Stack {
        id: StackId::from_bits(tx.next_id()),
        name: "bench-duet".parse().unwrap(),
        owner: admin.user_id().unwrap().clone(),
        // One that no server has, so that nobody looks after the node.
        provider: "bench".into(),
        state: StackState::Building,
        spec: StackSpec {
            apps: vec![StackApp {
                app: "shop".parse().unwrap(),
                descriptor_version: 1,
                revision: "main".into(),
                commit: "a".repeat(40).parse().unwrap(),
                subject: "Begin".into(),
                chosen: true,
            }],
            data: std::collections::BTreeMap::new(),
            size: Size::Small,
            bundle: None,
        },
        previous: None,
        node: Some(node.clone()),
        links: vec![],
        fault: None,
        run: None,
        created_at: tx.at(),
        ready_at: None,
        lease_until: tx.at().plus(86_400_000),
        lease_max: tx.at().plus(86_400_000),
        stopped_at: None,
        purpose: Purpose::Person,
        version: 1,
    };
    tx.insert_stack(&stack).await.unwrap();
    tx.insert_node(&node, &stack.id, "bench").await.unwrap();
    let handle = json!({
        "external_id": "x", "address": "127.0.0.1", "ports": {"shop/http": app},
        "layout": {"apps": "/a", "data": "/b", "config": "/c", "logs": "/d"}, "isolation": "none",
    });
    tx.set_node_created(&node, &handle).await.unwrap();
    stack.state = StackState::Ready;
    tx.update_stack(&mut stack).await.unwrap();
    tx.commit().await.unwrap();
    let port = running.url.rsplit(':').next().unwrap();
    let to = format!("http://{HOST}:{port}/");
    let handed = control.hand_over(&admin, &session, &to).await.unwrap();
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve(HOST, ([127, 0, 0, 1], 0).into())
        .build()
        .unwrap();
    let entered = http.get(handed).send().await.unwrap();
    let cookie = entered.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    (running, cookie)
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn app_server(folder: &Path, port: u16) -> String {
    let root = folder.join("pages");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("small"), "x".repeat(1024)).unwrap();
    std::fs::write(root.join("large"), "x".repeat(64 * 1024)).unwrap();
    format!(
        "server {{ listen 127.0.0.1:{port}; root {}; open_file_cache max=10; default_type text/html; }}",
        root.display()
    )
}

fn front_server(port: u16, app: u16) -> String {
    format!(
        "upstream app {{ server 127.0.0.1:{app}; keepalive 128; keepalive_requests 100000000; }}\n\
         server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; \
         proxy_set_header X-Forwarded-Proto $scheme; }} }}"
    )
}

struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers go with it when it is told to end, and not when it is killed.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Nginx {
    fn start(folder: &Path, workers: usize, server: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let at = folder.display();
        let workers = if workers == 0 {
            "auto".to_owned()
        } else {
            workers.to_string()
        };
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {at}/{kind};"));
        let text = format!(
            "daemon off; worker_processes {workers}; user root; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000; {}\n{server} }}\n",
            temporary.join(" ")
        );
        let settings = folder.join("nginx.conf");
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        Self(child)
    }
}

// Requests a second, and the slowest hundredth; every answer must have been good.
fn wrk(url: &str, headers: &[String]) -> (f64, String) {
    let headers = || headers.iter().flat_map(|header| ["-H", header]);
    let once = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", url])
        .args(headers())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&once.stdout), "200", "{url}");
    let ended = Command::new("wrk")
        .args(["-t2", "-c64", "--latency", &format!("-d{SECONDS}s")])
        .args(headers())
        .arg(url)
        .output()
        .unwrap();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let find = |start: &str| {
        said.lines()
            .find_map(|line| line.trim().strip_prefix(start))
            .unwrap()
            .trim()
            .to_owned()
    };
    (find("Requests/sec:").parse().unwrap(), find("99%"))
}
