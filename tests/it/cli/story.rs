//! A day at the command line, against a real server that launches nothing.

use super::program::{Said, greenroom};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Server {
    home: tempfile::TempDir,
    process: Child,
    url: String,
    token: String,
}

impl Server {
    async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let token = crate::support::access::token(&format!("sqlite:{}", data.join("greenroom.db").display())).await;
        let arguments = ["--json", "serve", "--listen", "127.0.0.1:0", "--data", "data"];
        let mut process = greenroom(home.path(), &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        Self {
            home,
            process,
            url: said["url"].as_str().unwrap().to_owned(),
            token,
        }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::by(&mut self.command(arguments))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        greenroom(self.home.path(), arguments)
    }

    fn login(&self) {
        let said = Said::by(self.command(&["login", &self.url]).env("GREENROOM_TOKEN", &self.token));
        assert!(said.out().contains("as admin (admin)"), "{said}");
    }

    // The example organisation's repositories are made by the demo alone; one small one is enough here.
    fn repository(&self) -> String {
        let folder = self.home.path().join("shop.git");
        let git = |arguments: &[&str]| {
            let done = Command::new("git")
                .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C"])
                .arg(&folder)
                .args(arguments)
                .output()
                .unwrap();
            assert!(done.status.success(), "{done:?}");
        };
        std::fs::create_dir(&folder).unwrap();
        git(&["init", "--quiet", "--initial-branch=main"]);
        std::fs::write(folder.join("app.py"), "print('hello')\n").unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "Open the shop"]);
        git(&["tag", "v1.0"]);
        folder.display().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn descriptor(folder: &Path, repository: &str, title: &str) -> String {
    let file = folder.join("shop.json");
    let text = serde_json::json!({
        "apiVersion": "greenroom/v1", "kind": "App",
        "metadata": {"name": "shop", "title": title},
        "spec": {
            "type": "website", "owners": {"dev": "shop-team", "ops": "night-shift"},
            "repository": repository, "recipes": [{"name": "python-app"}],
            "processes": {"web": {"command": ["python3", "app.py"]}},
            "ports": {"web": {"public": true}},
        }
    });
    std::fs::write(&file, format!("{text:#}")).unwrap();
    file.display().to_string()
}

