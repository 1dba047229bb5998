//! What the measuring programs share: the real server as a process of its own, and agents that sign as agents do.

use greenroom::model::signature::{SigningKey, sign_request};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// The server; it ends with this.
pub struct Server {
    /// Its process.
    pub child: Child,
    /// Its address.
    pub url: String,
    /// An API token of an admin.
    pub token: String,
    api: Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The agent of a node, as far as the server sees it.
pub struct Agent {
    /// Its key.
    pub key: SigningKey,
    /// Its node's name.
    pub name: String,
    /// Its node's id.
    pub node: String,
    client: Client,
}

impl Server {
    /// Calls the API as an admin.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        let api = &self.api;
        let request = api
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token)
            .json(body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap_or_default()
    }

    /// Saves an object of the inventory.
    pub async fn save(&self, kind: &str, name: &str, spec: Value, version: Option<i64>) {
        let object = json!({ "apiVersion": "greenroom/v1", "kind": kind, "metadata": { "name": name }, "spec": spec });
        let path = format!("{}/api/v1/{}s/{name}", self.url, kind.to_lowercase());
        let mut request = self.api.put(path).bearer_auth(&self.token).json(&object);
        if let Some(version) = version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.text().await.unwrap());
    }
}

impl Agent {
    /// Sends a signed request.
    pub async fn send(&self, url: &str, method: Method, path: &str, body: Option<Value>, more: &[(&str, String)]) -> Response {
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

/// Registers so many agents, `n00000` and so on, with one token.
pub async fn register(url: &str, secret: &str, count: usize) -> Vec<Arc<Agent>> {
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

/// Starts a server with an empty database in this folder.
pub async fn serve(folder: &std::path::Path) -> Server {
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
        .arg("--settings")
        .arg(&settings)
        .env("GREENROOM_LOG", "warn")
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Server {
        child,
        url: format!("http://127.0.0.1:{port}"),
        token: String::new(),
        api: Client::builder().no_proxy().build().unwrap(),
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
        assert!(server.child.try_wait().unwrap().is_none(), "the server has ended: {said}");
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
    made["secret"].as_str().unwrap().clone_into(&mut server.token);
    server
}
