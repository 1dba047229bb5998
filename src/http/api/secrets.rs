//! Secrets for nodes of the inventory. Their values go in and never come out.

use crate::http::auth::Operator;
use crate::http::extract::{Json as JsonBody, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::secrets::{SecretRequest, SecretView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

/// Which secret.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SecretQuery {
    /// Its name.
    name: String,
    /// The environment it is for; the one for every environment where absent.
    environment: Option<String>,
}

/// Lists secrets by name, without their values.
#[utoipa::path(
    get, path = "/api/v1/secrets", tag = "secrets", security(("token" = ["operator"])),
    responses((status = 200, description = "Secrets", body = Vec<SecretView>))
)]
pub async fn list_secrets(Operator(actor): Operator, State(state): State<AppState>) -> Result<Json<Vec<SecretView>>, ApiError> {
    Ok(Json(state.control.list_secrets(&actor).await?))
}

/// Gives a secret its value. It is stored sealed, and only a node whose configuration names it gets it.
#[utoipa::path(
    put, path = "/api/v1/secrets", tag = "secrets", request_body = SecretRequest, security(("token" = ["operator"])),
    responses((status = 204, description = "It is stored"))
)]
pub async fn save_secret(
    Operator(actor): Operator,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<SecretRequest>,
) -> Result<StatusCode, ApiError> {
    state.control.save_secret(&actor, &request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets a secret.
#[utoipa::path(
    delete, path = "/api/v1/secrets", tag = "secrets", params(SecretQuery), security(("token" = ["operator"])),
    responses((status = 204, description = "It is gone"))
)]
pub async fn remove_secret(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Query(query): Query<SecretQuery>,
) -> Result<StatusCode, ApiError> {
    let environment = query.environment.as_deref();
    state.control.remove_secret(&actor, &query.name, environment).await?;
    Ok(StatusCode::NO_CONTENT)
}
