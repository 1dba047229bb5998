//! Bundles of recipes, and which environment is built from which.

use crate::http::api::apps::if_match;
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::{Json as JsonBody, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::bundles::{BundleDiffView, BundleFilesView, BundleView, PointerView, PromoteRequest, PushRequest, PushedView};
use crate::wire::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which bundle to compare with.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The bundle that is compared with, by hash.
    to: String,
}

/// Lists bundles, newest first.
#[utoipa::path(
    get, path = "/api/v1/bundles", tag = "bundles", security(("token" = ["viewer"])),
    responses((status = 200, description = "All bundles", body = Vec<BundleView>))
)]
pub async fn list_bundles(Viewer(actor): Viewer, State(state): State<AppState>) -> Result<Json<Vec<BundleView>>, ApiError> {
    Ok(Json(state.control.list_bundles(&actor).await?))
}

/// Keeps recipes and templates as a bundle, which never changes and is named by its content.
#[utoipa::path(
    post, path = "/api/v1/bundles", tag = "bundles", request_body = PushRequest, security(("token" = ["operator"])),
    responses(
        (status = 201, description = "The bundle is new", body = PushedView),
        (status = 200, description = "The bundle was there already", body = PushedView),
        (status = 422, description = "The recipes have errors", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn push_bundle(
    Operator(actor): Operator,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<PushRequest>,
) -> Result<Response, ApiError> {
    let pushed = state.control.push_bundle(&actor, &request).await?;
    let status = if pushed.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(pushed)).into_response())
}

/// Shows a bundle with its files.
#[utoipa::path(
    get, path = "/api/v1/bundles/{hash}", tag = "bundles", security(("token" = ["viewer"])),
    params(("hash" = String, Path, description = "The bundle: its hash or enough of its beginning")),
    responses((status = 200, description = "The bundle", body = BundleFilesView))
)]
pub async fn show_bundle(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(hash): Path<String>,
) -> Result<Json<BundleFilesView>, ApiError> {
    Ok(Json(state.control.show_bundle(&actor, &hash).await?))
}

/// Compares two bundles file by file.
#[utoipa::path(
    get, path = "/api/v1/bundles/{hash}/diff", tag = "bundles", security(("token" = ["viewer"])),
    params(("hash" = String, Path, description = "The bundle"), DiffQuery),
    responses((status = 200, description = "What differs", body = BundleDiffView))
)]
pub async fn diff_bundles(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(hash): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<BundleDiffView>, ApiError> {
    Ok(Json(state.control.diff_bundles(&actor, &hash, &query.to).await?))
}

/// Shows which bundle an environment is built from.
#[utoipa::path(
    get, path = "/api/v1/environments/{name}/bundle", tag = "bundles", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The environment")),
    responses((status = 200, description = "The bundle, with the environment's version as `ETag`", body = PointerView))
)]
pub async fn show_pointer(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    Ok(with_etag(state.control.show_pointer(&actor, &name).await?))
}

/// Promotes a bundle: points an environment at it. `If-Match` names the environment's version that was looked at.
#[utoipa::path(
    put, path = "/api/v1/environments/{name}/bundle", tag = "bundles", request_body = PromoteRequest,
    security(("token" = ["operator"])),
    params(
        ("name" = String, Path, description = "The environment"),
        ("If-Match" = String, Header, description = "The `ETag` of the environment's version that was looked at")
    ),
    responses(
        (status = 200, description = "The bundle, with the environment's new version as `ETag`", body = PointerView),
        (status = 412, description = "Someone else changed it first", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn promote_bundle(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<PromoteRequest>,
) -> Result<Response, ApiError> {
    let edited = if_match(&headers)?;
    Ok(with_etag(
        state.control.promote_bundle(&actor, &name, &request, edited).await?,
    ))
}

fn with_etag(pointer: PointerView) -> Response {
    let etag = [(header::ETAG, format!("\"{}\"", pointer.version))];
    (etag, Json(pointer)).into_response()
}
