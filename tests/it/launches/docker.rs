//! Stacks that are containers: real packages, a real database, and nothing outside within reach.

use super::stage::{GOOD_APP, Props, Repository, Stage, request};
use crate::agent::harness::eventually;
use crate::providers::docker::docker;
use crate::targets::containers;
use greenroom::model::stack::StackState;
use greenroom::wire::stacks::{Accepted, LaunchRequest, StackView};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

async fn stage() -> Option<Stage> {
    let image = containers::image()?;
    let props = Props {
        docker: Some(image.to_owned()),
        ..Props::default()
    };
    Some(Stage::open_with(24_950, props).await)
}

fn in_a_container() -> LaunchRequest {
    LaunchRequest {
        provider: Some("docker".into()),
        ..request("main")
    }
}

async fn launched(stage: &Stage) -> Accepted {
    let control = &stage.running.control;
    control.launch_stack(&stage.admin, &in_a_container()).await.unwrap()
}

// The app of `GOOD_APP`, listening where a node is reached, with these differences.
async fn registered(stage: &Stage, files: &[(&str, &str)], spec: Value) -> Repository {
    let repository = stage.repository("app", files);
    let mut all = json!({ "env": { "PORT": { "value": "{{ ports.http }}" }, "HOST": { "value": "{{ node.address }}" } } });
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    stage.register(&repository, all).await;
    repository
}

async fn container(stage: &Stage) -> String {
    let nodes = stage.running.control.store.live_nodes().await.unwrap();
    assert_eq!(nodes.len(), 1);
    format!("greenroom-{}", nodes[0].id)
}

fn inside(container: &str, command: &str) -> (bool, String) {
    let ran = Command::new("docker")
        .args(["exec", container, "sh", "-c", command])
        .output()
        .unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.success(), String::from_utf8_lossy(&said).into_owned())
}

async fn destroyed(stage: &Stage, stack: &StackView) {
    let began = Instant::now();
    stage.destroy(&stack.id).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let label = format!("label=greenroom.stack={}", stack.id);
    for kind in [&["ps", "-a"][..], &["network", "ls"], &["volume", "ls"]] {
        assert_eq!(docker(&[kind, &["--filter", &label, "-q"]].concat()), "", "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_serves_from_a_container_and_comes_back_from_a_kill_a_stop_and_an_update() {
    let Some(stage) = stage().await else { return };
    let repository = registered(&stage, &[("app.py", GOOD_APP), ("page", "one")], json!({})).await;
    let stack = stage.serves(&launched(&stage).await, "one").await;
    let name = container(&stage).await;

    docker(&["kill", "--signal", "KILL", &name]);
    let back = || docker(&["inspect", "-f", "{{.State.Running}}", &name]) == "true";
    eventually(|| "the container is revived".into(), || back().then_some(())).await;
    answers(&stage, &stack, "one").await;

    repository.commit(&[("page", "two")]);
    let updated = stage.update(&stack.id, "main").await.unwrap();
    let stack = stage.serves(&updated, "two").await;

    let control = &stage.running.control;
    let stopped = control.stop_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(stage.ended(&stopped).await.state.as_str(), "succeeded");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &name]), "false");
    let started = control.start_stack(&stage.admin, &stack.id).await.unwrap();
    let stack = stage.serves(&started, "two").await;
    destroyed(&stage, &stack).await;
}