#[tokio::test]
async fn a_login_is_kept_for_its_server_and_its_owner_only() {
    let server = Server::start().await;
    let said = server.run(&["app", "list", "--server", &server.url]);
    assert_eq!(said.code(), Some(1), "{said}");
    assert!(
        said.err().contains("error[not-signed-in]") && said.err().contains("greenroom login URL"),
        "{said}"
    );
    server.login();
    let file = server.home.path().join(".config/greenroom/login.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(server.run(&["app", "list"]).ok().contains("No apps yet"));
    // The same server under another name is another server: it is not sent the token.
    let other = if server.url.contains("localhost") {
        server.url.replace("localhost", "127.0.0.1")
    } else {
        server.url.replace("127.0.0.1", "localhost")
    };
    let said = server.run(&["app", "list", "--server", &other]);
    assert!(said.err().contains("not-signed-in"), "{said}");
}

#[tokio::test]
async fn apps_are_registered_changed_and_looked_at() {
    let server = Server::start().await;
    server.login();
    let repository = server.repository();
    let file = descriptor(server.home.path(), &repository, "The shop");

    let said = server.run(&["app", "add", &file]);
    assert!(said.out().contains("shop is registered, version 1"), "{said}");
    assert!(server.run(&["app", "list"]).ok().contains("shop  website  main"));
    let revisions = server.run(&["app", "revisions", "shop"]).ok();
    assert!(
        revisions.contains("v1.0") && revisions.contains("Open the shop"),
        "{revisions}"
    );

    descriptor(server.home.path(), &repository, "The better shop");
    let said = server.run(&["app", "add", &file, "--edited", "1"]);
    assert!(said.out().contains("version 2"), "{said}");
    descriptor(server.home.path(), &repository, "The other shop");
    let said = server.run(&["app", "add", &file, "--edited", "1"]);
    assert_eq!(said.code(), Some(1), "{said}");
    assert!(
        said.err().contains("error[changed-meanwhile]") && said.err().contains("The better shop"),
        "{said}"
    );

    std::fs::write(
        &file,
        "{\"apiVersion\": \"greenroom/v1\", \"kind\": \"App\", \"metadta\": {}}",
    )
    .unwrap();
    let said = server.run(&["app", "add", &file]);
    assert_eq!(said.code(), Some(1), "{said}");
    assert!(
        said.err().contains("shop.json:1:47: error[unknown-field]") && said.err().contains("metadata"),
        "{said}"
    );

    let versions: serde_json::Value = serde_json::from_str(&server.run(&["--json", "app", "versions", "shop"]).ok()).unwrap();
    assert_eq!(versions.as_array().unwrap().len(), 2);
    assert_eq!(server.run(&["app", "remove", "shop"]).ok(), "Removed shop\n");
}

#[tokio::test]
async fn an_apps_history_is_read_compared_and_gone_back_in() {
    let server = Server::start().await;
    server.login();
    let repository = server.repository();
    let file = descriptor(server.home.path(), &repository, "The shop");
    server.run(&["app", "add", &file]).ok();
    descriptor(server.home.path(), &repository, "The better shop");
    server.run(&["app", "add", &file, "--edited", "1"]).ok();

    let history = server.run(&["app", "history", "shop"]).ok();
    assert!(
        history.starts_with("version 2, ") && history.contains("+    \"title\": \"The better shop\""),
        "{history}"
    );
    let diff = server.run(&["app", "diff", "shop", "--from", "2", "--to", "1"]).ok();
    assert!(diff.contains("+    \"title\": \"The shop\""), "{diff}");
    assert_eq!(
        server.run(&["app", "restore", "shop", "1"]).ok(),
        "shop is as in version 1 again; this is version 3\n"
    );
    assert_eq!(
        server.run(&["app", "diff", "shop", "--from", "1"]).ok(),
        "Versions 1 and 3 are equal\n"
    );
    server.run(&["app", "remove", "shop"]).ok();
    let back = server.run(&["app", "restore", "shop", "2"]).ok();
    assert_eq!(
        back, "shop is as in version 2 again; this is version 5\n",
        "what was removed comes back"
    );
    let history = server.run(&["app", "history", "shop"]).ok();
    assert!(
        history.contains("restored from version 2") && history.contains(", removed\n"),
        "{history}"
    );
    let said = server.run(&["app", "restore", "shop", "9"]);
    assert!(said.err().contains("error[not-found]"), "{said}");

    let text = std::fs::read_to_string(&file).unwrap();
    let mail = text.replace("\"name\": \"shop\"", "\"name\": \"mail\"");
    std::fs::write(&file, mail).unwrap();
    server.run(&["app", "add", &file]).ok();
    let needing = text.replace(
        "\"processes\"",
        "\"dependsOn\": [{\"app\": \"mail\", \"optional\": true}], \"processes\"",
    );
    std::fs::write(&file, needing).unwrap();
    server.run(&["app", "add", &file, "--edited", "5"]).ok();
    assert_eq!(
        server.run(&["app", "needs", "shop"]).ok(),
        "shop needs\n  mail, optional\nshop is needed by nothing\n"
    );
    assert_eq!(
        server.run(&["app", "needs", "mail"]).ok(),
        "mail needs nothing\nmail is needed by\n  shop, optional\n"
    );
    assert!(
        server
            .run(&["app", "schedules", "shop"])
            .ok()
            .contains("Nothing runs by the clock")
    );
}

#[tokio::test]
async fn a_plan_is_shown_and_a_launch_that_cannot_be_is_refused_with_the_nearest() {
    let server = Server::start().await;
    server.login();
    let file = descriptor(server.home.path(), &server.repository(), "The shop");
    server.run(&["app", "add", &file]).ok();

    let plan = server.run(&["stack", "plan", "shop@v1.0"]).ok();
    assert!(plan.contains("shop  v1.0") && plan.contains("Open the shop"), "{plan}");
    assert!(plan.contains("Check out shop at v1.0"), "{plan}");

    let said = server.run(&["stack", "plan", "shpo"]);
    assert!(said.err().contains("did you mean `shop`?"), "{said}");
    let said = server.run(&["stack", "launch", "shop@v9"]);
    assert_eq!(said.code(), Some(1), "{said}");
    assert!(said.err().contains("error[revision-not-found]"), "{said}");
    assert!(server.run(&["stack", "list"]).ok().contains("No staging servers"));
}

#[tokio::test]
async fn the_example_inventory_is_planned_applied_searched_and_taken_back() {
    let server = Server::start().await;
    server.login();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/inventory");
    let plan = server.run(&["apply", "-f", example, "--plan"]);
    assert_eq!(plan.code(), Some(2), "{plan}");
    assert!(plan.out().contains("create node web1.north.example.org"), "{plan}");
    assert!(server.run(&["node", "list"]).ok().contains("There are none"));
    let done = server.run(&["apply", "-f", example]).ok();
    assert!(done.contains("Applied:") && done.contains("0 changed, 0 removed"), "{done}");
    let again = server.run(&["apply", "-f", example, "--plan"]);
    assert_eq!(again.code(), Some(0), "{again}");

    let found = server
        .run(&[
            "search",
            "node",
            "role:web AND datacenter:north",
            "--fields",
            "name,environment",
        ])
        .ok();
    assert_eq!(
        found,
        "web1.north.example.org\tproduction\nweb2.north.example.org\tproduction\n"
    );
    let wrong = server.run(&["search", "node", "role:web AND"]);
    assert!(
        wrong.err().contains("error[query-invalid]") && wrong.err().contains("column 13"),
        "{wrong}"
    );
    let lost = server.run(&["impact", "datacenter", "north"]).ok();
    assert!(
        lost.contains("stops  catalogue   production") && lost.contains("it needs catalogue, which stops"),
        "{lost}"
    );
    let lost = server.run(&["impact", "node", "web1.north.example.org"]).ok();
    assert!(lost.contains("weakened  storefront"), "{lost}");
    assert!(server.run(&["running", "storefront"]).ok().contains("not reported"));

    // Its roles' recipes are the server's own.
    let built = server
        .run(&["--json", "node", "configuration", "edge1.north.example.org"])
        .ok();
    for part in ["nginx", "node-exporter", "shop.example.org", "\"audit\": true"] {
        assert!(built.contains(part), "{part} in {built}");
    }
    let value = server.home.path().join("value");
    std::fs::write(&value, "hunter2-of-production").unwrap();
    let value = value.display().to_string();
    let name = "postgresql/shop";
    let set = ["secret", "set", name, "-e", "production", "--file", &value];
    assert!(server.run(&set).ok().contains("for production"));
    let listed = server.run(&["secret", "list"]).ok();
    assert!(listed.contains(name) && !listed.contains("hunter2"), "{listed}");
    server.run(&["secret", "remove", name, "-e", "production"]).ok();
    assert!(server.run(&["secret", "list"]).ok().contains("There are no secrets"));

    let folder = server.home.path().join("mine");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("web.yaml");
    let role = |port: &str| {
        format!("apiVersion: greenroom/v1\nkind: Role\nmetadata: {{name: web}}\nspec: {{values: {{port: {port}}}}}\n")
    };
    std::fs::write(&file, role("8443")).unwrap();
    let folder = folder.display().to_string();
    server.run(&["apply", "-f", &folder]).ok();
    let history = server.run(&["role", "history", "web"]).ok();
    assert!(
        history.contains("version 2") && history.contains("+      \"port\": 8443"),
        "{history}"
    );
    let back = server.run(&["role", "restore", "web", "1"]).ok();
    assert!(back.contains("as in version 1 again; this is version 3"), "{back}");
    std::fs::write(&file, "apiVersion: greenroom/v1\nkind: Rol\nspec: {}\n").unwrap();
    let refused = server.run(&["apply", "-f", &folder]);
    assert_eq!(refused.code(), Some(1), "{refused}");
    assert!(
        refused.err().contains("web.yaml:2:7: error[unknown-value]") && refused.err().contains("did you mean `Role`"),
        "{refused}"
    );
}

#[tokio::test]
async fn tokens_and_accounts_are_made_shown_once_and_revoked() {
    let server = Server::start().await;
    server.login();
    let made = server.run(&["token", "create", "ci", "--role", "viewer", "--expires-in", "30d"]);
    let secret = made.out().trim().to_owned();
    assert!(secret.starts_with("grt_"), "{made}");
    let list = server.run(&["token", "list"]).ok();
    assert!(list.contains("ci") && !list.contains(&secret), "{list}");
    let id = list
        .lines()
        .find(|line| line.contains("ci"))
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let with = ["app", "list", "--server", &server.url, "--token", &secret];
    server.run(&with).ok();
    assert_eq!(server.run(&["token", "revoke", id]).ok(), format!("Revoked {id}\n"));
    assert!(server.run(&with).err().contains("not-signed-in"));

    let made = server.run(&["user", "create", "ada", "--role", "member"]);
    assert!(made.out().contains("/sign-in/link/"), "{made}");
    assert!(server.run(&["user", "list"]).ok().contains("ada    member"));
}

#[tokio::test]
async fn a_server_that_is_told_to_end_ends_cleanly() {
    let mut server = Server::start().await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.process.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(server.process.wait().unwrap().success());
}
