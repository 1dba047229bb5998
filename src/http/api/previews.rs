//! Previews of branches.

use crate::http::auth::{Operator, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::previews::PreviewView;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Lists previews, the last changed first.
#[utoipa::path(
    get, path = "/api/v1/previews", tag = "previews", security(("token" = ["viewer"])),
    responses((status = 200, description = "All previews", body = Vec<PreviewView>))
)]
pub async fn list_previews(Viewer(actor): Viewer, State(state): State<AppState>) -> Result<Json<Vec<PreviewView>>, ApiError> {
    Ok(Json(state.control.list_previews(&actor).await?))
}

/// Takes a preview down, until the forge tells of the branch again.
#[utoipa::path(
    delete, path = "/api/v1/previews/{id}", tag = "previews", security(("token" = ["operator"])),
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It goes"))
)]
pub async fn end_preview(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control.end_preview(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
