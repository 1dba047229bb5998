//! Runs: look, say something to one, read logs.

use super::page::{Paged, limit};
use super::stacks::idempotency_key;
use crate::control::{ControlError, Result as Answer};
use crate::http::auth::{Member, Viewer};
use crate::http::changes::{Waiter, Woken};
use crate::http::extract::{Json as JsonBody, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::run::Signal;
use crate::wire::Page;
use crate::wire::runs::{LogPage, RunView};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

// Below the half minute after which proxies lose patience.
const LONGEST_WAIT: u64 = 25;

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRuns {
    /// Only those about this thing, such as a stack's id.
    subject: Option<String>,
    /// An earlier page's `next`.
    cursor: Option<String>,
    /// 1 to 200.
    limit: Option<i64>,
}

/// Which part of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// The place to read from: an earlier answer's `next`.
    after: Option<i64>,
    /// How many seconds to wait where there is nothing more yet, 25 at most.
    wait: Option<u64>,
}

impl LogQuery {
    /// The place to read from.
    pub fn after(&self) -> i64 {
        self.after.unwrap_or_default()
    }
}

/// Lists runs, newest first.
#[utoipa::path(
    get, path = "/api/v1/runs", tag = "runs", params(ListRuns), security(("token" = ["viewer"])),
    responses((status = 200, description = "A page of runs", body = Page<RunView>))
)]
pub async fn list_runs(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    uri: Uri,
    Query(query): Query<ListRuns>,
) -> Result<Paged<RunView>, ApiError> {
    let limit = limit(query.limit)?;
    let (subject, cursor) = (query.subject.as_deref(), query.cursor.as_deref());
    let page = state.control.list_runs(&actor, subject, cursor, limit).await?;
    Ok(Paged::new(page, &uri))
}

/// Shows a run with its steps.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", tag = "runs", params(("id" = String, Path, description = "The run")),
    security(("token" = ["viewer"])),
    responses((status = 200, description = "The run", body = RunView))
)]
pub async fn show_run(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<RunView>, ApiError> {
    Ok(Json(state.control.show_run(&actor, &id).await?))
}

/// Says something to a run: cancel, retry, skip, complete, abandon.
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/signals", tag = "runs", request_body = Signal, security(("token" = ["member"])),
    params(
        ("id" = String, Path, description = "The run"),
        ("Idempotency-Key" = Option<String>, Header, description = "A second call with the same key is the first one")
    ),
    responses((status = 200, description = "The run as it is now", body = RunView))
)]
pub async fn signal_run(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(signal): JsonBody<Signal>,
) -> Result<Json<RunView>, ApiError> {
    let key = idempotency_key(&headers);
    Ok(Json(state.control.signal_run(&actor, &id, signal, key.as_deref()).await?))
}

/// Reads the log of a step, and waits for more where asked to.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/steps/{step}/log", tag = "runs", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "The run"),
        ("step" = String, Path, description = "The step's key"),
        LogQuery
    ),
    responses((status = 200, description = "What was logged after the given place", body = LogPage))
)]
pub async fn read_step_log(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path((id, step)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPage>, ApiError> {
    let (log, run) = (format!("log:{id}/{step}"), format!("run:{id}"));
    let read = || state.control.step_log(&actor, &id, &step, query.after());
    follow_log(&state, &query, |topic| topic == log || topic == run, read).await
}

/// Reads until there is something, the log has ended, or the time is up.
pub async fn follow_log<F: Future<Output = Answer<LogPage>>>(
    state: &AppState,
    query: &LogQuery,
    wanted: impl Fn(&str) -> bool,
    read: impl Fn() -> F,
) -> Result<Json<LogPage>, ApiError> {
    let wait = query.wait.unwrap_or_default();
    if wait > LONGEST_WAIT {
        return Err(ControlError::field("wait", format!("it must be {LONGEST_WAIT} seconds at most")).into());
    }
    if query.after() < 0 {
        return Err(ControlError::field("after", "give the `next` of an earlier answer, or 0").into());
    }
    // Listens before it reads, so that nothing falls in between.
    let mut waiter = Waiter::new(state, Duration::from_secs(wait));
    loop {
        let page = read().await?;
        if !page.chunks.is_empty() || !page.open || wait == 0 || waiter.next(&wanted).await == Woken::Over {
            return Ok(Json(page));
        }
    }
}