async fn answers(stage: &Stage, stack: &StackView, page: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = stage
            .http
            .get(stack.links[0].direct())
            .timeout(Duration::from_secs(5))
            .send()
            .await;
        if let Ok(answer) = answer
            && answer.text().await.unwrap_or_default() == page
        {
            return;
        }
        assert!(Instant::now() < deadline, "{} never answers", stack.links[0].direct());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_app_reaches_nothing_but_its_own_container() {
    let Some(stage) = stage().await else { return };
    registered(&stage, &[("app.py", GOOD_APP), ("page", "one")], json!({})).await;
    let stack = stage.serves(&launched(&stage).await, "one").await;
    let other = LaunchRequest {
        name: Some("another-stack".into()),
        ..in_a_container()
    };
    let other = stage.running.control.launch_stack(&stage.admin, &other).await.unwrap();
    let other = stage.serves(&other, "one").await;
    let name = format!("greenroom-{}", stack_node(&stage, &stack).await);

    // What listens on this machine's loopback, and the server itself, by its own address.
    let server = stage
        .running
        .control
        .settings
        .server
        .public_url
        .replace("localhost", "127.0.0.1");
    let neighbour = other.links[0].direct().to_owned();
    for (what, url) in [
        ("the internet", "http://1.1.1.1/"),
        ("the internet by name", "http://deb.debian.org/"),
        ("the metadata service", "http://169.254.169.254/latest/meta-data/"),
        ("the server", server.as_str()),
        ("another stack", neighbour.as_str()),
    ] {
        let (reached, said) = inside(&name, &format!("curl -sS --noproxy '*' -m 3 -o /dev/null {url}"));
        assert!(!reached, "{what} is reached: {said}");
    }
    // By the gateway, this machine's own address on the network: its loopback is another one.
    let port = server.rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let gateway = gateway_of(&stack);
    let (reached, said) = inside(
        &name,
        &format!("curl -sS --noproxy '*' -m 3 -o /dev/null http://{gateway}:{port}/"),
    );
    assert!(!reached, "the server is reached by the gateway: {said}");

    // Through the socket only what agents ask is served, and only to whoever signs it.
    let over_socket = |path: &str| {
        let ask = format!(
            "curl -sS -m 3 -o /dev/null -w '%{{http_code}}' --unix-socket /run/greenroom/server.sock http://greenroom{path}"
        );
        inside(&name, &ask).1
    };
    assert_eq!(over_socket("/agent/v1/configuration"), "401");
    for path in ["/", "/api/v1/stacks", "/api/v1/agents", "/healthz", "/metrics"] {
        assert_eq!(over_socket(path), "404", "{path}");
    }

    // The machine's files, devices, engine and processes.
    let data = stage.data.display().to_string();
    for (what, command) in [
        ("the data folder", format!("ls {data}")),
        ("Docker's socket", "ls /var/run/docker.sock".to_owned()),
        ("a write beside the socket", "touch /run/greenroom/x".to_owned()),
        ("a mount", "mount -t tmpfs none /mnt".to_owned()),
        ("a device", "mknod /tmp/disk b 8 0".to_owned()),
        ("the kernel's settings", "echo 1 > /proc/sys/kernel/panic".to_owned()),
        ("a route of its own", "ip route add 1.1.1.1 via 127.0.0.1".to_owned()),
        ("a module", "test -e /dev/mem -o -e /dev/kmsg".to_owned()),
        (
            "processes of this machine",
            "grep -qa docker[d] /proc/[0-9]*/cmdline".to_owned(),
        ),
    ] {
        let (done, said) = inside(&name, &command);
        assert!(!done, "{what}: {said}");
    }
    // What it may use is limited.
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpuQuota}} {{.HostConfig.Privileged}}";
    assert_eq!(docker(&["inspect", "-f", limits, &name]), "1073741824 1024 100000 false");
    for stack in [&stack, &other] {
        let accepted = stage.running.control.destroy_stack(&stage.admin, &stack.id).await.unwrap();
        assert_eq!(stage.ended(&accepted).await.state.as_str(), "succeeded");
    }
    stage.nothing_is_left().await;
}

async fn stack_node(stage: &Stage, stack: &StackView) -> String {
    let nodes = stage.running.control.store.live_nodes().await.unwrap();
    let of_stack = nodes.into_iter().find(|node| node.stack.as_str() == stack.id);
    of_stack.unwrap().id.as_str().to_owned()
}

