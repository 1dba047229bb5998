//! A request id on every answer and in every log line.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

/// The header that carries the request id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Finds one request in the log; in the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Gives the request an id, follows it with a span, and notes how it ended.
pub async fn follow(mut request: Request, next: Next) -> Response {
    let id = format!("req_{:016x}", rand::random::<u64>());
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = tracing::info_span!("request", id, method = %request.method(), path = shown_path(request.uri().path()));
    async move {
        let start = std::time::Instant::now();
        let mut response = next.run(request).await;
        let status = response.status();
        let ms = start.elapsed().as_millis();
        if status.is_server_error() {
            tracing::error!(status = status.as_u16(), %ms, "answered with a server error");
        } else {
            tracing::debug!(status = status.as_u16(), %ms, "answered");
        }
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

// What comes after these is itself the secret.
const SECRET: [&str; 2] = ["/sign-in/link/", "/nocloud/"];

fn shown_path(path: &str) -> &str {
    SECRET.into_iter().find(|start| path.starts_with(start)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_link_stays_out_of_the_log() {
        assert_eq!(shown_path("/sign-in/link/0123"), "/sign-in/link/");
        assert_eq!(shown_path("/nocloud/grn_0123/user-data"), "/nocloud/");
        assert_eq!(shown_path("/stacks"), "/stacks");
    }
}
