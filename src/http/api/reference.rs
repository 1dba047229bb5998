//! What the API says of itself: its error codes and its document. Open to anyone, for it holds no one's data.

use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::fault::{CATALOGUE, CodeEntry, explain};
use crate::model::inventory::ObjectKind;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, header};
use std::sync::OnceLock;

/// Lists every error code with its explanation.
#[utoipa::path(
    get, path = "/api/v1/codes", tag = "reference", security(()),
    responses((status = 200, description = "All codes", body = Vec<CodeEntry>))
)]
pub async fn list_codes() -> Json<&'static [CodeEntry]> {
    Json(CATALOGUE)
}

/// Explains an error code.
#[utoipa::path(
    get, path = "/api/v1/codes/{code}", tag = "reference", params(("code" = String, Path, description = "The code")),
    security(()),
    responses((status = 200, description = "What it means and what to do", body = CodeEntry))
)]
pub async fn show_code(Path(code): Path<String>) -> Result<Json<&'static CodeEntry>, ApiError> {
    let entry = explain(&code);
    entry
        .map(Json)
        .ok_or_else(|| ApiError::new("not-found", "There is no such code"))
}

/// Gives the JSON Schema of descriptors, for editors.
#[utoipa::path(
    get, path = "/api/v1/schema/app.json", tag = "reference", security(()),
    responses((status = 200, description = "The schema", body = Object, content_type = "application/schema+json"))
)]
pub async fn show_schema(State(state): State<AppState>) -> ([(HeaderName, &'static str); 1], String) {
    let schema = state.control.app_schema().to_string();
    ([(header::CONTENT_TYPE, "application/schema+json")], schema)
}

/// Gives the JSON Schema of nodes, datacenters, environments or roles, for editors.
#[utoipa::path(
    get, path = "/api/v1/schema/inventory/{kind}", tag = "reference",
    params(("kind" = String, Path, description = "`node`, `datacenter`, `environment` or `role`")), security(()),
    responses((status = 200, description = "The schema", body = Object, content_type = "application/schema+json"))
)]
pub async fn show_object_schema(
    State(state): State<AppState>,
    Path(kind): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    let kind = ObjectKind::of(&kind).ok_or_else(|| ApiError::new("not-found", "There is no such kind"))?;
    let schema = state.control.object_schema(kind).to_string();
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], schema))
}

/// Gives the OpenAPI document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "reference", security(()),
    responses((status = 200, description = "This document", body = Object))
)]
pub async fn show_document() -> ([(HeaderName, &'static str); 1], Bytes) {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| super::document().to_json().unwrap_or_default().into());
    ([(header::CONTENT_TYPE, "application/json")], text.clone())
}
