//! HTTP: the only module that knows axum. `api` (JSON), `agents` and `portal` (pages) are siblings over [`crate::control`].
//!
//! A handler extracts, is authorised by the type of its first argument ([`auth`]), makes one call into control and maps the
//! answer. Every error of every surface leaves as one [`problem::ApiError`], which [`problem::render`] writes as
//! problem+json, a page or a redirect to the sign-in page, so no handler decides that.
//!
//! Invariant: nothing here waits longer than the server's shutdown.

pub mod agents;
pub mod api;
pub mod auth;
pub mod changes;
pub mod chef;
pub mod csrf;
pub mod extract;
pub mod hooks;
pub mod nocloud;
pub mod ops;
pub mod portal;
pub mod problem;
pub mod protect;
pub mod proxy;
pub mod sse;
pub mod state;
pub mod trace;
pub mod watched;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::serve::ListenerExt;
use problem::ApiError;
use proxy::{Entrance, Proxy};
use state::AppState;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

// Bodies over this are refused, except on the agents' routes, which set their own limit.
const BODY_LIMIT: usize = 1024 * 1024;

// How long answers under way may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Every route behind every layer.
pub fn router(state: AppState) -> Router {
    let agents = for_agents(&state);
    Router::new()
        .merge(api::router().split_for_parts().0)
        .merge(chef::router())
        .merge(nocloud::router())
        .merge(hooks::router())
        .merge(ops::router())
        .merge(portal::router())
        .fallback(async || ApiError::new("not-found", "There is nothing at this address"))
        .method_not_allowed_fallback(async || ApiError::new("method-not-allowed", "This address does not take that method"))
        // The last layer is the outermost one: it sees a request first and its answer last.
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(state.clone(), csrf::refuse_cross_site))
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(from_fn_with_state(state.clone(), problem::render))
        .layer(from_fn_with_state(state.clone(), protect::add_headers))
        .layer(CompressionLayer::new())
        .merge(agents)
        .layer(from_fn(trace::follow))
        .with_state(state)
}

// Thousands of agents wait at once: what only pages need is not in their way, nor in the memory of each.
fn for_agents(state: &AppState) -> Router<AppState> {
    agents::router()
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(state.clone(), csrf::refuse_cross_site))
        .layer(CatchPanicLayer::custom(problem::from_panic))
        .layer(from_fn_with_state(state.clone(), problem::render))
}

/// Serves what agents ask, and nothing else, until `state.shutdown` is cancelled: for nodes that are given a socket rather than
/// a way to this machine.
///
/// # Errors
/// Where the listener fails.
pub async fn serve_agents(listener: tokio::net::UnixListener, state: AppState) -> Result<(), std::io::Error> {
    let shutdown = state.shutdown.clone();
    let router = for_agents(&state)
        .fallback(async || ApiError::new("not-found", "There is nothing at this address"))
        .layer(from_fn_with_state(state.clone(), problem::render))
        .layer(from_fn(trace::follow))
        .with_state(state);
    // As it is, each connection would get a copy of every route, some 200 KB; as this, all share one.
    let server = axum::serve(listener, router.into_make_service());
    let server = server.with_graceful_shutdown(shutdown.clone().cancelled_owned());
    in_time(server.into_future(), &shutdown).await
}

/// Serves until `state.shutdown` is cancelled: everything at one listener, and the apps of stacks at another where one is
/// given. Event streams and long polls then end at once; other answers get a few seconds.
///
/// # Errors
/// Where a listener fails.
pub async fn serve(listener: TcpListener, apps: Option<TcpListener>, state: AppState) -> Result<(), std::io::Error> {
    let shutdown = state.shutdown.clone();
    let proxy = Proxy::new(state.clone());
    let everything = Entrance::new(router(state), Arc::clone(&proxy), true);
    let main = listen(listener, everything, &shutdown);
    match apps {
        None => main.await,
        Some(apps) => {
            let only_apps = Entrance::new(Router::new(), proxy, false);
            tokio::try_join!(main, listen(apps, only_apps, &shutdown)).map(|_| ())
        }
    }
}

async fn listen(listener: TcpListener, entrance: Entrance, shutdown: &CancellationToken) -> Result<(), std::io::Error> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps small answers back");
        }
    });
    let server = axum::serve(listener, entrance).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    in_time(server.into_future(), shutdown).await
}

// Answers under way get a few seconds once the server was told to stop.
async fn in_time(
    serving: impl Future<Output = Result<(), std::io::Error>>,
    shutdown: &CancellationToken,
) -> Result<(), std::io::Error> {
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        done = serving => done,
        () = overdue => Ok(()),
    }
}
