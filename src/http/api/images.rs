//! Images that servers start from, and what providers hold.

use crate::http::auth::{Operator, Viewer};
use crate::http::extract::{Json as JsonBody, Path};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::images::{Baking, HoldingsView, ImageView, Reaped};
use crate::wire::stacks::LaunchRequest;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Lists images, newest first.
#[utoipa::path(
    get, path = "/api/v1/images", tag = "images", security(("token" = ["viewer"])),
    responses((status = 200, description = "All images", body = Vec<ImageView>))
)]
pub async fn list_images(Viewer(actor): Viewer, State(state): State<AppState>) -> Result<Json<Vec<ImageView>>, ApiError> {
    Ok(Json(state.control.list_images(&actor).await?))
}

/// Makes an image of what a launch would install, fetch and build, so that launches of the same apps need not.
#[utoipa::path(
    post, path = "/api/v1/images", tag = "images", request_body = LaunchRequest, security(("token" = ["operator"])),
    responses(
        (status = 202, description = "Its run has begun", body = Baking),
        (status = 200, description = "There is such an image already", body = Baking)
    )
)]
pub async fn bake_image(
    Operator(actor): Operator,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<LaunchRequest>,
) -> Result<Response, ApiError> {
    let baking = state.control.bake_image(&actor, &request).await?;
    let status = if baking.run.is_some() {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(baking)).into_response())
}

/// Removes an image. Servers that were started from it live on.
#[utoipa::path(
    delete, path = "/api/v1/images/{provider}/{key}", tag = "images", security(("token" = ["operator"])),
    params(("provider" = String, Path, description = "Whose it is"), ("key" = String, Path, description = "Its key")),
    responses((status = 204, description = "It is gone, or goes as soon as the provider can be asked"))
)]
pub async fn remove_image(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path((provider, key)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    state.control.remove_image(&actor, &provider, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows what providers hold under our tag, what they should hold, and the difference.
#[utoipa::path(
    get, path = "/api/v1/holdings", tag = "images", security(("token" = ["operator"])),
    responses((status = 200, description = "What is there", body = HoldingsView))
)]
pub async fn show_holdings(Operator(actor): Operator, State(state): State<AppState>) -> Result<Json<HoldingsView>, ApiError> {
    Ok(Json(state.control.show_holdings(&actor).await?))
}

/// Removes what nobody knows of, now rather than within the minute.
#[utoipa::path(
    post, path = "/api/v1/holdings/reap", tag = "images", security(("token" = ["operator"])),
    responses((status = 200, description = "What was removed and what is there", body = Reaped))
)]
pub async fn reap(Operator(actor): Operator, State(state): State<AppState>) -> Result<Json<Reaped>, ApiError> {
    Ok(Json(state.control.reap(&actor).await?))
}
