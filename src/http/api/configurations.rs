//! What nodes are built to be, why their values are what they are, and what a change would touch.

use crate::control::configurations::RenderOptions;
use crate::http::auth::Viewer;
use crate::http::extract::{Json as JsonBody, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::configurations::{ConfigurationView, ExplainView, FleetPlanRequest, FleetPlanView};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which value.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// The value, such as `nginx.workers`.
    key: String,
    /// As this app's recipes see it; as those of the node's roles do where absent.
    app: Option<String>,
}

/// Shows what a node is built to be. The `ETag` is the configuration's hash.
#[utoipa::path(
    get, path = "/api/v1/nodes/{name}/configuration", tag = "configurations", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The node")),
    responses(
        (status = 200, description = "The configuration", body = ConfigurationView),
        (status = 304, description = "It is the one that `If-None-Match` names")
    )
)]
pub async fn show_configuration(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = state.control.show_configuration(&actor, &name).await?;
    let etag = format!("\"{}\"", found.hash);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let tagged = [(header::ETAG, etag.clone())];
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, tagged).into_response());
    }
    Ok((tagged, Json(found)).into_response())
}

/// What a node's configuration is made into.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RenderQuery {
    /// `shell`, `cloud-init`, `image` or `agent`.
    target: String,
    /// Let a script read secrets from the file that `GREENROOM_SECRETS` names when it is run.
    #[serde(default)]
    secrets_from_file: bool,
    /// The image that an image starts from.
    base_image: Option<String>,
}

/// Shows what a node is built to be as a script, as user-data for cloud-init, or as the context of an image build. No secret is
/// in any of them; a state that needs one is refused.
#[utoipa::path(
    get, path = "/api/v1/nodes/{name}/render", tag = "configurations", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The node"), RenderQuery),
    responses((status = 200, description = "What the target is given", content_type = "application/octet-stream"))
)]
pub async fn render_node(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<RenderQuery>,
) -> Result<Response, ApiError> {
    let wanted = RenderOptions {
        target: query.target,
        secrets_from_file: query.secrets_from_file,
        base_image: query.base_image,
    };
    let rendered = state.control.render_node(&actor, &name, &wanted).await?;
    Ok(([(header::CONTENT_TYPE, rendered.content_type)], rendered.bytes).into_response())
}

/// Tells which layer, object and line gave a value of a node, and what it overrode.
#[utoipa::path(
    get, path = "/api/v1/nodes/{name}/explain", tag = "configurations", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The node"), ExplainQuery),
    responses((status = 200, description = "What each layer says", body = ExplainView))
)]
pub async fn explain_value(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<ExplainView>, ApiError> {
    let app = query.app.as_deref();
    Ok(Json(state.control.explain_value(&actor, &name, &query.key, app).await?))
}

/// Tells what a change of recipes or of the inventory would change on which nodes. Nothing is changed, and no node is asked.
#[utoipa::path(
    post, path = "/api/v1/plans/fleet", tag = "configurations", request_body = FleetPlanRequest,
    security(("token" = ["viewer"])),
    responses((status = 200, description = "What would change", body = FleetPlanView))
)]
pub async fn plan_fleet(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<FleetPlanRequest>,
) -> Result<Json<FleetPlanView>, ApiError> {
    Ok(Json(state.control.plan_fleet(&actor, &request).await?))
}
