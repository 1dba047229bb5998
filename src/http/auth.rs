//! Who is asking, and may they: extractors that a handler names in its arguments.
//!
//! A handler that takes a [`Member`] cannot be reached by less. A request proves itself with an API token
//! (`Authorization: Bearer grt_…`) or with the session's cookie; where it has both, the token counts.

use super::problem::ApiError;
use super::state::AppState;
use crate::control::users::SESSION_LIFE_MS;
use crate::model::actor::{Actor, Role};
use axum::extract::FromRequestParts;
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::request::Parts;

/// Anyone who is signed in.
#[derive(Debug, Clone)]
pub struct Viewer(pub Actor);

/// Someone who may launch stacks.
#[derive(Debug, Clone)]
pub struct Member(pub Actor);

/// Someone who may manage everyone's stacks, and the apps.
#[derive(Debug, Clone)]
pub struct Operator(pub Actor);

/// Someone who may manage accounts.
#[derive(Debug, Clone)]
pub struct Admin(pub Actor);

/// Whoever is signed in, or nobody.
#[derive(Debug, Clone)]
pub struct MaybeUser(pub Option<Actor>);

macro_rules! extractors {
    ($($name:ident)*) => {$(
        impl FromRequestParts<AppState> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
                Ok(Self(require(Role::$name, parts, state).await?))
            }
        }
    )*};
}

extractors! { Viewer Member Operator Admin }

impl FromRequestParts<AppState> for MaybeUser {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match authenticate(&parts.headers, state).await {
            Ok(actor) => Ok(Self(Some(actor))),
            Err(error) if error.status() == axum::http::StatusCode::UNAUTHORIZED => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }
}

/// Who a request comes from, where that can be told.
pub async fn recognise(headers: &HeaderMap, state: &AppState) -> Option<Actor> {
    authenticate(headers, state).await.ok()
}

async fn require(role: Role, parts: &mut Parts, state: &AppState) -> Result<Actor, ApiError> {
    let actor = authenticate(&parts.headers, state).await?;
    if actor.role().is_some_and(|has| has >= role) {
        Ok(actor)
    } else {
        Err(ApiError::new("not-allowed", format!("This needs the role {role}")))
    }
}

async fn authenticate(headers: &HeaderMap, state: &AppState) -> Result<Actor, ApiError> {
    if let Some(token) = bearer(headers) {
        return Ok(state.control.authenticate_token(token).await?);
    }
    match session_secret(state, headers) {
        Some(secret) => Ok(state.control.authenticate_session(&secret).await?),
        None => Err(ApiError::new("not-signed-in", "You are not signed in")),
    }
}

/// The token of an `Authorization: Bearer …` header. Discovery in Prometheus 2.42 leaves out the scheme unless its settings
/// spell it out; a bare API token cannot be taken for anything else.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    match value.split_once(' ') {
        Some((scheme, token)) => scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()),
        None => value.starts_with("grt_").then_some(value),
    }
}

/// The session's secret out of the cookie.
pub fn session_secret(state: &AppState, headers: &HeaderMap) -> Option<String> {
    cookie_value(headers, cookie_name(state)).map(str::to_owned)
}

/// The value of a request's cookie.
pub fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The header that gives a browser its session.
pub fn set_session_cookie(state: &AppState, secret: &str) -> [(HeaderName, String); 1] {
    [(header::SET_COOKIE, cookie(state, secret, SESSION_LIFE_MS / 1000))]
}

/// The header that takes a browser's session away.
pub fn clear_session_cookie(state: &AppState) -> [(HeaderName, String); 1] {
    [(header::SET_COOKIE, cookie(state, "", 0))]
}

fn cookie(state: &AppState, value: &str, seconds: i64) -> String {
    let secure = if state.is_https() { "; Secure" } else { "" };
    format!(
        "{}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}",
        cookie_name(state)
    )
}

/// What the session's cookie may be called. A browser takes a `__Host-` cookie only over TLS, and lets no other host set it.
pub const SESSION_COOKIES: [&str; 2] = ["greenroom", "__Host-greenroom"];

fn cookie_name(state: &AppState) -> &'static str {
    SESSION_COOKIES[usize::from(state.is_https())]
}
