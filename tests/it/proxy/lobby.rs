//! A server that listens, with one stack whose app is a program of the test's own.

use crate::support::database::TestDatabase;
use axum::Router;
use greenroom::clock::ManualClock;
use greenroom::config::Settings;
use greenroom::control::{Control, Parts};
use greenroom::git::Mirrors;
use greenroom::http::state::AppState;
use greenroom::model::actor::{Actor, Role};
use greenroom::model::id::{NodeId, StackId};
use greenroom::model::stack::{Size, Stack, StackApp, StackSpec, StackState};
use greenroom::model::time::Timestamp;
use greenroom::plans::Bundles;
use greenroom::providers::Providers;
use greenroom::recipes::bundle::Bundle;
use greenroom::store::Store;
use greenroom::wire::auth::{NewToken, NewUser};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub const STACK: &str = "lucky-duet";
pub const APP: &str = "shop--lucky-duet";
pub const INTERNAL: &str = "admin--shop--lucky-duet";

/// What a lobby is opened with.
pub struct Props {
    /// The proxy's setting.
    pub url: String,
    /// The address of the portal.
    pub portal: String,
}

impl Default for Props {
    fn default() -> Self {
        Self {
            url: String::new(),
            portal: "http://localhost:7400".into(),
        }
    }
}

/// See the module.
pub struct Lobby {
    pub control: Control,
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub address: SocketAddr,
    pub stack: StackId,
    pub admin: Actor,
    pub session: String,
    pub stop: CancellationToken,
    _folder: tempfile::TempDir,
    _database: TestDatabase,
}

impl Drop for Lobby {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Lobby {
    /// A stack that is ready, whose app is this one.
    pub async fn with(app: Router) -> Self {
        let upstream = serve(app).await;
        Self::before(upstream, Props::default()).await
    }

    /// A stack that is ready, whose app listens there.
    pub async fn before(upstream: SocketAddr, props: Props) -> Self {
        greenroom::tls::install();
        let database = TestDatabase::sqlite();
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(Timestamp(1_800_000_000_000));
        let store = database.open_at(Arc::<ManualClock>::clone(&clock)).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::default();
        settings.server.listen = address.to_string();
        settings.server.public_url.clone_from(&props.portal);
        settings.proxy.url = props.url;
        let control = Control::new(Parts {
            store: store.clone(),
            settings: Arc::new(settings),
            providers: Providers::default(),
            mirrors: Mirrors::new(folder.path()),
            bundles: Bundles::open(store.clone(), &Bundle::shipped(), "shipped").await.unwrap(),
            postgres: None,
        });
        let stop = CancellationToken::new();
        let state = AppState::new(control.clone(), &props.portal, stop.clone());
        tokio::spawn(greenroom::http::serve(listener, None, state));
        let keeper = control.clone();
        let keeper_stop = stop.clone();
        tokio::spawn(async move { keeper.keep_doors(keeper_stop).await });
        let link = control.first_link().await.unwrap().expect("the database is new");
        let session = control.sign_in_with_link(secret_of(&link.url)).await.unwrap();
        let admin = control.authenticate_session(&session).await.unwrap();
        let stack = stage(&control, &store, &admin, upstream).await;
        Self {
            control,
            store,
            clock,
            address,
            stack,
            admin,
            session,
            stop,
            _folder: folder,
            _database: database,
        }
    }

    /// Changes the stack as an engine would.
    pub async fn change(&self, change: impl FnOnce(&mut Stack)) {
        let mut tx = self.store.journal().await.unwrap();
        let mut stack = tx.stack(&self.stack).await.unwrap().unwrap();
        change(&mut stack);
        tx.update_stack(&mut stack).await.unwrap();
        tx.commit().await.unwrap();
        self.clock.advance(10_000);
    }

    /// A host name of ours with the port that is listened on.
    pub fn host(&self, label: &str) -> String {
        format!("{label}.localhost:{}", self.address.port())
    }

