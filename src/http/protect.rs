//! Headers that keep a browser from doing with our answers what it should not.

use super::state::AppState;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

macro_rules! policy {
    ($forms:literal) => {
        concat!(
            "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action ",
            $forms,
            "; frame-ancestors 'none'"
        )
    };
}

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, policy!("'self'")),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // What is not said to be cacheable is someone's own view.
    (header::CACHE_CONTROL, "no-store"),
];

/// The policy of a page whose forms may lead elsewhere than to this host.
pub fn policy(forms: &str) -> String {
    format!(policy!("{}"), forms)
}

/// Adds the headers that the handler did not set itself.
pub async fn add_headers(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    secure(&state, response.headers_mut());
    response
}

/// Adds to the headers of an answer of ours those that are not set yet.
pub fn secure(state: &AppState, headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if state.is_https() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
}
