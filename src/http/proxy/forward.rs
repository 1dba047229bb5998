//! Moving a request to an app and its answer back, piece by piece as they come: neither is ever kept as a whole.

use super::pool::{self, Live, Pool};
use super::{Proxy, headers, tunnel, waiting};
use crate::control::doors::{Door, InUse};
use crate::model::sharing::Visitor;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{Method, Uri, Version, header};
use axum::response::Response;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

// Until the answer begins. Pages of staging servers may be slow; what streams may take as long as it likes.
const ANSWER: Duration = Duration::from_mins(5);

/// Why an app did not answer.
#[derive(Debug)]
pub enum Failure {
    /// Nothing listens, or what listens hung up or does not speak HTTP.
    Broken(String),
    /// It took too long.
    Slow,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => f.write_str(why),
            Self::Slow => f.write_str("it took longer than five minutes"),
        }
    }
}

/// Asks the app, and gives its answer or says why there is none.
pub async fn forward(
    proxy: &Proxy,
    door: &Arc<Door>,
    visitor: &Visitor,
    upstream: &Arc<str>,
    peer: IpAddr,
    mut request: Request,
) -> Response {
    let control = &proxy.state.control;
    let upgrade = tunnel::asked(&mut request);
    let about = waiting::About::of(request.headers());
    if request.uri().host().is_some() {
        rewrite_uri(&mut request);
    }
    *request.version_mut() = Version::HTTP_11;
    headers::clean_request(request.headers_mut());
    let believed = peer.is_loopback() || control.settings.proxy.trusted.contains(&peer);
    headers::forwarded(request.headers_mut(), peer, believed, control.addresses().scheme());
    let in_use = control.begin_use(&door.usage);
    let asked = match upgrade {
        Some(upgrade) => tunnel::open(proxy, door, upstream, upgrade, request, in_use).await,
        None => ask(&proxy.pool, upstream, request, in_use).await,
    };
    match asked {
        Ok(mut response) => {
            if response.status() != axum::http::StatusCode::SWITCHING_PROTOCOLS {
                headers::clean_answer(response.headers_mut());
            }
            response
        }
        Err(failure) => {
            control.forget_door(door);
            waiting::unreachable(&proxy.state, door, visitor, &about, &failure).await
        }
    }
}

// A request may name the whole address; an app is asked for the path, as everyone asks it.
fn rewrite_uri(request: &mut Request) {
    let host = request
        .uri()
        .authority()
        .and_then(|host| header::HeaderValue::from_str(host.as_str()).ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    if let (Some(host), Ok(uri)) = (host, path.parse::<Uri>()) {
        request.headers_mut().insert(header::HOST, host);
        *request.uri_mut() = uri;
    }
}

async fn ask(pool: &Arc<Pool>, upstream: &Arc<str>, request: Request, in_use: InUse) -> Result<Response, Failure> {
    let mut request = request;
    if let Some(live) = pool.take(upstream) {
        let again = again(&request);
        match exchange(live, request).await {
            Ok((head, live)) => return Ok(through(head, live, pool, upstream, in_use)),
            // It was closed just when it was used. What did not leave, or may safely be asked twice, is asked anew.
            Err(Broken {
                unsent: Some(unsent), ..
            }) => request = *unsent,
            Err(Broken { unsent: None, failure }) => match again {
                Some(again) if matches!(failure, Failure::Broken(_)) => request = again,
                _ => return Err(failure),
            },
        }
    }
    let live = pool::connect(upstream)
        .await
        .map_err(|error| Failure::Broken(error.to_string()))?;
    match exchange(live, request).await {
        Ok((head, live)) => Ok(through(head, live, pool, upstream, in_use)),
        Err(broken) => Err(broken.failure),
    }
}

// The same request once more, where asking twice does no harm and there is no body that is gone by then.
fn again(request: &Request) -> Option<Request> {
    if !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(Body::empty());
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    Some(again)
}

pub(super) struct Broken {
    unsent: Option<Box<Request>>,
    pub(super) failure: Failure,
}

async fn exchange(mut live: Live, request: Request) -> Result<(hyper::Response<Incoming>, Live), Broken> {
    let sent = live.sender.try_send_request(request);
    match tokio::time::timeout(ANSWER, pool::working(&mut live, sent)).await {
        Ok(Ok(response)) => Ok((response, live)),
        Ok(Err(mut error)) => Err(Broken {
            unsent: error.take_message().map(Box::new),
            failure: broken(error.error()),
        }),
        Err(_) => Err(Broken {
            unsent: None,
            failure: Failure::Slow,
        }),
    }
}

pub(super) fn broken(error: &hyper::Error) -> Failure {
    use std::error::Error as _;
    let why = if error.is_parse() {
        "what it answers is not HTTP".to_owned()
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        "it hung up without an answer".to_owned()
    } else {
        error.source().map_or_else(|| error.to_string(), ToString::to_string)
    };
    Failure::Broken(why)
}

fn through(answer: hyper::Response<Incoming>, live: Live, pool: &Arc<Pool>, upstream: &Arc<str>, in_use: InUse) -> Response {
    let (head, body) = answer.into_parts();
    let body = Through {
        body,
        live: Some((live, Arc::clone(pool), Arc::clone(upstream))),
        _in_use: in_use,
    };
    Response::from_parts(head, Body::new(body))
}

// The body of an answer, which works the connection that it comes from and gives it back at its end.
struct Through {
    body: Incoming,
    live: Option<(Live, Arc<Pool>, Arc<str>)>,
    _in_use: InUse,
}

impl Through {
    fn give_back(&mut self) {
        if let Some((live, pool, upstream)) = self.live.take() {
            pool.give_back(&upstream, live);
        }
    }
}

impl HttpBody for Through {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Asked first, the body says that it wants more; worked then, the connection brings it.
        let mut polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending()
            && let Some((live, ..)) = &mut self.live
        {
            live.work(cx);
            polled = Pin::new(&mut self.body).poll_frame(cx);
        }
        if matches!(polled, Poll::Ready(None)) {
            self.give_back();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        // Whoever reads it may know the end without asking for it. Cut short, the connection holds the rest: it is closed.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
