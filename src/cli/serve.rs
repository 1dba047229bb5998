//! The composition root: everything a server is made of is wired here, and nowhere else.

use crate::clock::{SystemClock, SystemIds};
use crate::config::{Enabled, Settings};
use crate::control::{Control, Parts};
use crate::engine::{CrashHook, Engine, EngineOptions};
use crate::git::Mirrors;
use crate::http::state::AppState;
use crate::machine::files;
use crate::machine::reserve::Reserve;
use crate::model::address::Addresses;
use crate::plans::Bundles;
use crate::providers::docker::{Docker, DockerOptions, Way};
use crate::providers::postgres::DatabaseServer;
use crate::providers::sandbox::{Sandbox, SandboxOptions};
use crate::providers::{Interrupt, Provider, ProviderError, Providers};
use crate::recipes::bundle::Bundle;
use crate::steps::{self, Tools};
use crate::store::Store;
use crate::store::vault::{KEY, Vault};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

// How long a server that starts waits for an engine that may not be there.
const QUICKLY: Duration = Duration::from_millis(500);

/// A server at work.
#[derive(Debug)]
pub struct Running {
    /// The address that people use, without a slash at the end.
    pub url: String,
    /// The verbs.
    pub control: Control,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// What tests may replace.
#[derive(Default)]
pub struct Replacements {
    /// Providers instead of the configured ones.
    pub providers: Option<Vec<Arc<dyn Provider>>>,
    /// The program that agents are started from, where it is not this one.
    pub agent_program: Option<PathBuf>,
    /// Called where a crash of the engine would matter.
    pub crash: Option<CrashHook>,
    /// Called inside the calls of providers.
    pub interrupt: Option<Interrupt>,
}

impl Replacements {
    /// For drills: `GREENROOM_CRASH_AT=after_intent@node` or `=sandbox@POINT`, `=docker@POINT`, `=ec2@POINT` makes this process die there, at once and
    /// without a word, as `kill -9` would. Unset, nothing is replaced.
    pub fn from_environment() -> Self {
        let Ok(at) = std::env::var("GREENROOM_CRASH_AT") else {
            return Self::default();
        };
        tracing::warn!(at, "this server was told to crash");
        let (place, point) = at
            .split_once('@')
            .map_or((at.clone(), String::new()), |(a, b)| (a.to_owned(), b.to_owned()));
        if ["sandbox", "docker", "ec2"].contains(&place.as_str()) {
            let interrupt: Interrupt = Arc::new(move |here| if here == point { die() } else { false });
            return Self {
                interrupt: Some(interrupt),
                ..Self::default()
            };
        }
        let crash: CrashHook = Arc::new(move |here| {
            if here.place == place && here.step == point {
                die();
            }
            Box::pin(std::future::ready(()))
        });
        Self {
            crash: Some(crash),
            ..Self::default()
        }
    }
}

fn die() -> ! {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// Starts a server with these settings.
///
/// # Errors
/// Where the address is taken, the data folder cannot be used, the database does not open, or a recipe has errors.
pub async fn start(settings: Settings) -> Result<Running> {
    start_with(settings, Replacements::default()).await
}

/// As [`start`], with some parts replaced.
///
/// # Errors
/// As [`start`].
pub async fn start_with(mut settings: Settings, replace: Replacements) -> Result<Running> {
    // Providers, agents and recipes name files by their full path.
    std::fs::create_dir_all(&settings.data.folder)
        .with_context(|| format!("the data folder {} cannot be made", settings.data.folder.display()))?;
    settings.data.folder = settings
        .data
        .folder
        .canonicalize()
        .context("the data folder cannot be found")?;
    protect(&settings.data.folder)?;

    let listener = TcpListener::bind(&settings.server.listen).await.with_context(|| {
        format!(
            "nothing can listen on {}: choose another with --listen",
            settings.server.listen
        )
    })?;
    let address = listener.local_addr().context("the address listened on is unknown")?;
    let local_url = format!("http://{address}");
    if settings.server.public_url.is_empty() {
        // Browsers share cookies between ports of one host, and sandboxes are on 127.0.0.1: people get another name for the
        // same place, so that no app in a sandbox is ever sent the portal's session.
        settings.server.public_url = if address.ip().is_loopback() && address.is_ipv4() {
            format!("http://localhost:{}", address.port())
        } else {
            local_url.clone()
        };
    }
    let public_url = settings.server.public_url.trim_end_matches('/').to_owned();
    settings.server.public_url.clone_from(&public_url);
    let entrance = entrance(&mut settings, address.port()).await?;

    let store = Store::open(&settings.database_url(), Arc::new(SystemClock), Arc::new(SystemIds)).await?;
    let vault = Vault::new(&key(&settings)?)?;
    let locked = store.lock_secrets(vault).await;
    locked.with_context(|| format!("the secrets in the database and {} do not fit", key_file(&settings).display()))?;
    let (recipes, note) = recipes(&settings)?;
    let bundles = Bundles::open(store.clone(), &recipes, &note)
        .await
        .map_err(|fault| anyhow::anyhow!("the recipes cannot be kept: {fault}"))?;
    let mirrors = Mirrors::new(settings.data.folder.join("mirrors"));
    let postgres = match settings.databases.postgres_url.as_str() {
        "" => None,
        url => Some(DatabaseServer::new(url).map_err(|fault| anyhow::anyhow!("databases.postgres_url: {fault}"))?),
    };
    let providers = match replace.providers {
        Some(all) => Providers::new(all),
        None => Providers::new(configured(&settings, &replace).await?),
    };
    let socket = if providers.get("docker").is_some() && settings.agents.url.is_empty() {
        Some(agents_socket(&agents_folder(&settings))?)
    } else {
        None
    };
    let settings = Arc::new(settings);
    let control = Control::new(Parts {
        store: store.clone(),
        settings: Arc::clone(&settings),
        providers: providers.clone(),
        mirrors: mirrors.clone(),
        bundles: bundles.clone(),
        postgres: postgres.clone(),
    });
    let tools = Arc::new(Tools {
        store: store.clone(),
        providers,
        mirrors,
        bundles,
        server_url: local_url,
        postgres,
        http: http_client()?,
    });
    let engine = Engine::new(
        store,
        steps::kinds(&tools),
        EngineOptions {
            crash: replace.crash,
            ..EngineOptions::default()
        },
    );

    let stop = CancellationToken::new();
    let state = AppState::new(control.clone(), &public_url, stop.clone());
    let keeper = control.clone();
    let keeper_stop = stop.clone();
    let (builder, builder_stop) = (control.clone(), stop.clone());
    let (doors, doors_stop) = (control.clone(), stop.clone());
    let reserve = Reserve::of(&settings.data.folder);
    let for_agents = state.clone();
    let mut tasks = vec![
        engine.start(stop.clone()),
        tokio::spawn(async move { keeper.keep(keeper_stop).await }),
        tokio::spawn(async move { builder.keep_configurations(builder_stop).await }),
        tokio::spawn(async move { doors.keep_doors(doors_stop).await }),
        tokio::spawn(reserve.keep(stop.clone())),
        tokio::spawn(async move {
            if let Err(error) = crate::http::serve(listener, entrance, state).await {
                tracing::error!(%error, "the server stopped listening");
            }
        }),
    ];
    if let Some(socket) = socket {
        tasks.push(tokio::spawn(async move {
            if let Err(error) = crate::http::serve_agents(socket, for_agents).await {
                tracing::error!(%error, "the server stopped listening to containers");
            }
        }));
    }
    Ok(Running {
        url: public_url,
        control,
        stop,
        tasks,
    })
}

impl Running {
    /// Stops listening, lets what is under way come to a safe point, and closes the database. Stacks run on.
    pub async fn shutdown(self) {
        self.stop.cancel();
        for task in self.tasks {
            let _ = task.await;
        }
        self.control.store.close().await;
    }
}

// Where the apps of stacks are reached: fills in the setting, and listens where that is another address.
async fn entrance(settings: &mut Settings, port: u16) -> Result<Option<TcpListener>> {
    let listener = match settings.proxy.listen.as_str() {
        "" => None,
        listen => Some(
            TcpListener::bind(listen)
                .await
                .with_context(|| format!("nothing can listen on {listen}: choose another as proxy.listen"))?,
        ),
    };
    if settings.proxy.url.is_empty() {
        let port = match &listener {
            Some(listener) => listener.local_addr().context("the address listened on is unknown")?.port(),
            None => port,
        };
        settings.proxy.url = Addresses::local(port).origin("*");
    } else {
        Addresses::parse(&settings.proxy.url).map_err(|why| anyhow::anyhow!("proxy.url: {why}"))?;
    }
    Ok(listener)
}

// The recipes of the binary and the organisation's folder, and where they came from.
fn recipes(settings: &Settings) -> Result<(Bundle, String)> {
    let folder = &settings.organisation.recipes;
    let (bundle, note) = if folder.as_os_str().is_empty() {
        (Bundle::shipped(), "shipped recipes".to_owned())
    } else {
        let bundle = Bundle::with_folder(folder).map_err(|finding| anyhow::anyhow!("{finding}"))?;
        (bundle, format!("{} at the start of the server", folder.display()))
    };
    let found = bundle.check();
    if crate::model::diagnostic::has_errors(&found) {
        let all: Vec<String> = found.iter().map(ToString::to_string).collect();
        bail!("the recipes have errors:\n{}", all.join("\n"));
    }
    Ok((bundle, note))
}

// Sandboxes, which need nothing, are what is taken where nobody chooses.
async fn configured(settings: &Settings, replace: &Replacements) -> Result<Vec<Arc<dyn Provider>>> {
    let agent_program = match &replace.agent_program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("this program's own file is unknown")?,
    };
    let interrupt = &replace.interrupt;
    let mut all: Vec<Arc<dyn Provider>> = vec![Arc::new(sandbox(settings, agent_program.clone(), interrupt.clone())?)];
    if settings.ec2.enabled {
        all.push(ec2(settings, interrupt.clone()).await?);
    }
    if settings.docker.enabled == Enabled::No {
        return Ok(all);
    }
    let docker = docker(settings, agent_program, interrupt.clone());
    match (docker, settings.docker.enabled) {
        (Ok(docker), Enabled::Yes) => all.push(Arc::new(docker)),
        (Ok(docker), _) => match docker.answers(QUICKLY).await {
            Ok(()) => all.push(Arc::new(docker)),
            Err(why) => tracing::debug!(%why, "stacks cannot be containers"),
        },
        (Err(error), Enabled::Yes) => bail!("the Docker provider cannot start: {error}"),
        (Err(error), _) => tracing::warn!(%error, "stacks cannot be containers"),
    }
    Ok(all)
}

#[cfg(feature = "ec2")]
async fn ec2(settings: &Settings, interrupt: Option<Interrupt>) -> Result<Arc<dyn Provider>> {
    use crate::providers::ec2::{Ec2, Ec2Options, Pace, Reach};
    let asked = &settings.ec2;
    let url = match settings.agents.url.as_str() {
        "" => &settings.server.public_url,
        url => url,
    };
    let server_url = url.trim_end_matches('/').to_owned();
    let options = Ec2Options {
        folder: settings.data.folder.join("ec2"),
        region: asked.region.clone(),
        profile: asked.profile.clone(),
        endpoint: asked.endpoint.clone(),
        owner: match asked.owner.as_str() {
            "" => own_name(settings)?,
            owner => owner.to_owned(),
        },
        image: asked.image.clone(),
        types: [&asked.types_small, &asked.types_medium, &asked.types_large].map(Clone::clone),
        subnets: asked.subnets.clone(),
        security_groups: asked.security_groups.clone(),
        key_pair: asked.key_pair.clone(),
        instance_profile: asked.instance_profile.clone(),
        root_gb: asked.root_gb,
        root_type: asked.root_type.clone(),
        spot: asked.spot,
        reach: Reach::named(&asked.address).map_err(|why| anyhow::anyhow!("ec2.address: {why}"))?,
        first_port: asked.first_port,
        first_start: Arc::new(crate::control::FirstStarts::new(&server_url)),
        server_url,
        credentials: None,
        pace: Pace::default(),
        interrupt,
    };
    let made = Ec2::new(options).await;
    Ok(Arc::new(made.map_err(|error| {
        anyhow::anyhow!("the EC2 provider cannot start: {error}")
    })?))
}

// As lasting as the database and another one for each: a server ends what is tagged as its own and not in its database.
#[cfg(feature = "ec2")]
fn own_name(settings: &Settings) -> Result<String> {
    use crate::model::secret::{hash, hex};
    Ok(format!("greenroom-{}", &hash(&hex("owner/", &key(settings)?))[..8]))
}

#[cfg(not(feature = "ec2"))]
async fn ec2(_: &Settings, _: Option<Interrupt>) -> Result<Arc<dyn Provider>> {
    bail!("ec2.enabled is set, and this program was built without it: build it with `--features ec2`")
}

fn docker(settings: &Settings, agent_program: PathBuf, interrupt: Option<Interrupt>) -> Result<Docker, ProviderError> {
    let asked = &settings.docker;
    Docker::new(DockerOptions {
        folder: settings.data.folder.clone(),
        host: asked.host.clone(),
        image: asked.image.clone(),
        networks: asked.networks.clone(),
        environment: asked.environment.clone(),
        way: match settings.agents.url.as_str() {
            "" => Way::Socket(agents_folder(settings)),
            url => Way::Url(url.to_owned()),
        },
        agent_program,
        interrupt,
    })
}

// Given to containers to read, so that it holds nothing but the socket.
fn agents_folder(settings: &Settings) -> PathBuf {
    settings.data.folder.join("agents")
}

// One that an earlier server left is in the way of the new one; nodes see the new one in the same folder.
fn agents_socket(folder: &std::path::Path) -> Result<UnixListener> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("server.sock");
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("{} is in the way", path.display()));
    }
    let wrong = || format!("nothing can listen at {}", path.display());
    let opened = std::fs::File::open(folder).with_context(wrong)?;
    // The whole path may be longer than a socket's can be; the one from the open folder is not.
    let short = format!("/proc/self/fd/{}/server.sock", opened.as_raw_fd());
    let listener = UnixListener::bind(short).with_context(wrong)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("{} cannot be protected", path.display()))?;
    Ok(listener)
}

