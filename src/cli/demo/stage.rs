//! What both the demo and its check play on: a server in this process, the organisation, one stack.

use super::leftovers::{self, Leftovers};
use super::organisation::{self, Edition};
use crate::cli::output::Progress;
use crate::cli::serve::{self, Running};
use crate::cli::start::cannot_start;
use crate::cli::{Result, follow};
use crate::client::Client;
use crate::config::{Enabled, Settings};
use crate::control::ControlError;
use crate::model::actor::Actor;
use crate::model::fault::{Fault, Turn};
use crate::model::run::RunState;
use crate::model::stack::{DataChoice, Size, StackState};
use crate::wire::auth::NewToken;
use crate::wire::problem::Problem;
use crate::wire::runs::RunView;
use crate::wire::stacks::{Accepted, AppChoice, LaunchRequest, StackView, UpdateRequest};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "bookshop";
const APPS: [&str; 5] = ["storefront", "catalogue", "reviews", "covers", "mailer"];
// Far more than it ever takes; only there so that a check ends.
const PATIENCE: Duration = Duration::from_mins(20);
const DOCKER: &str = "docker";
// As many stacks as a list gives at once.
const MANY: usize = 100;

/// Where to play.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// The data folder to keep; a temporary one where absent.
    pub keep: Option<PathBuf>,
    /// Where the stack runs.
    pub provider: String,
    /// Where the server listens.
    pub listen: String,
}

/// A server with the organisation.
#[derive(Debug)]
pub struct Stage {
    folder: Folder,
    provider: String,
    running: Running,
    client: Client,
    token: String,
    // Every place that the stack was ever seen to listen at.
    places: std::sync::Mutex<BTreeSet<SocketAddr>>,
}

impl Stage {
    /// Starts the server, makes the repositories and registers the apps.
    pub async fn open(options: StageOptions) -> Result<Self> {
        let folder = Folder::make(options.keep)?;
        let edition = match options.provider.as_str() {
            DOCKER => Edition::Server,
            _ => Edition::Sandbox,
        };
        let settings = settings(&folder.path, options.listen, &options.provider)?;
        let (running, apps) = tokio::join!(serve::start(settings), {
            let repositories = organisation::folder(&folder.path);
            tokio::task::spawn_blocking(move || organisation::create(&repositories, edition))
        });
        let running = running.map_err(|error| cannot_start(&error))?;
        let apps = apps.map_err(|error| internal("The repositories could not be made", &error))?;
        let apps = apps.map_err(|fault| Box::new(fault.into()))?;
        let admin = admin(&running).await.map_err(refused)?;
        for app in apps {
            let file = format!("{}.json", app.name);
            let saved = running.control.save_app(&admin, None, &file, app.descriptor.as_bytes(), None);
            match saved.await {
                Ok(_) => {}
                // A folder that was kept has them already.
                Err(error) if error.fault.code == "conflict" || error.fault.code == "changed-meanwhile" => {}
                Err(error) => return Err(refused(error)),
            }
        }
        let request = NewToken {
            name: "demo".into(),
            role: None,
            expires_in: Some("1d".into()),
        };
        let token = running.control.create_token(&admin, &request).await.map_err(refused)?;
        let token = token.secret.unwrap_or_default();
        Ok(Self {
            client: Client::new(&running.url, Some(token.clone()))?,
            folder,
            provider: options.provider,
            running,
            token,
            places: std::sync::Mutex::default(),
        })
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.running.url
    }

    /// A token of the demo's account.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A link that signs a person in, once.
    pub async fn sign_in_link(&self) -> Result<String> {
        let link = self.running.control.system_login_link("admin").await.map_err(refused)?;
        Ok(link.url)
    }

    /// Launches all five apps at v1.0 with test data, and waits until they serve.
    pub async fn launch(&self, progress: &mut Progress) -> Result<StackView> {
        let at = |app: &&str| AppChoice {
            app: (*app).to_owned(),
            revision: Some("v1.0".into()),
        };
        let request = LaunchRequest {
            name: Some(NAME.into()),
            apps: APPS.iter().map(at).collect(),
            data: [("catalogue/db".to_owned(), DataChoice::Fixture)].into(),
            lease: Some("12h".into()),
            provider: Some(self.provider.clone()),
            // Where packages are installed and apps built, a second processor is half the time.
            size: (self.provider == DOCKER).then_some(Size::Medium),
            ..LaunchRequest::default()
        };
        let accepted = self.client.launch_stack(&request).await?;
        self.settle(&accepted, progress).await
    }

    /// Brings the storefront to another revision.
    pub async fn update(&self, revision: &str, progress: &mut Progress) -> Result<StackView> {
        let request = UpdateRequest {
            apps: vec![AppChoice {
                app: "storefront".into(),
                revision: Some(revision.into()),
            }],
        };
        let accepted = self.client.update_stack(NAME, &request).await?;
        self.settle(&accepted, progress).await
    }

    /// Destroys the stack, where there is one.
    pub async fn destroy(&self, progress: &mut Progress) -> Result<()> {
        match self.client.show_stack(NAME).await {
            Ok(stack) if stack.state == StackState::Destroyed => return Ok(()),
            Err(problem) if problem.code == "not-found" => return Ok(()),
            Ok(stack) => self.remember(&stack),
            Err(problem) => return Err(problem),
        }
        let accepted = self.client.destroy_stack(NAME).await?;
        self.settle(&accepted, progress).await.map(|_| ())
    }

