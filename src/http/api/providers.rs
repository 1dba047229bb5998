//! Providers: whether each has what launches need.

use crate::http::auth::Operator;
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::providers::ProviderCheck;
use axum::Json;
use axum::extract::State;

/// Looks at everything that launches at a provider need: credentials, permissions, images, networks. Makes nothing.
#[utoipa::path(
    get, path = "/api/v1/providers/{name}/check", tag = "providers", security(("token" = ["operator"])),
    params(("name" = String, Path, description = "The provider")),
    responses((status = 200, description = "What was found", body = ProviderCheck))
)]
pub async fn check_provider(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<ProviderCheck>, ApiError> {
    Ok(Json(state.control.check_provider(&actor, &name).await?))
}