fn gateway_of(stack: &StackView) -> String {
    let url = reqwest::Url::parse(stack.links[0].direct()).unwrap();
    let address: std::net::Ipv4Addr = url.host_str().unwrap().parse().unwrap();
    std::net::Ipv4Addr::from(u32::from(address) - 1).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_names_whom_it_calls_is_let_out() {
    let Some(stage) = stage().await else { return };
    let outbound = json!({ "outbound": { "allow": ["deb.debian.org"] } });
    registered(&stage, &[("app.py", GOOD_APP), ("page", "one")], outbound).await;
    let stack = stage.serves(&launched(&stage).await, "one").await;
    let name = container(&stage).await;
    let (reached, said) = inside(&name, "ip route show default");
    assert!(reached && said.contains("default via"), "{said}");
    let networks = docker(&[
        "inspect",
        "-f",
        "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}",
        &name,
    ]);
    assert!(networks.contains("greenroom-outside"), "{networks}");
    destroyed(&stage, &stack).await;
}

const SHOP: &str = r#"
import http.server, os, psycopg2, redis
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with psycopg2.connect(os.environ["DATABASE_URL"]) as database:
            cursor = database.cursor()
            cursor.execute("SELECT count(*) FROM books")
            books = cursor.fetchone()[0]
        visits = redis.Redis().incr("visits")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{books} books, {'first' if visits == 1 else 'later'} visit".encode())
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn nginx_postgresql_and_redis_are_installed_by_the_recipes_of_production() {
    let Some(stage) = stage().await else { return };
    let files = [
        ("app.py", SHOP),
        ("schema.sql", "CREATE TABLE IF NOT EXISTS books (title TEXT);"),
        ("books.sql", "INSERT INTO books VALUES ('Emma'), ('Persuasion');"),
    ];
    let spec = json!({
        "recipes": [
            { "name": "redis" },
            { "name": "python-app", "with": { "system_packages": ["python3-psycopg2", "python3-redis"] } },
            { "name": "nginx-front", "with": { "app_port": "http" } },
        ],
        "ports": { "http": {}, "front": { "public": true } },
        "env": {
            "PORT": { "value": "{{ ports.http }}" }, "HOST": { "value": "{{ node.address }}" },
            "DATABASE_URL": { "value": "{{ resources.db.url }}" },
        },
        "readinessProbe": { "httpGet": { "path": "/", "port": "http" }, "timeout": "30s" },
        "resources": { "db": { "type": "postgres", "data": { "schema": "schema.sql", "fixture": "books.sql" } } },
        "checks": [{ "name": "nginx passes on", "httpGet": { "path": "/", "port": "front" }, "contains": "2 books" }],
    });
    registered(&stage, &files, spec).await;
    let planned = stage
        .running
        .control
        .plan_stack(&stage.admin, &in_a_container())
        .await
        .unwrap();
    let steps: Vec<&str> = planned.steps.iter().map(|step| step.key.as_str()).collect();
    assert!(!steps.iter().any(|step| step.starts_with("database")), "{steps:?}");
    let states: Vec<&str> = planned.states.iter().map(|state| state.id.as_str()).collect();
    assert!(states.iter().any(|state| state.starts_with("database_user/")), "{states:?}");

    let accepted = launched(&stage).await;
    let run = stage.ended(&accepted).await;
    assert_eq!(run.state.as_str(), "succeeded", "{run:#?}");
    let stack = stage.stack(&accepted.stack.id).await;
    assert_eq!(stack.state, StackState::Ready);
    let front = stack
        .links
        .iter()
        .find(|link| link.port == "front")
        .unwrap()
        .direct()
        .to_owned();
    let page = stage.http.get(&front).send().await.unwrap().text().await.unwrap();
    assert_eq!(page, "2 books, later visit");

    // All of it is there again after a stop, with what it held.
    let control = &stage.running.control;
    let stopped = control.stop_stack(&stage.admin, &stack.id).await.unwrap();
    assert_eq!(stage.ended(&stopped).await.state.as_str(), "succeeded");
    let started = control.start_stack(&stage.admin, &stack.id).await.unwrap();
    let run = stage.ended(&started).await;
    assert_eq!(run.state.as_str(), "succeeded", "{run:#?}");
    let page = stage.http.get(&front).send().await.unwrap().text().await.unwrap();
    assert_eq!(page, "2 books, later visit");
    destroyed(&stage, &stack).await;
}
