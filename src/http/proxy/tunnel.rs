//! What is no longer HTTP: WebSockets and whatever else an app and a client agree to speak after `Upgrade`.

use super::Proxy;
use super::forward::{Failure, broken};
use super::pool;
use crate::control::doors::{Door, InUse};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;

const ANSWER: Duration = Duration::from_mins(1);

/// A request's wish to speak something else.
#[derive(Debug)]
pub struct Upgrade {
    protocol: HeaderValue,
    client: OnUpgrade,
}

/// Whether a request wants to speak something else, and what.
pub fn asked(request: &mut Request) -> Option<Upgrade> {
    let protocol = request.headers().get(header::UPGRADE)?.clone();
    let named = request
        .headers()
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    // HTTP/2 without TLS would be parsed by nobody on the way.
    if !named || protocol.as_bytes().to_ascii_lowercase().starts_with(b"h2") {
        return None;
    }
    let client = hyper::upgrade::on(request);
    Some(Upgrade { protocol, client })
}

/// Asks the app on a connection of its own; where it agrees, whatever comes is passed on until one side ends.
pub(super) async fn open(
    proxy: &Proxy,
    door: &Arc<Door>,
    upstream: &Arc<str>,
    upgrade: Upgrade,
    mut request: Request,
    in_use: InUse,
) -> Result<Response, Failure> {
    ask_for(request.headers_mut(), &upgrade.protocol);
    let live = pool::connect(upstream)
        .await
        .map_err(|error| Failure::Broken(error.to_string()))?;
    let (mut sender, connection) = live.into_tunnel();
    let stop = proxy.state.shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            // How it ends is told to whoever waits for the answer.
            _ = connection => {}
        }
    });
    let answer = tokio::time::timeout(ANSWER, sender.send_request(request)).await;
    let mut answer = answer.map_err(|_| Failure::Slow)?.map_err(|error| broken(&error))?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (head, body) = answer.into_parts();
        return Ok(Response::from_parts(head, Body::new(body)));
    }
    let app = hyper::upgrade::on(&mut answer);
    let stop = proxy.state.shutdown.clone();
    let label = door.label.clone();
    tokio::spawn(async move {
        let _in_use = in_use;
        let (client, app) = match tokio::try_join!(upgrade.client, app) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, label, "a tunnel was not opened"),
        };
        let (mut client, mut app) = (TokioIo::new(client), TokioIo::new(app));
        tokio::select! {
            () = stop.cancelled() => {}
            _ = tokio::io::copy_bidirectional(&mut client, &mut app) => {}
        }
    });
    let (mut head, _) = answer.into_parts();
    let protocol = head.headers.get(header::UPGRADE).cloned().unwrap_or(upgrade.protocol);
    super::headers::clean_answer(&mut head.headers);
    ask_for(&mut head.headers, &protocol);
    Ok(Response::from_parts(head, Body::empty()))
}

fn ask_for(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}
