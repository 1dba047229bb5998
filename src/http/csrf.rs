//! No page of another site acts in someone's name.
//!
//! Browsers say where a change comes from (`Sec-Fetch-Site`, `Origin`); a change from elsewhere is refused. Programs say
//! neither. A request that proves itself with a bearer token and carries no session is not a browser's, so it is let through.

use super::auth::{bearer, session_secret};
use super::problem::ApiError;
use super::state::AppState;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses unsafe methods from other sites.
pub async fn refuse_cross_site(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let exempt = request.method().is_safe() || (bearer(headers).is_some() && session_secret(&state, headers).is_none());
    if !exempt && is_cross_site(headers, request.uri().host(), &state.public_url) {
        return ApiError::new("cross-site", "The request came from another site").into_response();
    }
    next.run(request).await
}

/// Whether a request says that a page of another site than this sent it.
pub(super) fn is_cross_site(headers: &HeaderMap, uri_host: Option<&str>, public_url: &str) -> bool {
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let said = text(header::HeaderName::from_static("sec-fetch-site"));
    if said.is_some_and(|site| !matches!(site, "same-origin" | "same-site" | "none")) {
        return true;
    }
    let Some(origin) = text(header::ORIGIN) else {
        // A browser of the last years always sends one of the two with a change; `same-site` alone is another app's page.
        return said == Some("same-site");
    };
    if origin.eq_ignore_ascii_case(public_url) {
        return false;
    }
    let host = text(header::HOST).or(uri_host);
    let origin_host = origin.split_once("://").map(|(_, host)| host);
    match (origin_host, host) {
        (Some(origin), Some(host)) => !origin.eq_ignore_ascii_case(host),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cross(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, header::HeaderValue::from_static(value));
        }
        is_cross_site(&headers, None, "https://greenroom.example")
    }

    #[test]
    fn the_portal_itself_and_programs_are_let_through() {
        assert!(!cross(&[("host", "127.0.0.1:7400"), ("origin", "http://127.0.0.1:7400")]));
        assert!(!cross(&[("host", "inner:80"), ("origin", "https://greenroom.example")]));
        assert!(!cross(&[("host", "127.0.0.1:7400"), ("sec-fetch-site", "same-origin")]));
        assert!(!cross(&[("host", "127.0.0.1:7400"), ("sec-fetch-site", "none")]));
        assert!(!cross(&[("host", "127.0.0.1:7400")]));
    }

    #[test]
    fn other_sites_other_ports_and_hidden_origins_are_refused() {
        assert!(cross(&[("host", "127.0.0.1:7400"), ("origin", "http://127.0.0.1:20001")]));
        assert!(cross(&[("host", "127.0.0.1:7400"), ("origin", "https://evil.example")]));
        assert!(cross(&[("host", "127.0.0.1:7400"), ("origin", "null")]));
        assert!(cross(&[("host", "127.0.0.1:7400"), ("sec-fetch-site", "cross-site")]));
        assert!(cross(&[("host", "127.0.0.1:7400"), ("sec-fetch-site", "same-site")]));
        assert!(cross(&[
            ("host", "127.0.0.1:7400"),
            ("origin", "http://127.0.0.1:7400"),
            ("sec-fetch-site", "cross-site")
        ]));
    }
}
