//! Who may pass to an app, and the proxy's own addresses at an app's host: the way in from the portal, guest links, what the
//! waiting page needs.

use super::waiting::{self, About};
use super::{OURS, Proxy};
use crate::control::doors::{Door, ENTER, GUEST};
use crate::http::auth::{bearer, cookie_value};
use crate::http::csrf::is_cross_site;
use crate::http::portal::assets;
use crate::http::problem::ApiError;
use crate::http::protect::secure;
use crate::http::sse;
use crate::http::state::AppState;
use crate::model::address::encode;
use crate::model::sharing::Visitor;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::sync::{Arc, LazyLock};

/// What the cookie of a pass may be called; the second over TLS only.
pub const PASS_COOKIES: [&str; 2] = ["greenroom-pass", "__Host-greenroom-pass"];

/// The header in which programs may send a guest link's secret.
pub const GUEST_HEADER: &str = "x-greenroom-pass";

// Where the waiting page's button leads.
const WAKE: &str = "/.greenroom/wake";

static STRANGER: LazyLock<Arc<Visitor>> = LazyLock::new(|| Arc::new(Visitor::Stranger));

/// Who asks, where they may pass; else what they are told.
pub async fn admit(state: &AppState, door: &Door, head: &Parts) -> Result<Arc<Visitor>, Box<Response>> {
    let visitor = match recognise(state, door, &head.headers).await {
        Ok(visitor) => visitor,
        // Open to anyone is open to whoever holds a link that has ended, too.
        Err(_) if door.admits(&Visitor::Stranger) => Arc::clone(&STRANGER),
        Err(error) => return Err(Box::new(waiting::refused(state, &About::of(&head.headers), error.problem()))),
    };
    if door.admits(&visitor) {
        return Ok(visitor);
    }
    let refusal = match visitor.as_ref() {
        Visitor::Stranger => {
            let page = matches!(head.method, Method::GET | Method::HEAD) && About::of(&head.headers).html;
            if page {
                return Err(Box::new(to_portal(state, door, &head.uri)));
            }
            ApiError::new("not-signed-in", "This address is not open to everyone")
        }
        Visitor::Guest { .. } => ApiError::new(
            "not-allowed",
            "Your link is for another stack, or this app is not meant for guests",
        ),
        Visitor::Account { .. } => ApiError::new(
            "not-allowed",
            format!("{} is not shared with you: ask {}", door.stack_name, door.owner_name),
        ),
    };
    Err(Box::new(waiting::refused(
        state,
        &About::of(&head.headers),
        refusal.problem(),
    )))
}

async fn recognise(state: &AppState, door: &Door, headers: &HeaderMap) -> Result<Arc<Visitor>, ApiError> {
    let cookie = cookie_value(headers, pass_cookie(state));
    let said = || headers.get(GUEST_HEADER).and_then(|value| value.to_str().ok());
    if let Some(pass) = cookie.or_else(said) {
        return Ok(state.control.visitor_with_pass(door, pass).await?);
    }
    match bearer(headers).filter(|token| token.starts_with("grt_")) {
        Some(token) => Ok(state.control.visitor_with_token(token).await?),
        None => Ok(Arc::clone(&STRANGER)),
    }
}

fn pass_cookie(state: &AppState) -> &'static str {
    PASS_COOKIES[usize::from(state.control.addresses().is_https())]
}

// The portal knows who they are, or asks, and sends them back.
fn to_portal(state: &AppState, door: &Door, uri: &Uri) -> Response {
    let origin = state.control.addresses().origin(&door.label);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let to = encode(&format!("{origin}{path}"));
    redirect(state, &format!("{}/enter?to={to}", state.public_url), None)
}

fn redirect(state: &AppState, to: &str, cookie: Option<String>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    match HeaderValue::from_str(to) {
        Ok(to) => headers.insert(header::LOCATION, to),
        Err(_) => headers.insert(header::LOCATION, HeaderValue::from_static("/")),
    };
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    // The address that leads here holds a secret.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    secure(state, headers);
    response
}

