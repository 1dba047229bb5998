//! What agents ask, under `/agent/v1`; the calls are described in [`crate::wire::agent`].
//!
//! An agent proves itself by signing each request with its node's key, and speaks for that node only.

mod pieces;
mod program;
mod signed;

use super::extract::Path;
use super::problem::ApiError;
use super::state::AppState;
use crate::model::id::NodeId;
use crate::wire::agent::{LogBatch, MAINTENANCE, NewKey, Register, Registered, Report, SIGNATURE, SecretValue};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use signed::Newcomer;
pub use signed::{Agent, Told};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

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
        .route("/agent/v1/keys", post(rotate_key))
        .route("/agent/v1/facts", put(save_facts))
        .route("/agent/v1/configuration", get(show_configuration))
        .route("/agent/v1/secrets/{*name}", get(show_secret))
        .route("/agent/v1/blobs/{hash}", get(show_blob))
        .route("/agent/v1/source/{app}/{commit}", get(show_source))
        .route("/agent/v1/program", get(program::show_program))
}

async fn register(State(state): State<AppState>, newcomer: Newcomer<Register>) -> Result<axum::Json<Registered>, ApiError> {
    let proof = newcomer.headers.proof();
    Ok(axum::Json(
        state.control.register_node(&newcomer.token, &newcomer.body, &proof).await?,
    ))
}

async fn rotate_key(State(state): State<AppState>, Told(node, body): Told<NewKey>) -> Result<StatusCode, ApiError> {
    state.control.rotate_node_key(&node, &body).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn save_facts(State(state): State<AppState>, Told(node, facts): Told<serde_json::Value>) -> Result<StatusCode, ApiError> {
    state.control.save_agent_facts(&node, facts).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn show_configuration(Agent(node): Agent, State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let known = known.map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"').to_owned());
    let wait = Duration::from_secs(wished_wait(&headers));
    drop(headers);
    let current = state.control.node_desired(&node).await?;
    if current.is_none() || current == known {
        // Whoever does not wait is spared the clock and the bell.
        if wait.is_zero() || !wait_for_another(&state, &node, known.as_ref(), wait).await? {
            return match current {
                Some(_) => Ok(with_maintenance(&state, &node, StatusCode::NOT_MODIFIED.into_response()).await?),
                None => Err(ApiError::new("not-found", "The node has no configuration yet")),
            };
        }
    }
    let wish = state.control.agent_wish(&node).await?;
    let wish = wish.ok_or_else(|| ApiError::new("not-found", "The node has no configuration yet"))?;
    let headers = [
        (header::ETAG, format!("\"{}\"", wish.hash)),
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (
            HeaderName::from_static(SIGNATURE),
            format!("issued={};sig={}", wish.issued_ms, wish.signature),
        ),
    ];
    let answer = (headers, Bytes::from_owner(Shared(wish.body))).into_response();
    with_maintenance(&state, &node, answer).await
}

// Whether the node should become something else than what its agent knows, before the time is over.
async fn wait_for_another(state: &AppState, node: &NodeId, known: Option<&String>, wait: Duration) -> Result<bool, ApiError> {
    let until = Instant::now() + wait;
    let bell = state.control.node_bell(node);
    loop {
        // Listens before it reads, so that nothing falls in between.
        let mut rung = pin!(bell.rung());
        rung.as_mut().enable();
        let current = state.control.node_desired(node).await?;
        if current.is_some() && current.as_ref() != known {
            return Ok(true);
        }
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return Ok(false),
            () = rung => {}
            () = sleep_until(until) => return Ok(false),
        }
    }
}

async fn with_maintenance(state: &AppState, node: &NodeId, mut answer: Response) -> Result<Response, ApiError> {
    if let Some(reason) = state.control.node_maintenance(node).await? {
        // Whatever a header cannot hold is left out of it.
        let plain: String = reason.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        if let Ok(value) = plain.parse() {
            answer.headers_mut().insert(HeaderName::from_static(MAINTENANCE), value);
        }
    }
    Ok(answer)
}

// A body that many answers share.
struct Shared(std::sync::Arc<str>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
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

async fn show_source(
    Agent(node): Agent,
    State(state): State<AppState>,
    Path((app, commit)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (file, length) = state.control.open_node_source(&node, &app, &commit).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    Ok((headers, pieces::pieces(file, length)).into_response())
}

async fn show_blob(Agent(node): Agent, State(state): State<AppState>, Path(hash): Path<String>) -> Result<Response, ApiError> {
    let content = state.control.node_blob(&node, &hash).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], content).into_response())
}

async fn show_secret(
    Agent(node): Agent,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<SecretValue>, ApiError> {
    Ok(axum::Json(state.control.node_secret(&node, &name).await?))
}

async fn save_report(State(state): State<AppState>, Told(node, report): Told<Report>) -> Result<StatusCode, ApiError> {
    state.control.save_report(&node, &report).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn append_logs(State(state): State<AppState>, Told(node, batch): Told<LogBatch>) -> Result<StatusCode, ApiError> {
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
