//! Presets and their pools.

use crate::http::auth::{Operator, Viewer};
use crate::http::extract::{Json as JsonBody, Path};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::presets::{PresetBody, PresetView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Lists presets by name, each with how its pool is doing.
#[utoipa::path(
    get, path = "/api/v1/presets", tag = "presets", security(("token" = ["viewer"])),
    responses((status = 200, description = "All presets", body = Vec<PresetView>))
)]
pub async fn list_presets(Viewer(actor): Viewer, State(state): State<AppState>) -> Result<Json<Vec<PresetView>>, ApiError> {
    Ok(Json(state.control.list_presets(&actor).await?))
}

/// Shows a preset.
#[utoipa::path(
    get, path = "/api/v1/presets/{name}", tag = "presets", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The preset", body = PresetView))
)]
pub async fn show_preset(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<PresetView>, ApiError> {
    Ok(Json(state.control.show_preset(&actor, &name).await?))
}

/// Keeps a launch under a name, in the place of the one before.
#[utoipa::path(
    put, path = "/api/v1/presets/{name}", tag = "presets", request_body = PresetBody, security(("token" = ["operator"])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The preset", body = PresetView))
)]
pub async fn save_preset(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    JsonBody(body): JsonBody<PresetBody>,
) -> Result<Json<PresetView>, ApiError> {
    Ok(Json(state.control.save_preset(&actor, &name, &body).await?))
}

/// Forgets a preset; the members of its pool go.
#[utoipa::path(
    delete, path = "/api/v1/presets/{name}", tag = "presets", security(("token" = ["operator"])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is forgotten"))
)]
pub async fn remove_preset(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control.remove_preset(&actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pauses a preset's pool: nothing is made for it, and what is there stays.
#[utoipa::path(
    post, path = "/api/v1/presets/{name}/pause", tag = "presets", security(("token" = ["operator"])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The preset", body = PresetView))
)]
pub async fn pause_pool(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<PresetView>, ApiError> {
    Ok(Json(state.control.pause_pool(&actor, &name, true).await?))
}

/// Lets a preset's pool go on, as if it had never failed.
#[utoipa::path(
    post, path = "/api/v1/presets/{name}/resume", tag = "presets", security(("token" = ["operator"])),
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "The preset", body = PresetView))
)]
pub async fn resume_pool(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<PresetView>, ApiError> {
    Ok(Json(state.control.pause_pool(&actor, &name, false).await?))
}
