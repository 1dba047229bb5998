//! What agents ask, under `/agent/v1`; the calls are described in [`crate::wire::agent`].
//!
//! An agent proves itself with its node's id and key and speaks for that node only.

use super::auth::bearer;
use super::changes::{Waiter, Woken};
use super::extract::{Json, Path};
use super::problem::ApiError;
use super::state::AppState;
use crate::model::actor::Actor;
use crate::model::id::NodeId;
use crate::wire::agent::{LogBatch, Register, Registered, Report, SecretValue};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::time::Duration;

// Logs and reports come in batches.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

const LONGEST_WAIT: u64 = 55;

/// The agents' routes.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/agent/v1/reports", post(save_report))
        .route("/agent/v1/logs", post(append_logs))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .route("/agent/v1/register", post(register))
        .route("/agent/v1/configuration", get(show_configuration))
        .route("/agent/v1/secrets/{*name}", get(show_secret))
}

/// The agent of this node.
#[derive(Debug, Clone)]
pub struct Agent(pub NodeId);

impl FromRequestParts<AppState> for Agent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let bearer = bearer(&parts.headers).ok_or_else(not_signed_in)?;
        match state.control.authenticate_node(bearer).await? {
            Actor::Agent { node } => Ok(Self(node)),
            _ => Err(not_signed_in()),
        }
    }
}

fn not_signed_in() -> ApiError {
    ApiError::new("not-signed-in", "The request names no node")
}

// An extractor, so that a request without a token is refused before its body is read.
struct Bootstrap(String);

impl FromRequestParts<AppState> for Bootstrap {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &AppState) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or_else(not_signed_in)?;
        Ok(Self(token.to_owned()))
    }
}

async fn register(
    Bootstrap(token): Bootstrap,
    State(state): State<AppState>,
    Json(request): Json<Register>,
) -> Result<axum::Json<Registered>, ApiError> {
    Ok(axum::Json(state.control.register_node(&token, &request).await?))
}

async fn show_configuration(Agent(node): Agent, State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let known = known.map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"'));
    let wait = wished_wait(&headers);
    let topic = format!("node:{node}");
    // Listens before it reads, so that nothing falls in between.
    let mut waiter = Waiter::new(&state, Duration::from_secs(wait));
    loop {
        let current = state.control.node_configuration(&node).await?;
        match &current {
            Some((hash, body)) if known != Some(hash) => {
                let etag = format!("\"{hash}\"");
                let headers = [(header::ETAG, etag.as_str()), (header::CONTENT_TYPE, "application/json")];
                return Ok((headers, body.clone()).into_response());
            }
            _ => {}
        }
        if wait == 0 || waiter.next(|changed| changed == topic).await == Woken::Over {
            return match current {
                Some(_) => Ok(StatusCode::NOT_MODIFIED.into_response()),
                None => Err(ApiError::new("not-found", "The node has no configuration yet")),
            };
        }
    }
}

// `Prefer: wait=30`: how long the agent would wait for a change.
fn wished_wait(headers: &HeaderMap) -> u64 {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|wish| wish.trim().strip_prefix("wait=")?.parse::<u64>().ok())
        .map_or(0, |wait| wait.min(LONGEST_WAIT))
}

async fn show_secret(
    Agent(node): Agent,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<SecretValue>, ApiError> {
    Ok(axum::Json(state.control.node_secret(&node, &name).await?))
}

async fn save_report(
    Agent(node): Agent,
    State(state): State<AppState>,
    Json(report): Json<Report>,
) -> Result<StatusCode, ApiError> {
    state.control.save_report(&node, &report).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn append_logs(
    Agent(node): Agent,
    State(state): State<AppState>,
    Json(batch): Json<LogBatch>,
) -> Result<StatusCode, ApiError> {
    state.control.append_node_logs(&node, &batch).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_read_out_of_prefer_and_capped() {
        let wait = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", header::HeaderValue::from_static(text));
            wished_wait(&headers)
        };
        assert_eq!(wait("wait=30"), 30);
        assert_eq!(wait("respond-async, wait=3600"), LONGEST_WAIT);
        assert_eq!(wait("wait=soon"), 0);
        assert_eq!(wished_wait(&HeaderMap::new()), 0);
    }
}
