//! A server without a socket: requests go straight into the router.

use crate::support::database::TestDatabase;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use greenroom::clock::ManualClock;
use greenroom::config::Settings;
use greenroom::control::{Control, Parts};
use greenroom::git::Mirrors;
use greenroom::http::state::AppState;
use greenroom::model::actor::{Actor, Role};
use greenroom::model::secret;
use greenroom::model::signature::{SigningKey, sign_request};
use greenroom::model::time::Timestamp;
use greenroom::plans::Bundles;
use greenroom::providers::Providers;
use greenroom::recipes::bundle::Bundle;
use greenroom::store::Store;
use greenroom::wire::auth::{NewToken, NewUser};
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub(crate) const HOST: &str = "127.0.0.1:7400";

/// A server on a database of its own, with a clock that stands still.
pub(crate) struct Server {
    pub(crate) control: Control,
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) state: AppState,
    router: Router,
    _database: TestDatabase,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn on(database: TestDatabase) -> Self {
        Self::at("http://127.0.0.1:7400", database).await
    }

    pub(crate) async fn sqlite() -> Self {
        Self::on(TestDatabase::sqlite()).await
    }

    pub(crate) async fn at(public_url: &str, database: TestDatabase) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(Timestamp(1_800_000_000_000));
        let store = database.open_at(Arc::<ManualClock>::clone(&clock)).await;
        let mut settings = Settings::default();
        public_url.clone_into(&mut settings.server.public_url);
        let control = Control::new(Parts {
            store: store.clone(),
            settings: Arc::new(settings),
            providers: Providers::default(),
            mirrors: Mirrors::new(folder.path()),
            bundles: Bundles::open(store.clone(), &Bundle::shipped(), "shipped").await.unwrap(),
            postgres: None,
        });
        let state = AppState::new(control.clone(), public_url, CancellationToken::new());
        Self {
            router: greenroom::http::router(state.clone()),
            control,
            store,
            clock,
            state,
            _database: database,
            _folder: folder,
        }
    }

    /// The same server after a restart.
    pub(crate) fn again(&self) -> Restarted {
        let parts: &Parts = &self.control;
        let state = AppState::new(
            Control::new(parts.clone()),
            &self.state.public_url,
            self.state.shutdown.clone(),
        );
        Restarted(greenroom::http::router(state))
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        answer(&self.router, ask).await
    }

    /// The response itself, for bodies that do not end.
    pub(crate) async fn open(&self, ask: Ask) -> axum::response::Response {
        self.router.clone().oneshot(ask.request()).await.unwrap()
    }

    /// The first account, an admin, and a session of it.
    pub(crate) async fn admin(&self) -> (Actor, String) {
        if let Some(link) = self.control.first_link().await.unwrap() {
            let session = self.control.sign_in_with_link(secret_of(&link.url)).await.unwrap();
            return (self.control.authenticate_session(&session).await.unwrap(), session);
        }
        let link = self.control.system_login_link("admin").await.unwrap();
        let session = self.control.sign_in_with_link(secret_of(&link.url)).await.unwrap();
        (self.control.authenticate_session(&session).await.unwrap(), session)
    }

    /// A new account of this role, with a session.
    pub(crate) async fn account(&self, name: &str, role: Role) -> (Actor, String) {
        let (admin, _) = self.admin().await;
        let request = NewUser { name: name.into(), role };
        self.control.create_user(&admin, &request).await.unwrap();
        let link = self.control.create_login_link(&admin, name).await.unwrap();
        let session = self.control.sign_in_with_link(secret_of(&link.url)).await.unwrap();
        (self.control.authenticate_session(&session).await.unwrap(), session)
    }

    /// An API token of this account, with its role.
    pub(crate) async fn token(&self, actor: &Actor) -> String {
        let request = NewToken {
            name: "test".into(),
            role: None,
            expires_in: None,
        };
        self.control.create_token(actor, &request).await.unwrap().secret.unwrap()
    }
}

/// A server that was started again over the same database.
pub(crate) struct Restarted(Router);

impl Restarted {
    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        answer(&self.0, ask).await
    }
}

async fn answer(router: &Router, ask: Ask) -> Answer {
    let response = router.clone().oneshot(ask.request()).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap(),
    }
}

/// The secret at the end of a one-time link.
pub(crate) fn secret_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HOST.parse().unwrap());
        Self {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            headers,
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// The same, sent to another address than the one it was made for.
    pub(crate) fn to(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub(crate) fn session(self, secret: &str) -> Self {
        self.header("cookie", &format!("theme=dark; greenroom={secret}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string().into_bytes())
            .header("content-type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Signed by this key for this node, at this time, as the last thing that is done to the request.
    pub(crate) fn signed(self, key: &SigningKey, node: &str, at: Timestamp) -> Self {
        let uri = format!("http://{HOST}{}", self.path);
        let nonce = secret::make("")[..32].to_owned();
        let signed = sign_request(key, node, (self.method.as_str(), &uri), &self.body, at.0 / 1000, &nonce);
        self.header("content-digest", &signed.content_digest)
            .header("signature-input", &signed.signature_input)
            .header("signature", &signed.signature)
    }

    fn request(self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.path.parse().unwrap();
        *request.headers_mut() = self.headers;
        request
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem that is well formed.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{problem}");
        for field in ["type", "title", "detail", "hint", "turn"] {
            assert!(
                problem[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field} of {problem}"
            );
        }
        problem["code"].as_str().unwrap().to_owned()
    }
}
