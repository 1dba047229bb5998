//! The built-in reverse proxy: one stable address for each app of a stack, told from the portal by the request's host name.
//!
//! It stands before routing, so that nothing that pages need (layers, limits, compression) is in its way. [`gate`] says who
//! may pass, [`pool`] keeps connections to apps, [`forward`] moves a request and its answer through one without keeping either,
//! [`tunnel`] does so for what is no longer HTTP, [`headers`] says what of a request and an answer may cross, and [`waiting`]
//! answers where no app does. Both sides are parsed and written by hyper: no byte of a request's head is passed on as it came.
//!
//! Invariants: an app never sees the portal's session, a pass or an API token, and never sets a cookie for any other host
//! than its own address; what is under `/.greenroom/` never reaches an app.

pub mod forward;
pub mod gate;
pub mod headers;
pub mod pool;
pub mod tunnel;
pub mod waiting;

use super::problem::ApiError;
use super::state::AppState;
use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use pool::Pool;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;
use waiting::About;

/// What is under this path of an address belongs to the proxy.
pub const OURS: &str = "/.greenroom/";

/// The proxy of a server.
#[derive(Debug)]
pub struct Proxy {
    state: AppState,
    pool: Arc<Pool>,
}

impl Proxy {
    /// The proxy over these verbs.
    pub fn new(state: AppState) -> Arc<Self> {
        let pool = Pool::new(state.shutdown.clone());
        Arc::new(Self { state, pool })
    }

    // The label of the app that a request is for.
    fn label_of(&self, request: &Request) -> Option<String> {
        let host = match request.uri().host() {
            Some(host) => host,
            None => request.headers().get(header::HOST)?.to_str().ok()?,
        };
        self.state
            .control
            .addresses()
            .label_of(host)
            .map(std::borrow::Cow::into_owned)
    }

    async fn answer(&self, label: String, peer: IpAddr, request: Request) -> Response {
        let (state, about) = (&self.state, About::of(request.headers()));
        if request.headers().get_all(header::HOST).iter().count() > 1 {
            let error = ApiError::new("invalid-request", "A request has one Host header");
            return waiting::refused(state, &about, error.problem());
        }
        let door = match state.control.find_door(&label).await {
            Ok(Some(door)) => door,
            Ok(None) => return waiting::unknown(state, &about, &label),
            Err(error) => return waiting::refused(state, &about, &error.into()),
        };
        let (head, body) = request.into_parts();
        if head.uri.path().starts_with(OURS) {
            return gate::ours(self, &door, &head).await;
        }
        let visitor = match gate::admit(state, &door, &head).await {
            Ok(visitor) => visitor,
            Err(refusal) => return *refusal,
        };
        let Some(upstream) = door.upstream.clone().filter(|_| door.serves()) else {
            return waiting::show(state, &door, &visitor, &about).await;
        };
        forward::forward(self, &door, &visitor, &upstream, peer, Request::from_parts(head, body)).await
    }
}

/// What a connection's requests go through: the proxy for addresses of apps, else the router.
#[derive(Debug, Clone)]
pub struct Entrance {
    router: Router,
    proxy: Arc<Proxy>,
    peer: IpAddr,
    // Whether the portal is served here, too.
    portal: bool,
}

impl Entrance {
    /// An entrance to apps and, where `portal`, to everything else.
    pub fn new(router: Router, proxy: Arc<Proxy>, portal: bool) -> Self {
        Self {
            router,
            proxy,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            portal,
        }
    }
}

impl Service<Request> for Entrance {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if let Some(label) = self.proxy.label_of(&request) {
            let (proxy, peer) = (Arc::clone(&self.proxy), self.peer);
            return Box::pin(async move { Ok(proxy.answer(label, peer, request).await) });
        }
        if self.portal {
            return Box::pin(Service::<Request>::call(&mut self.router, request));
        }
        let proxy = Arc::clone(&self.proxy);
        Box::pin(async move { Ok(waiting::unknown(&proxy.state, &About::of(request.headers()), "")) })
    }
}

impl<L: Listener<Addr = SocketAddr>> Service<IncomingStream<'_, L>> for Entrance {
    type Response = Self;
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'_, L>) -> Self::Future {
        let mut mine = self.clone();
        mine.peer = stream.remote_addr().ip();
        ready(Ok(mine))
    }
}
