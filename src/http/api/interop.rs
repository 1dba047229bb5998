//! The inventory in the formats of other tools. Everything is a read for viewers, so a tool gets a token that can do nothing else.

use crate::control::interop::{NodesOf, TargetsOf};
use crate::http::auth::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

/// Which nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NodesQuery {
    /// A query in the search grammar, such as `role:web AND datacenter:dc1`; every node where absent.
    q: Option<String>,
}

/// Which targets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TargetsQuery {
    /// A query in the search grammar; every node where absent.
    q: Option<String>,
    /// Only nodes that run this app, at its port.
    app: Option<String>,
    /// A port's number, or its name in the app's descriptor. 9100 where there is neither.
    port: Option<String>,
}

/// Ansible's dynamic inventory.
#[utoipa::path(
    get, path = "/api/v1/interop/ansible", tag = "interop", params(NodesQuery), security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "Groups, and `_meta.hostvars`", body = Object),
        (status = 304, description = "As it was at `If-None-Match`")
    )
)]
pub async fn show_ansible(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Query(query): Query<NodesQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let nodes = NodesOf { query: query.q };
    let answer = state.control.ansible_inventory(&actor, &nodes).await?;
    Ok(unless_known(&headers, "application/json", answer.to_string()))
}

/// A node for Puppet's external node classifier: JSON, which is YAML too.
#[utoipa::path(
    get, path = "/api/v1/interop/puppet/{certname}", tag = "interop", security(("token" = ["viewer"])),
    params(("certname" = String, Path, description = "The node's name")),
    responses(
        (status = 200, description = "Its classes, parameters and environment", body = Object),
        (status = 304, description = "As it was at `If-None-Match`")
    )
)]
pub async fn show_puppet(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(certname): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let answer = state.control.puppet_node(&actor, &certname).await?;
    Ok(unless_known(&headers, "application/json", answer.to_string()))
}

/// Targets for Prometheus' `http_sd`: always the whole list and always 200, because the client takes a 304 for an error.
#[utoipa::path(
    get, path = "/api/v1/interop/prometheus", tag = "interop", params(TargetsQuery), security(("token" = ["viewer"])),
    responses((status = 200, description = "Groups of targets with labels", body = Vec<Object>))
)]
pub async fn show_prometheus(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Query(query): Query<TargetsQuery>,
) -> Result<axum::Json<Value>, ApiError> {
    let nodes = NodesOf { query: query.q };
    let targets = TargetsOf {
        app: query.app,
        port: query.port,
    };
    Ok(axum::Json(state.control.prometheus_targets(&actor, &nodes, &targets).await?))
}

/// Backstage's catalogue of all apps, for a `Location` of type `url`.
#[utoipa::path(
    get, path = "/api/v1/interop/backstage.yaml", tag = "interop", security(("token" = ["viewer"])),
    responses(
        (status = 200, description = "YAML documents", body = String, content_type = "application/yaml"),
        (status = 304, description = "As it was at `If-None-Match`")
    )
)]
pub async fn show_backstage(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let catalogue = state.control.backstage_catalogue(&actor).await?;
    Ok(unless_known(&headers, "application/yaml", catalogue))
}

fn unless_known(headers: &HeaderMap, kind: &'static str, body: String) -> Response {
    let etag = crate::model::secret::hex("\"", &Sha256::digest(body.as_bytes())) + "\"";
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    // A cache or gzip on the way may have made it a weak one.
    let same = known.is_some_and(|known| known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag));
    let tag = [(header::ETAG, etag)];
    if same {
        return (StatusCode::NOT_MODIFIED, tag).into_response();
    }
    (tag, [(header::CONTENT_TYPE, kind)], body).into_response()
}