    /// A client that follows nothing and keeps no cookies.
    pub fn ask(&self, label: &str, method: &str, path: &str) -> reqwest::RequestBuilder {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        http.request(method.parse().unwrap(), format!("http://{}{path}", self.address))
            .header("host", self.host(label))
    }

    /// The same with the admin's token.
    pub async fn signed(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.ask(APP, method, path).bearer_auth(self.token(&self.admin).await)
    }

    /// A token of an account.
    pub async fn token(&self, actor: &Actor) -> String {
        let request = NewToken {
            name: "test".into(),
            role: None,
            expires_in: None,
        };
        self.control.create_token(actor, &request).await.unwrap().secret.unwrap()
    }

    /// A new account with a session.
    pub async fn account(&self, name: &str, role: Role) -> (Actor, String) {
        let request = NewUser { name: name.into(), role };
        self.control.create_user(&self.admin, &request).await.unwrap();
        let link = self.control.create_login_link(&self.admin, name).await.unwrap();
        let session = self.control.sign_in_with_link(secret_of(&link.url)).await.unwrap();
        (self.control.authenticate_session(&session).await.unwrap(), session)
    }

    /// The cookie of a pass for someone who is signed in, got as a browser gets it.
    pub async fn pass(&self, session: &str, label: &str) -> String {
        let to = format!("http://{}/", self.host(label));
        let portal = self
            .ask("greenroom", "GET", &format!("/enter?to={to}"))
            .header("cookie", format!("greenroom={session}"))
            .send()
            .await
            .unwrap();
        let code = location(&portal);
        let path = code.split_once(&self.host(label)).expect(&code).1.to_owned();
        let entered = self.ask(label, "GET", &path).send().await.unwrap();
        let cookie = entered.headers()["set-cookie"].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Sends bytes as they are and reads everything until the end, or until nothing more comes.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let quiet = std::time::Duration::from_millis(400);
        let mut piece = [0; 4096];
        while let Ok(Ok(read)) = tokio::time::timeout(quiet, stream.read(&mut piece)).await {
            if read == 0 {
                break;
            }
            answer.extend_from_slice(&piece[..read]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Where an answer leads.
pub fn location(answer: &reqwest::Response) -> String {
    let header = answer.headers().get("location").unwrap_or_else(|| panic!("{answer:?}"));
    header.to_str().unwrap().to_owned()
}

/// Serves an app on a free port.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn secret_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

async fn stage(control: &Control, store: &Store, admin: &Actor, upstream: SocketAddr) -> StackId {
    let descriptor = json!({
        "apiVersion": "greenroom/v1", "kind": "App", "metadata": {"name": "shop", "title": "The shop"},
        "spec": {
            "type": "website", "owners": {"dev": "a", "ops": "b"}, "repository": "/nowhere/shop.git",
            "recipes": [{"name": "python-app"}], "processes": {"web": {"command": ["true"]}},
            "ports": {"admin": {}, "http": {"public": true}},
        }
    });
    let saved = control
        .save_app(admin, None, "shop.json", descriptor.to_string().as_bytes(), None)
        .await;
    saved.unwrap();
    let node = NodeId::from_bits(store.next_id());
    let mut tx = store.journal().await.unwrap();
    let mut stack = Stack {
        id: StackId::from_bits(tx.next_id()),
        name: STACK.parse().unwrap(),
        owner: admin.user_id().unwrap().clone(),
        provider: "sandbox".into(),
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
            data: BTreeMap::new(),
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
        purpose: greenroom::model::stack::Purpose::Person,
        version: 1,
    };
    tx.insert_stack(&stack).await.unwrap();
    tx.insert_node(&node, &stack.id, "sandbox").await.unwrap();
    let handle = json!({
        "external_id": "x", "address": upstream.ip().to_string(),
        "ports": {"shop/http": upstream.port(), "shop/admin": upstream.port()},
        "layout": {"apps": "/a", "data": "/b", "config": "/c", "logs": "/d"}, "isolation": "none",
    });
    tx.set_node_created(&node, &handle).await.unwrap();
    stack.state = StackState::Ready;
    tx.update_stack(&mut stack).await.unwrap();
    tx.commit().await.unwrap();
    stack.id
}