    async fn settle(&self, accepted: &Accepted, progress: &mut Progress) -> Result<StackView> {
        let run = self.follow(&accepted.run, progress).await?;
        let stack = self.client.show_stack(&accepted.stack.id).await?;
        self.remember(&stack);
        if run.state == RunState::Succeeded {
            Ok(stack)
        } else {
            Err(Box::new(why(run).into()))
        }
    }

    async fn follow(&self, run: &str, progress: &mut Progress) -> Result<RunView> {
        let followed = tokio::time::timeout(PATIENCE, follow::follow(&self.client, run, progress)).await;
        followed.map_err(|_| Box::new(Problem::from(Fault::new("timed-out", "It took more than twenty minutes"))))?
    }

    fn remember(&self, stack: &StackView) {
        let places = stack.links.iter().filter_map(|link| place(link.direct()));
        self.places
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend(places);
    }

    // What people launched in the portal, too.
    async fn destroy_all(&self) -> Result<()> {
        let stacks = self.client.list_stacks(false, false, None, MANY).await?;
        let held = |stack: &StackView| !matches!(stack.state, StackState::Failed | StackState::Destroyed);
        let mut runs = Vec::new();
        for stack in stacks.into_iter().filter(held) {
            self.remember(&stack);
            match (stack.state, stack.run) {
                (StackState::Destroying, Some(run)) => runs.push(run.id),
                _ => runs.push(self.client.destroy_stack(&stack.id).await?.run),
            }
        }
        for run in runs {
            self.follow(&run, &mut Progress::silent()).await?;
        }
        Ok(())
    }

    /// Destroys every stack, stops the server, removes the temporary folder, and says what is left all the same.
    pub async fn close(self) -> Result<Leftovers> {
        let destroyed = self.destroy_all().await;
        let mut places = self.places.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        places.extend(place(&self.running.url));
        let mut nodes = Vec::new();
        for provider in self.running.control.providers.all() {
            // Nobody would know of an image whose server is gone for good.
            let images = if self.folder.temporary {
                provider.images().await
            } else {
                Ok(Vec::new())
            };
            for image in images.unwrap_or_default() {
                let _ = provider.remove_image(&image.external_id).await;
            }
            match provider.list_owned().await {
                Ok(owned) => nodes.extend(owned.into_iter().map(|node| node.external_id)),
                Err(why) => return Err(internal("It cannot be told what is left", &why)),
            }
        }
        self.running.shutdown().await;
        let path = self.folder.path.clone();
        let mut left = tokio::task::spawn_blocking(move || leftovers::look(&path, &places))
            .await
            .map_err(|error| internal("It cannot be told what is left", &error))?;
        left.nodes = nodes;
        left.files.extend(self.folder.remove());
        destroyed.map(|()| left)
    }
}

// Where an address listens, if it is this machine's, as names are here. What is behind a container's address once that is gone is
// anyone's; its provider says whether it is.
fn place(url: &str) -> Option<SocketAddr> {
    let url = reqwest::Url::parse(url).ok()?;
    let host = url.host_str()?.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let place = SocketAddr::new(host, url.port_or_known_default()?);
    place.ip().is_loopback().then_some(place)
}

fn settings(folder: &Path, listen: String, provider: &str) -> Result<Settings> {
    // What is set for a real server must not touch it; how sandboxes and containers are made may.
    let env =
        std::env::vars().filter(|(name, _)| name.starts_with("GREENROOM_SANDBOX_") || name.starts_with("GREENROOM_DOCKER_"));
    let mut settings = Settings::load(None, env).map_err(|error| internal("The settings cannot be used", &error))?;
    folder.clone_into(&mut settings.data.folder);
    settings.server.listen = listen;
    settings.docker.enabled = if provider == DOCKER { Enabled::Yes } else { Enabled::No };
    Ok(settings)
}

async fn admin(running: &Running) -> Result<Actor, ControlError> {
    let control = &running.control;
    control.first_link().await?;
    let link = control.system_login_link("admin").await?;
    let secret = link.url.rsplit('/').next().unwrap_or_default();
    let session = control.sign_in_with_link(secret).await?;
    control.authenticate_session(&session).await
}

fn why(run: RunView) -> Fault {
    run.fault.unwrap_or_else(|| {
        let code = if run.state == RunState::Cancelled {
            "cancelled"
        } else {
            "internal"
        };
        Fault::new(code, format!("{} is {}", run.title, run.state))
    })
}

fn refused(error: ControlError) -> Box<Problem> {
    Box::new(error.into())
}

fn internal(what: &str, why: &dyn std::fmt::Display) -> Box<Problem> {
    Box::new(Fault::new("internal", what).why(why).into())
}

/// The data folder; a temporary one is removed whatever happens.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn make(keep: Option<PathBuf>) -> Result<Self> {
        let temporary = keep.is_none();
        let path = keep.unwrap_or_else(|| {
            let name = format!("greenroom-demo-{:08x}", rand::random::<u32>());
            std::env::temp_dir().join(name)
        });
        let made = std::fs::DirBuilder::new().recursive(!temporary).mode(0o700).create(&path);
        let found = made.and_then(|()| path.canonicalize());
        let path = found.map_err(|error| {
            let fault = Fault::new("internal", format!("The folder {} cannot be made", path.display())).why(error);
            Box::new(fault.turn(Turn::You).next("Name a folder you may write with --keep").into())
        })?;
        Ok(Self { path, temporary })
    }

    /// Removes a temporary folder; gives it back where it is still there.
    fn remove(&self) -> Option<PathBuf> {
        if !self.temporary {
            return None;
        }
        let _ = crate::machine::files::remove_all(&self.path);
        self.path.exists().then(|| self.path.clone())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.remove();
    }
}