/// Answers at the proxy's own addresses.
pub(super) async fn ours(proxy: &Proxy, door: &Arc<Door>, head: &Parts) -> Response {
    let (state, about) = (&proxy.state, About::of(&head.headers));
    let path = head.uri.path();
    let rest = path.strip_prefix(OURS).unwrap_or_default();
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let answered = if let Some(asset) = rest.strip_prefix("assets/").filter(|_| reads) {
        let (version, name) = asset.split_once('/').unwrap_or_default();
        assets::answer(name, version, &head.headers)
    } else if path == ENTER && reads {
        enter(state, door, &head.uri).await
    } else if let Some(secret) = path.strip_prefix(GUEST).filter(|_| reads) {
        enter_as_guest(state, door, secret, &head.uri).await
    } else if path == WAKE && head.method == Method::POST {
        match admit(state, door, head).await {
            Ok(visitor) => wake(state, door, &visitor, &head.headers).await,
            Err(refusal) => return *refusal,
        }
    } else if rest == "changes" && reads {
        match admit(state, door, head).await {
            Ok(_) => sse::stream(state, vec![format!("stack:{}", door.stack)]).map(IntoResponse::into_response),
            Err(refusal) => return *refusal,
        }
    } else {
        Err(ApiError::new("not-found", "There is nothing at this address"))
    };
    match answered {
        Ok(mut response) => {
            secure(state, response.headers_mut());
            response
        }
        Err(error) => waiting::refused(state, &about, error.problem()),
    }
}

async fn enter(state: &AppState, door: &Door, uri: &Uri) -> Result<Response, ApiError> {
    let (code, to) = (query_value(uri, "code"), query_value(uri, "to"));
    let entered = state.control.enter_with_code(door, &code).await?;
    let cookie = cookie(state, &entered.secret, entered.seconds);
    Ok(redirect(state, inside(&to), Some(cookie)))
}

async fn enter_as_guest(state: &AppState, door: &Door, secret: &str, uri: &Uri) -> Result<Response, ApiError> {
    let seconds = state.control.enter_as_guest(door, secret).await?;
    let cookie = cookie(state, secret, seconds);
    Ok(redirect(state, inside(&query_value(uri, "to")), Some(cookie)))
}

// A button on the waiting page; no page of another site presses it.
async fn wake(state: &AppState, door: &Door, visitor: &Visitor, headers: &HeaderMap) -> Result<Response, ApiError> {
    if is_cross_site(headers, None, &state.control.addresses().origin(&door.label)) {
        return Err(ApiError::new("cross-site", "The request came from another site"));
    }
    state.control.wake_from_outside(door, visitor).await?;
    Ok(redirect(state, "/", None))
}

fn cookie(state: &AppState, value: &str, seconds: i64) -> String {
    let secure = if state.control.addresses().is_https() {
        "; Secure"
    } else {
        ""
    };
    let name = pass_cookie(state);
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

// Only a path of this host, whatever a link says.
fn inside(to: &str) -> &str {
    let local = to.starts_with('/') && !to.starts_with("//") && !to.contains('\\') && !to.chars().any(char::is_control);
    if local && !to.starts_with(OURS) { to } else { "/" }
}

fn query_value(uri: &Uri, name: &str) -> String {
    let found = uri.query().unwrap_or_default().split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| decode(value))
    });
    found.unwrap_or_default()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_read_again() {
        let uri: Uri = format!("/x?code=1&to={}", encode("/a b?c=d&e=%41ü")).parse().unwrap();
        assert_eq!(query_value(&uri, "to"), "/a b?c=d&e=%41ü");
        assert_eq!(query_value(&uri, "code"), "1");
        assert_eq!(query_value(&uri, "none"), "");
        assert_eq!(decode("%zz%4"), "%zz%4");
    }

    #[test]
    fn the_way_on_stays_at_this_host() {
        assert_eq!(inside("/books?page=2"), "/books?page=2");
        for bad in [
            "",
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "/a\nb",
            "/.greenroom/enter?code=x",
        ] {
            assert_eq!(inside(bad), "/", "{bad:?}");
        }
    }
}