fn sandbox(settings: &Settings, agent_program: PathBuf, interrupt: Option<Interrupt>) -> Result<Sandbox> {
    let options = SandboxOptions {
        folder: settings.data.folder.clone(),
        first_port: settings.sandbox.first_port,
        last_port: settings.sandbox.last_port,
        isolation: settings.sandbox.isolation.clone(),
        path: settings.sandbox.path.clone(),
        environment: settings.sandbox.environment.clone(),
        agent_program,
        interrupt,
    };
    Sandbox::new(options).map_err(|error| anyhow::anyhow!("the sandbox provider cannot start: {error}"))
}

fn http_client() -> Result<reqwest::Client> {
    // Pages of stacks are asked directly: a proxy for the outside has no business there.
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .build()
        .context("the HTTP client cannot be made")
}

// The folder holds the database with its secrets.
fn protect(folder: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("the data folder {} cannot be protected", folder.display()))
}

// What secrets in the database are sealed with: made once, readable by its owner only, and never replaced.
fn key_file(settings: &Settings) -> PathBuf {
    if settings.data.key_file.as_os_str().is_empty() {
        settings.data.folder.join("secrets.key")
    } else {
        settings.data.key_file.clone()
    }
}

fn key(settings: &Settings) -> Result<[u8; KEY]> {
    let path = key_file(settings);
    match std::fs::read(&path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(key) => Ok(key),
            Err(_) => bail!("{} holds no key: one has {KEY} bytes", path.display()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key: [u8; KEY] = rand::random();
            files::replace(&path, &key, 0o600).with_context(|| format!("the key file {} cannot be made", path.display()))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("the key file {} cannot be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.data.folder = folder.path().to_owned();
        let made = key(&settings).unwrap();
        assert_eq!(key(&settings).unwrap(), made);
        let mode = std::fs::metadata(key_file(&settings)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(key_file(&settings), "short").unwrap();
        assert!(key(&settings).unwrap_err().to_string().contains("holds no key"));
    }
}
