//! Stacks: plan, launch, look, change, destroy.

use super::page::{Paged, limit};
use super::runs::{LogQuery, follow_log};
use crate::control::stacks::StackFilter;
use crate::http::auth::{Member, Viewer};
use crate::http::extract::{Json as JsonBody, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::Page;
use crate::wire::runs::LogPage;
use crate::wire::stacks::{Accepted, ExtendRequest, LaunchRequest, PlanView, StackView, UpdateRequest};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Makes a call that is sent twice the same call.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Which stacks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListStacks {
    /// Only the asker's.
    #[serde(default)]
    mine: bool,
    /// Also destroyed ones.
    #[serde(default)]
    ended: bool,
    /// Text in the name, owner or an app.
    text: Option<String>,
    /// An earlier page's `next`.
    cursor: Option<String>,
    /// 1 to 200.
    limit: Option<i64>,
}

/// Shows what a launch would do. Changes nothing.
#[utoipa::path(
    post, path = "/api/v1/stacks/plan", tag = "stacks", request_body = LaunchRequest, security(("token" = ["member"])),
    responses((status = 200, description = "The plan", body = PlanView))
)]
pub async fn plan_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<LaunchRequest>,
) -> Result<Json<PlanView>, ApiError> {
    Ok(Json(state.control.plan_stack(&actor, &request).await?))
}

/// Launches a stack. A second call with the same `Idempotency-Key` is the first one.
#[utoipa::path(
    post, path = "/api/v1/stacks", tag = "stacks", request_body = LaunchRequest, security(("token" = ["member"])),
    params(("Idempotency-Key" = Option<String>, Header, description = "As `idempotency_key` in the body")),
    responses((status = 202, description = "It is stored and its run has begun", body = Accepted))
)]
pub async fn launch_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    headers: HeaderMap,
    JsonBody(mut request): JsonBody<LaunchRequest>,
) -> Result<Response, ApiError> {
    if request.idempotency_key.is_none() {
        request.idempotency_key = idempotency_key(&headers);
    }
    Ok(accepted(state.control.launch_stack(&actor, &request).await?))
}

/// Lists stacks, newest first.
#[utoipa::path(
    get, path = "/api/v1/stacks", tag = "stacks", params(ListStacks), security(("token" = ["viewer"])),
    responses((status = 200, description = "A page of stacks", body = Page<StackView>))
)]
pub async fn list_stacks(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    uri: Uri,
    Query(query): Query<ListStacks>,
) -> Result<Paged<StackView>, ApiError> {
    let filter = StackFilter {
        mine: query.mine,
        ended: query.ended,
        text: query.text,
        cursor: query.cursor,
        limit: limit(query.limit)?,
    };
    Ok(Paged::new(state.control.list_stacks(&actor, &filter).await?, &uri))
}

/// Shows a stack, by id or by the name it has or last had.
#[utoipa::path(
    get, path = "/api/v1/stacks/{id}", tag = "stacks", params(("id" = String, Path, description = "Id or name")),
    security(("token" = ["viewer"])),
    responses((status = 200, description = "The stack", body = StackView))
)]
pub async fn show_stack(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<StackView>, ApiError> {
    Ok(Json(state.control.show_stack(&actor, &id).await?))
}

/// Gives a stack more time.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/extend", tag = "stacks", request_body = ExtendRequest,
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 200, description = "The stack", body = StackView))
)]
pub async fn extend_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<ExtendRequest>,
) -> Result<Json<StackView>, ApiError> {
    Ok(Json(state.control.extend_stack(&actor, &id, &request).await?))
}

/// Brings some apps of a stack to other revisions.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/update", tag = "stacks", request_body = UpdateRequest,
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 202, description = "Its run has begun", body = Accepted))
)]
pub async fn update_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<UpdateRequest>,
) -> Result<Response, ApiError> {
    Ok(accepted(state.control.update_stack(&actor, &id, &request).await?))
}

/// Launches a failed stack again, or updates a tainted one again.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/retry", tag = "stacks",
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 202, description = "Its run has begun", body = Accepted))
)]
pub async fn retry_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(accepted(state.control.retry_stack(&actor, &id).await?))
}

/// Puts a stack to sleep: its server is off and keeps its disk.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/stop", tag = "stacks",
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 202, description = "Its run has begun", body = Accepted))
)]
pub async fn stop_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(accepted(state.control.stop_stack(&actor, &id).await?))
}

/// Wakes a stack that sleeps.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/start", tag = "stacks",
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 202, description = "Its run has begun", body = Accepted))
)]
pub async fn start_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(accepted(state.control.start_stack(&actor, &id).await?))
}

/// Makes a new server for a stack; the old one serves until the new one has passed every check. What lived on its disk is lost.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/rebuild", tag = "stacks",
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 202, description = "Its run has begun", body = Accepted))
)]
pub async fn rebuild_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(accepted(state.control.rebuild_stack(&actor, &id).await?))
}

/// Destroys a stack, whatever state it is in. Asking twice is asking once.
#[utoipa::path(
    delete, path = "/api/v1/stacks/{id}", tag = "stacks",
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 202, description = "Its run has begun", body = Accepted))
)]
pub async fn destroy_stack(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(accepted(state.control.destroy_stack(&actor, &id).await?))
}

/// Reads what a service of a stack says, and waits for more where asked to.
#[utoipa::path(
    get, path = "/api/v1/stacks/{id}/services/{service}/log", tag = "stacks", security(("token" = ["viewer"])),
    params(
        ("id" = String, Path, description = "Id or name of the stack"),
        ("service" = String, Path, description = "The service's name on its node"),
        LogQuery
    ),
    responses((status = 200, description = "What was said after the given place", body = LogPage))
)]
pub async fn read_service_log(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path((id, service)): Path<(String, String)>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPage>, ApiError> {
    let topic = format!("/{service}");
    let read = || state.control.service_log(&actor, &id, &service, query.after());
    follow_log(&state, &query, |changed| changed.ends_with(&topic), read).await
}

/// The key in the request's headers.
pub fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    headers.get(IDEMPOTENCY_KEY)?.to_str().ok().map(str::to_owned)
}

fn accepted(accepted: Accepted) -> Response {
    let location = [(header::LOCATION, format!("/api/v1/stacks/{}", accepted.stack.id))];
    (StatusCode::ACCEPTED, location, Json(accepted)).into_response()
}
