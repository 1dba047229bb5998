//! Configurations become true: in order, once, and only as far as they may.

use super::harness::{AgentServer, Node, eventually, fetch, free_port, repository, state, web};
use greenroom::wire::agent::ReportOutcome;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_registers_once_and_becomes_what_it_should_be() {
    let server = AgentServer::start().await;
    server.secret("shop/env/KEY", "s3cr3t-value-of-the-shop");
    let node = Node::new(&server).start();
    let (repository, commits) = repository(&node.folder, &["one", "two"]);
    let port = free_port();
    let mut service = web(&node, "shop-web", port, "hello");
    service["env"] = json!({ "KEY": { "join": ["<", { "secret": "shop/env/KEY" }, ">"] } });
    let states = |commit: &str| {
        let code = node.path("apps/shop");
        json!([
            state(
                "shop/package/git",
                "package",
                json!({ "name": "git", "program": "git", "min_version": "2.0" })
            ),
            state(
                "shop/directory/data",
                "directory",
                json!({ "path": node.path("data/shop"), "mode": "0750" })
            ),
            state(
                "shop/git/code",
                "git",
                json!({ "path": code, "repository": repository, "commit": commit })
            ),
            state(
                "shop/execute/build",
                "execute",
                json!({
                    "command": ["/bin/sh", "-c", "echo building $KEY; cp page.txt built.txt"], "cwd": code,
                    "env": { "KEY": { "secret": "shop/env/KEY" } },
                    "guards": { "changed": "shop/git/code" }, "timeout_s": 20, "failure": "build-failed",
                })
            ),
            state(
                "shop/file/conf",
                "file",
                json!({
                    "path": node.path("config/shop.conf"), "content": format!("commit = {commit}\n"), "mode": "0640",
                    "restarts": ["shop/service/shop-web"],
                })
            ),
            service.clone(),
        ])
    };
    let first = server.want(&states(&commits[0]), 0);
    let report = server.applied(&first).await;
    assert_eq!(fetch(port, "/").await, "hello");
    assert_eq!(report.unchanged, 1, "{report:?}");
    assert_eq!(report.services.len(), 1);
    assert_eq!(
        (report.services[0].state.as_str(), report.services[0].restarts),
        ("running", 0)
    );
    assert_eq!(std::fs::read_to_string(node.path("apps/shop/built.txt")).unwrap(), "one");
    let mode = |path: &str| std::fs::metadata(node.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("data/shop"), mode("config/shop.conf"), mode("agent/key")),
        (0o750, 0o640, 0o600)
    );
    assert!(server.reports().iter().any(|r| r.outcome == ReportOutcome::Converging));

    // Applied again: all is as it should be, and nothing is restarted.
    server.want(&states(&commits[0]), 1);
    let again = server.result(&first, 1).await;
    assert_eq!((again.outcome, again.unchanged), (ReportOutcome::Applied, 5), "{again:?}");
    assert_eq!(again.services[0].pid, report.services[0].pid);

    // Another commit: built again, and the service restarted because its file changed.
    let second = server.want(&states(&commits[1]), 0);
    let updated = server.applied(&second).await;
    assert_eq!(std::fs::read_to_string(node.path("apps/shop/built.txt")).unwrap(), "two");
    assert_ne!(updated.services[0].pid, report.services[0].pid);
    assert_eq!(node.processes("shop-web").len(), 1);

    assert_eq!(server.keys().len(), 1);
    assert!(!node.folder.join("token").exists(), "a used token stays nowhere");
    let log = || server.log(&format!("converge/{first}"));
    eventually(log, || log().contains("building [secret]").then_some(())).await;
    assert!(!log().contains("s3cr3t") && !format!("{:?}", server.reports()).contains("s3cr3t"));
    let diff = || server.log(&format!("converge/{second}"));
    eventually(diff, || diff().contains(&format!("-commit = {}", commits[0])).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_fails_ends_it_with_its_own_lines_and_is_made_up_for_later() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let (repository, commits) = repository(&node.folder, &["one"]);
    let states = |script: &str| {
        json!([
            state(
                "shop/git/code",
                "git",
                json!({
                    "path": node.path("apps/shop"), "repository": repository, "commit": commits[0],
                })
            ),
            state(
                "shop/execute/build",
                "execute",
                json!({
                    "command": ["/bin/sh", "-c", script], "cwd": node.path("apps/shop"),
                    "guards": { "changed": "shop/git/code" }, "timeout_s": 20, "failure": "build-failed",
                })
            ),
            state(
                "shop/directory/after",
                "directory",
                json!({ "path": node.path("data/after"), "mode": "0755" })
            ),
        ])
    };
    let bad = server.want(&states("echo compiling; echo undefined name storefront >&2; exit 2"), 0);
    let report = server.result(&bad, 0).await;
    let fault = report.fault.unwrap();
    assert_eq!((report.outcome, fault.code.as_str()), (ReportOutcome::Failed, "build-failed"));
    assert_eq!(fault.log_tail, ["compiling", "undefined name storefront"]);
    assert!(fault.why.contains("status 2"), "{fault:?}");
    assert!(
        !node.folder.join("data/after").exists(),
        "nothing after a failed state is tried"
    );

    // The checkout has nothing left to do, but its build is still owed.
    let good = server.want(&states("touch built"), 0);
    server.applied(&good).await;
    assert!(node.folder.join("apps/shop/built").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_over_its_time_and_a_missing_one_are_told_apart() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let run = |command: &[&str]| {
        json!([state(
            "shop/execute/run",
            "execute",
            json!({
                "command": command, "cwd": node.path("apps"), "timeout_s": 1, "failure": "state-failed",
            })
        )])
    };
    let slow = server.want(&run(&["/bin/sleep", "60"]), 0);
    let fault = server.result(&slow, 0).await.fault.unwrap();
    assert_eq!(fault.code, "state-failed");
    assert!(fault.why.contains("longer than 1 s"), "{fault:?}");
    let missing = server.want(&run(&["no-such-program"]), 0);
    assert_eq!(server.result(&missing, 0).await.fault.unwrap().code, "tool-missing");
    let old = server.want(
        &json!([state(
            "shop/package/git",
            "package",
            json!({ "name": "git", "program": "git", "min_version": "99" })
        )]),
        0,
    );
    let fault = server.result(&old, 0).await.fault.unwrap();
    assert!(
        fault.code == "tool-missing" && fault.why.contains("99 is needed"),
        "{fault:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_vanished_and_a_commit_that_is_not_there_are_told_apart() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let (repository, commits) = repository(&node.folder, &["one"]);
    let checkout = |repository: &str, commit: &str| {
        let body = json!({ "path": node.path("apps/shop"), "repository": repository, "commit": commit });
        json!([state("shop/git/code", "git", body)])
    };
    let vanished = server.want(&checkout(&node.path("nowhere"), &commits[0]), 0);
    assert_eq!(
        server.result(&vanished, 0).await.fault.unwrap().code,
        "repository-unreachable"
    );
    let absent = server.want(&checkout(&repository, &"ab".repeat(20)), 0);
    assert_eq!(server.result(&absent, 0).await.fault.unwrap().code, "revision-not-found");
    assert_eq!(
        std::fs::read_dir(node.path("apps")).unwrap().count(),
        0,
        "no half of a checkout is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_loaded_once_and_whole_or_not_at_all() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let script = |name: &str, text: &str| std::fs::write(node.path(name), text).unwrap();
    script("schema.sql", "CREATE TABLE IF NOT EXISTS books (title TEXT NOT NULL);");
    script(
        "good.sql",
        "BEGIN TRANSACTION;\nINSERT INTO books VALUES ('Emma');\nCOMMIT;\n",
    );
    script(
        "bad.sql",
        "INSERT INTO books VALUES ('Emma'); INSERT INTO boks VALUES ('Persuasion');",
    );
    let states = |fixture: &str, revision: &str| {
        json!([state(
            "shop/database/db",
            "database",
            json!({
                "name": "shop/db", "engine": { "engine": "sqlite", "path": node.path("data/shop.db") },
                "schema": node.path("schema.sql"), "fixture": node.path(fixture), "revision": revision,
            })
        )])
    };
    let bad = server.want(&states("bad.sql", "1"), 0);
    let fault = server.result(&bad, 0).await.fault.unwrap();
    assert_eq!(fault.code, "fixture-failed");
    assert!(fault.why.contains("no such table: boks"), "{fault:?}");
    assert_eq!(
        std::fs::read_dir(node.path("data")).unwrap().count(),
        0,
        "no half of a database is left"
    );
    let good = server.want(&states("good.sql", "1"), 0);
    server.applied(&good).await;
    script(
        "schema.sql",
        "CREATE TABLE IF NOT EXISTS books (title TEXT NOT NULL); CREATE TABLE IF NOT EXISTS more (a);",
    );
    let newer = server.want(&states("good.sql", "2"), 0);
    server.applied(&newer).await;
    let count = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); \
                 print(d.execute('select count(*) from books').fetchone()[0], d.execute('select count(*) from more').fetchone()[0])";
    let output = std::process::Command::new("python3")
        .args(["-c", count, &node.path("data/shop.db")])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1 0", "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_a_server_is_loaded_once_and_whole_too() {
    let Some((databases, name)) = crate::providers::postgres::server() else {
        return;
    };
    databases.ensure_database(&name, &name, "a-long-password").await.unwrap();
    let server = AgentServer::start().await;
    server.secret("shop/db", "a-long-password");
    let node = Node::new(&server).start();
    let script = |name: &str, text: &str| std::fs::write(node.path(name), text).unwrap();
    script("schema.sql", "CREATE TABLE IF NOT EXISTS books (title TEXT NOT NULL);");
    script(
        "good.sql",
        "INSERT INTO books VALUES ('Emma'); INSERT INTO books VALUES ('Persuasion');",
    );
    script(
        "bad.sql",
        "INSERT INTO books VALUES ('Emma'); INSERT INTO boks VALUES ('Persuasion');",
    );
    let states = |fixture: &str, revision: &str| {
        json!([state(
            "shop/database/db",
            "database",
            json!({
                "name": "shop/db",
                "engine": {
                    "engine": "postgres", "host": databases.host(), "port": databases.port(), "database": name, "user": name,
                    "password": { "secret": "shop/db" },
                },
                "schema": node.path("schema.sql"), "fixture": node.path(fixture), "revision": revision,
            })
        )])
    };
    let bad = server.want(&states("bad.sql", "1"), 0);
    let fault = server.result(&bad, 0).await.fault.unwrap();
    assert_eq!(fault.code, "fixture-failed");
    assert!(fault.why.contains("boks"), "{fault:?}");
    for revision in ["1", "2"] {
        let good = server.want(&states("good.sql", revision), 0);
        server.applied(&good).await;
    }
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass();
    let options = options
        .host(databases.host())
        .port(databases.port())
        .username(&name)
        .password("a-long-password");
    let mut session = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options.database(&name))
        .await
        .unwrap();
    let books: i64 = sqlx::query_scalar("SELECT count(*) FROM books")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(books, 2);
    databases.drop_database(&name, &name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_wish_takes_over_after_the_state_under_way() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let step = |name: &str, script: String| {
        state(
            &format!("shop/execute/{name}"),
            "execute",
            json!({
                "command": ["/bin/sh", "-c", script], "cwd": node.path("apps"), "timeout_s": 60, "failure": "state-failed",
            }),
        )
    };
    let release = node.path("release");
    let first = server.want(
        &json!([
            step(
                "long",
                format!("touch started; while [ ! -e {release} ]; do sleep 0.05; done; touch finished")
            ),
            step("never", "touch never".to_owned()),
        ]),
        0,
    );
    let started = node.folder.join("apps/started");
    eventually(|| "the first state".into(), || started.exists().then_some(())).await;
    let second = server.want(&json!([step("other", "touch other".to_owned())]), 0);
    // Given time to arrive: the agent asks at once, and the answer is a local call away.
    let assigned = node.folder.join("agent/assigned");
    let arrived = || {
        std::fs::read_to_string(&assigned)
            .is_ok_and(|text| text.contains(&second))
            .then_some(())
    };
    eventually(|| "the second wish".into(), arrived).await;
    std::fs::write(&release, "").unwrap();
    server.applied(&second).await;
    let made = |name: &str| node.folder.join("apps").join(name).exists();
    assert!(made("finished") && made("other") && !made("never"));
    assert!(
        server
            .reports()
            .iter()
            .all(|r| r.configuration != first || r.outcome == ReportOutcome::Converging)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_called_so_and_needs_a_file_system_to_fill() {
    let server = AgentServer::start().await;
    let node = Node::new(&server).start();
    let small = node.folder.join("small");
    std::fs::create_dir(&small).unwrap();
    let _mounted = Mounted::tmpfs(&small, "256k");
    let file = |content: &str| {
        json!([state(
            "shop/file/big",
            "file",
            json!({
                "path": small.join("big").display().to_string(), "content": content, "mode": "0644",
            })
        )])
    };
    let hash = server.want(&file(&"x".repeat(1024 * 1024)), 0);
    assert_eq!(server.result(&hash, 0).await.fault.unwrap().code, "disk-full");
    assert_eq!(
        std::fs::read_dir(&small).unwrap().count(),
        0,
        "nothing is left of what did not fit"
    );
    let script = format!("head -c 1000000 /dev/zero > {}", small.join("zeros").display());
    let hash = server.want(
        &json!([state(
            "shop/execute/build",
            "execute",
            json!({
                "command": ["/bin/sh", "-c", script], "cwd": node.path("apps"), "timeout_s": 20, "failure": "build-failed",
            })
        )]),
        0,
    );
    assert_eq!(server.result(&hash, 0).await.fault.unwrap().code, "disk-full");
}

/// A small file system, for as long as the value lives.
pub struct Mounted(std::path::PathBuf);

impl Mounted {
    pub fn tmpfs(folder: &std::path::Path, size: &str) -> Self {
        let output = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "greenroom-test"])
            .arg(folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test needs to mount a tmpfs, as root: {said}");
        Self(folder.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
