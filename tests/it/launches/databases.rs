//! Databases in a PostgreSQL server: made, filled and read by the app, and dropped with the stack.

use super::stage::{Props, Stage};
use greenroom::model::run::{RunState, Signal};
use greenroom::wire::stacks::LaunchRequest;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;

// Speaks just enough of PostgreSQL's protocol to ask one question without a library.
const APP: &str = r#"
import http.server, os, socket, struct, urllib.parse

def ask(sql):
    url = urllib.parse.urlparse(os.environ["DATABASE_URL"])
    s = socket.create_connection((url.hostname, url.port))
    f = s.makefile("rb")
    def send(kind, body):
        s.sendall(kind + struct.pack("!I", len(body) + 4) + body)
    send(b"", struct.pack("!I", 196608) + f"user\0{url.username}\0database\0{url.path[1:]}\0\0".encode())
    rows, asked = [], False
    while True:
        kind, length = struct.unpack("!cI", f.read(5))
        body = f.read(length - 4)
        if kind == b"R" and struct.unpack("!I", body[:4])[0] == 3:
            send(b"p", url.password.encode() + b"\0")
        elif kind == b"E":
            raise Exception(body)
        elif kind == b"D":
            size = struct.unpack("!I", body[2:6])[0]
            rows.append(body[6:6 + size].decode())
        elif kind == b"Z":
            if asked:
                return rows
            asked = True
            send(b"Q", sql.encode() + b"\0")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = ", ".join(ask("SELECT title FROM plays ORDER BY title")).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(page)

http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS plays (title TEXT NOT NULL);\n";
const FIXTURE: &str = "INSERT INTO plays VALUES ('The Seagull'), ('Hamlet');\n";

async fn names(connection: &mut PgConnection, stack: &str) -> (Vec<String>, Vec<String>) {
    let like = format!("gr\\_{}%", &stack[4..24]);
    let databases = sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE $1")
        .bind(like.clone())
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let roles = sqlx::query_scalar("SELECT rolname::text FROM pg_roles WHERE rolname LIKE $1")
        .bind(like)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    (databases, roles)
}

async fn open(first_port: u16) -> Option<(Stage, PgConnection)> {
    let Ok(server) = std::env::var("GREENROOM_TEST_POSTGRES") else {
        assert!(std::env::var_os("CI").is_none(), "GREENROOM_TEST_POSTGRES is not set");
        return None;
    };
    let connection = PgConnection::connect(&server).await.unwrap();
    let props = Props {
        postgres: server,
        ..Props::default()
    };
    Some((Stage::open_with(first_port, props).await, connection))
}

