//! What load balancers and monitors ask: alive, ready, which version. Open to anyone, so it says nothing more.

use super::problem::ApiError;
use super::state::AppState;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// `/healthz`, `/readyz` and `/version`.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(show_ready))
        .route(
            "/version",
            get(async || Json(json!({ "name": "greenroom", "version": env!("CARGO_PKG_VERSION") }))),
        )
}

async fn show_ready(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    if state.shutdown.is_cancelled() {
        return Err(ApiError::new("too-busy", "The server is stopping"));
    }
    state.control.check_ready().await?;
    Ok(Json(json!({ "ready": true })))
}
