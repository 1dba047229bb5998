//! A whole server in this process, and one small app in a repository made on the spot.

use crate::support::database::TestDatabase;
use greenroom::cli::serve::{Replacements, Running, start_with};
use greenroom::config::{Enabled, Settings};
use greenroom::control::ControlError;
use greenroom::machine::processes::{self, FOLDER, Process};
use greenroom::model::actor::Actor;
use greenroom::model::fault::Fault;
use greenroom::model::stack::StackState;
use greenroom::providers::Provider;
use greenroom::wire::auth::NewToken;
use greenroom::wire::runs::RunView;
use greenroom::wire::stacks::{Accepted, AppChoice, LaunchRequest, StackView, UpdateRequest};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_mins(3);
const PORTS: u16 = 20;

/// A web server of one page, which is what the file `page` says.
pub const GOOD_APP: &str = r#"
import http.server, os
PAGE = open("page").read().encode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PAGE)
    def log_message(self, *a):
        pass
print("the app begins", flush=True)
http.server.ThreadingHTTPServer((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// What a stage is set up with.
#[derive(Default)]
pub struct Props {
    /// Where the server keeps its own state; its data folder where absent.
    pub database: Option<TestDatabase>,
    /// The server that apps get databases in.
    pub postgres: String,
    /// The data folder; one of its own where absent.
    pub data: Option<PathBuf>,
    /// The providers; the sandbox where absent.
    pub providers: Option<Vec<Arc<dyn Provider>>>,
    /// Changes the settings.
    pub adjust: Option<fn(&mut Settings)>,
    /// Called where a crash of the engine would matter.
    pub crash: Option<greenroom::engine::CrashHook>,
    /// The image that containers start from; no containers where absent.
    pub docker: Option<String>,
}

/// A server with its folder, and the verbs as an admin uses them.
pub struct Stage {
    pub running: Running,
    pub admin: Actor,
    pub token: String,
    pub data: PathBuf,
    pub folder: tempfile::TempDir,
    pub first_port: u16,
    pub http: reqwest::Client,
    /// A folder to keep as long as the stage.
    pub also: Option<tempfile::TempDir>,
    _database: Option<TestDatabase>,
}

impl Stage {
    /// Starts a server on SQLite with 20 ports of its own.
    pub async fn open(first_port: u16) -> Self {
        Self::open_with(first_port, Props::default()).await
    }

    /// Starts a server with 20 ports of its own.
    pub async fn open_with(first_port: u16, props: Props) -> Self {
        greenroom::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let data = props.data.unwrap_or_else(|| folder.path().join("data"));
        std::fs::create_dir_all(&data).unwrap();
        let data = data.canonicalize().unwrap();
        let mut settings = Settings::default();
        settings.docker.enabled = Enabled::No;
        if let Some(image) = props.docker {
            settings.docker.enabled = Enabled::Yes;
            settings.docker.image = image;
            settings.docker.networks = "10.215.0.0/16".into();
        }
        settings.server.listen = "127.0.0.1:0".into();
        settings.data.folder.clone_from(&data);
        if let Some(database) = &props.database {
            settings.data.database_url.clone_from(&database.url);
        }
        settings.databases.postgres_url = props.postgres;
        settings.sandbox.first_port = first_port;
        settings.sandbox.last_port = first_port + PORTS - 1;
        if let Some(adjust) = props.adjust {
            adjust(&mut settings);
        }
        let replace = Replacements {
            agent_program: Some(env!("CARGO_BIN_EXE_greenroom").into()),
            crash: props.crash,
            providers: props.providers,
            ..Replacements::default()
        };
        let running = start_with(settings, replace).await.unwrap();
        let control = &running.control;
        let link = control.first_link().await.unwrap().expect("the database is new");
        let session = control.sign_in_with_link(link.url.rsplit('/').next().unwrap()).await.unwrap();
        let admin = control.authenticate_session(&session).await.unwrap();
        let request = NewToken {
            name: "test".into(),
            role: None,
            expires_in: None,
        };
        let token = control.create_token(&admin, &request).await.unwrap().secret.unwrap();
        Self {
            running,
            admin,
            token,
            data,
            folder,
            first_port,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            also: None,
            _database: props.database,
        }
    }

    /// Makes the repository `name`; see [`Repository`].
    pub fn repository(&self, name: &str, files: &[(&str, &str)]) -> Repository {
        let path = self.folder.path().join(format!("{name}.git"));
        std::fs::create_dir_all(&path).unwrap();
        let repository = Repository(path);
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.commit(files);
        repository
    }

    /// A repository `app` of [`GOOD_APP`] with this page, registered as the app `app`.
    pub async fn good_app(&self, page: &str) -> Repository {
        let repository = self.repository("app", &[("app.py", GOOD_APP), ("page", page)]);
        self.register(&repository, json!({})).await;
        repository
    }

    /// Registers the app of a repository: a Python web server that is ready when its page answers, with these differences.
    pub async fn register(&self, repository: &Repository, spec: Value) {
        let mut descriptor = json!({
            "apiVersion": "greenroom/v1", "kind": "App",
            "metadata": {"name": "app"},
            "spec": {
                "type": "website", "owners": {"dev": "a", "ops": "b"},
                "repository": repository.0.display().to_string(),
                "recipes": [{"name": "python-app"}],
                "processes": {"web": {"command": ["python3", "-u", "app.py"]}},
                "ports": {"http": {"public": true}},
                "env": {"PORT": {"value": "{{ ports.http }}"}},
                "readinessProbe": {"httpGet": {"path": "/"}, "timeout": "15s"},
            }
        });
        for (key, value) in spec.as_object().unwrap() {
            descriptor["spec"][key] = value.clone();
        }
        let text = descriptor.to_string();
        let saved = self
            .running
            .control
            .save_app(&self.admin, None, "app.json", text.as_bytes(), None)
            .await;
        saved.unwrap();
    }

    /// Asks for a launch of the app at `main`.
    pub async fn launch(&self) -> Result<Accepted, ControlError> {
        self.launch_at("main").await
    }

    /// Asks for a launch of the app at this revision.
    pub async fn launch_at(&self, revision: &str) -> Result<Accepted, ControlError> {
        self.running.control.launch_stack(&self.admin, &request(revision)).await
    }

    /// Asks for an update of the app to this revision.
    pub async fn update(&self, stack: &str, revision: &str) -> Result<Accepted, ControlError> {
        let request = UpdateRequest {
            apps: vec![choice(revision)],
        };
        self.running.control.update_stack(&self.admin, stack, &request).await
    }

    /// The stack as it is now.
    pub async fn stack(&self, id: &str) -> StackView {
        self.running.control.show_stack(&self.admin, id).await.unwrap()
    }

    /// Waits for the end of a run.
    pub async fn ended(&self, accepted: &Accepted) -> RunView {
        self.run_ended(&accepted.run).await
    }

    /// Waits for the end of the run of this id.
    pub async fn run_ended(&self, run: &str) -> RunView {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let run = self.running.control.show_run(&self.admin, run).await.unwrap();
            if run.state.is_ended() {
                return run;
            }
            assert!(Instant::now() < deadline, "the run never ends: {run:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a step of a run has come to this state.
    pub async fn step_is(&self, accepted: &Accepted, key: &str, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let run = self.running.control.show_run(&self.admin, &accepted.run).await.unwrap();
            let step = run.steps.iter().find(|s| s.key == key).expect("there is such a step");
            if step.state.as_str() == state {
                return;
            }
            assert!(
                Instant::now() < deadline && !run.state.is_ended(),
                "{key} never is {state}: {run:#?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a run has ended well, and gives its stack, which serves this page.
    pub async fn serves(&self, accepted: &Accepted, page: &str) -> StackView {
        let run = self.ended(accepted).await;
        assert_eq!(run.state.as_str(), "succeeded", "{run:#?}");
        let stack = self.stack(&accepted.stack.id).await;
        assert_eq!(stack.state, StackState::Ready, "{stack:#?}");
        assert_eq!(self.page(&stack).await, page);
        stack
    }

    /// The page of the app of a stack.
    pub async fn page(&self, stack: &StackView) -> String {
        self.http
            .get(stack.links[0].direct())
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// Waits until a launch has failed, holds it to its promise (a code with a next action, nothing left), and gives why.
    pub async fn fails(&self, accepted: &Accepted) -> Fault {
        let run = self.ended(accepted).await;
        assert_eq!(run.state.as_str(), "failed", "{run:#?}");
        let stack = self.stack(&accepted.stack.id).await;
        assert_eq!(stack.state, StackState::Failed, "{stack:#?}");
        let fault = stack.fault.expect("a failed stack says why");
        assert_eq!(run.fault.as_ref().map(|f| &f.code), Some(&fault.code));
        assert!(greenroom::model::fault::explain(&fault.code).is_some(), "{fault:#?}");
        assert!(
            !fault.what.is_empty() && !fault.why.is_empty() && !fault.next.is_empty(),
            "{fault:#?}"
        );
        assert!(stack.actions.contains(&"retry".to_owned()), "{:?}", stack.actions);
        self.nothing_is_left().await;
        fault
    }

    /// Holds that no process, folder or row of any node is left.
    pub async fn nothing_is_left(&self) {
        assert!(self.running.control.store.live_nodes().await.unwrap().is_empty());
        let left: Vec<_> = self.processes().into_iter().map(|p| p.pid).collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
        assert_eq!(self.sandboxes(), Vec::<PathBuf>::new());
    }

    /// Folders of sandboxes.
    pub fn sandboxes(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(self.data.join("sandboxes")).unwrap();
        all.map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("nod_"))
            .collect()
    }

    /// Processes that carry the mark of a sandbox of this server.
    pub fn processes(&self) -> Vec<Process> {
        marked(&self.data)
    }

    /// The agent's processes.
    pub fn agents(&self) -> Vec<Process> {
        self.processes()
            .into_iter()
            .filter(|p| p.variable(processes::SERVICE).is_none() && p.variable(processes::TASK).is_none())
            .collect()
    }

    /// Destroys a stack and holds that nothing is left.
    pub async fn destroy(&self, stack: &str) {
        let accepted = self.running.control.destroy_stack(&self.admin, stack).await.unwrap();
        let run = self.ended(&accepted).await;
        assert_eq!(run.state.as_str(), "succeeded", "{run:#?}");
        assert_eq!(self.stack(&accepted.stack.id).await.state, StackState::Destroyed);
        self.nothing_is_left().await;
    }

    /// Asks the API.
    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let url = format!("{}{path}", self.running.url);
        self.http.post(url).bearer_auth(&self.token).json(body).send().await.unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Only after a failed test is there anything to end.
        for process in marked(&self.data) {
            process.signal(rustix::process::Signal::KILL);
        }
        crate::providers::docker::sweep(&self.data);
    }
}

fn marked(data: &Path) -> Vec<Process> {
    let root = data.join("sandboxes");
    processes::family(&processes::all(), |p| {
        p.variable(FOLDER).is_some_and(|folder| Path::new(folder).starts_with(&root))
    })
}

/// The app `app` at a revision.
pub fn choice(revision: &str) -> AppChoice {
    AppChoice {
        app: "app".into(),
        revision: Some(revision.into()),
    }
}

/// A launch of the app at a revision.
pub fn request(revision: &str) -> LaunchRequest {
    LaunchRequest {
        name: Some("small-stack".into()),
        apps: vec![choice(revision)],
        ..LaunchRequest::default()
    }
}

/// A git repository of a test's own.
pub struct Repository(pub PathBuf);

impl Repository {
    /// Writes files and commits them.
    pub fn commit(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            std::fs::write(self.0.join(name), text).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "A change"]);
    }

    /// Gives the newest commit a tag.
    pub fn tag(&self, name: &str) {
        self.git(&["tag", name]);
    }

    /// Begins a branch at the newest commit; what is committed from now on is on it.
    pub fn branch(&self, name: &str) {
        self.git(&["checkout", "--quiet", "-b", name]);
    }

    /// The newest commit of a branch.
    pub fn head(&self, branch: &str) -> String {
        self.git(&["rev-parse", branch]).trim().to_owned()
    }

    /// Removes it, as if it had never been.
    pub fn vanish(&self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let done = Command::new("git")
            .current_dir(&self.0)
            .args([
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .env_remove("GIT_DIR")
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}