fn spec() -> serde_json::Value {
    json!({
        "env": {"PORT": {"value": "{{ ports.http }}"}, "DATABASE_URL": {"value": "{{ resources.db.url }}"}},
        "resources": {"db": {"type": "postgres", "data": {"schema": "schema.sql", "fixture": "plays.sql", "default": "fixture"}}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_reads_its_test_data_from_a_database_that_goes_with_its_stack() {
    let Some((stage, mut server)) = open(24_600).await else {
        return;
    };
    let files = [("app.py", APP), ("schema.sql", SCHEMA), ("plays.sql", FIXTURE)];
    let repository = stage.repository("app", &files);
    stage.register(&repository, spec()).await;
    let accepted = stage.launch().await.unwrap();
    let stack = stage.serves(&accepted, "Hamlet, The Seagull").await;
    let (databases, roles) = names(&mut server, &stack.id).await;
    assert_eq!(
        (databases.len(), &databases),
        (1, &roles),
        "one database with a role of its own"
    );

    // An update brings the new schema and keeps the data.
    repository.commit(&[(
        "schema.sql",
        "CREATE TABLE IF NOT EXISTS plays (title TEXT NOT NULL);\nALTER TABLE plays ADD COLUMN IF NOT EXISTS year INT;\n",
    )]);
    let update = stage.update(&stack.id, "main").await.unwrap();
    stage.serves(&update, "Hamlet, The Seagull").await;

    stage.destroy(&stack.id).await;
    assert_eq!(names(&mut server, &stack.id).await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixture_with_an_error_fails_in_the_databases_own_words_and_leaves_no_database() {
    let Some((stage, mut server)) = open(24_620).await else {
        return;
    };
    let files = [
        ("app.py", APP),
        ("schema.sql", SCHEMA),
        ("plays.sql", "INSERT INTO operas VALUES ('Carmen');\n"),
    ];
    let repository = stage.repository("app", &files);
    stage.register(&repository, spec()).await;
    let accepted = stage.launch().await.unwrap();
    let fault = stage.fails(&accepted).await;
    assert_eq!(fault.code, "fixture-failed", "{fault:#?}");
    assert!(fault.why.contains("operas"), "{fault:#?}");
    assert_eq!(names(&mut server, &accepted.stack.id).await, (vec![], vec![]));

    // The same stack with the fixture corrected gets a database again.
    repository.commit(&[("plays.sql", FIXTURE)]);
    let again = stage
        .running
        .control
        .retry_stack(&stage.admin, &accepted.stack.id)
        .await
        .unwrap();
    stage.serves(&again, "Hamlet, The Seagull").await;
    stage.destroy(&accepted.stack.id).await;
    assert_eq!(names(&mut server, &accepted.stack.id).await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_server_the_launch_is_refused_before_anything_is_made() {
    let stage = Stage::open(24_640).await;
    let repository = stage.repository("app", &[("app.py", APP), ("schema.sql", SCHEMA), ("plays.sql", FIXTURE)]);
    stage.register(&repository, spec()).await;
    let request = LaunchRequest {
        apps: vec![super::stage::choice("main")],
        ..LaunchRequest::default()
    };
    let error = stage.running.control.launch_stack(&stage.admin, &request).await.unwrap_err();
    assert_eq!(error.fault.code, "database-unavailable", "{error:#?}");
    stage.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_cancelled_before_its_database_leaves_no_open_row_of_it() {
    let Ok(server) = std::env::var("GREENROOM_TEST_POSTGRES") else {
        assert!(std::env::var_os("CI").is_none(), "GREENROOM_TEST_POSTGRES is not set");
        return;
    };
    // The first step takes as long as it takes somebody to cancel.
    let (cancelled, wait) = tokio::sync::watch::channel(false);
    let crash: greenroom::engine::CrashHook = Arc::new(move |here| {
        let (begin, mut wait) = (here.place == "after_effect" && here.step == "begin", wait.clone());
        Box::pin(async move {
            if begin {
                let _ = wait.wait_for(|yes| *yes).await;
            }
        })
    });
    let props = Props {
        postgres: server,
        crash: Some(crash),
        ..Props::default()
    };
    let stage = Stage::open_with(24_660, props).await;
    let repository = stage.repository("app", &[("app.py", APP), ("schema.sql", SCHEMA), ("plays.sql", FIXTURE)]);
    stage.register(&repository, spec()).await;
    let accepted = stage.launch().await.unwrap();
    let control = &stage.running.control;
    let id = accepted.stack.id.parse().unwrap();
    assert_eq!(
        control.store.databases(&id).await.unwrap().len(),
        1,
        "stored before it is made"
    );
    let cancel = Signal::Cancel {
        reason: "no need".into(),
    };
    control.signal_run(&stage.admin, &accepted.run, cancel, None).await.unwrap();
    cancelled.send(true).unwrap();
    assert_eq!(stage.ended(&accepted).await.state, RunState::Cancelled);
    assert_eq!(control.store.databases(&id).await.unwrap(), []);
    let again = control.retry_stack(&stage.admin, &accepted.stack.id).await.unwrap();
    stage.serves(&again, "Hamlet, The Seagull").await;
    stage.destroy(&accepted.stack.id).await;
}
