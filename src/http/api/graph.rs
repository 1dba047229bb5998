//! What depends on what, what a loss would stop, what runs where, and when.

use super::page::{Paged, cut, limit};
use crate::control::ControlError;
use crate::control::inventory::{Loss, Where};
use crate::http::auth::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::Page;
use crate::wire::apps::SchedulesView;
use crate::wire::inventory::{DependenciesView, ImpactView, RunningView};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;
use utoipa::IntoParams;

/// How far, and where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DependenciesQuery {
    /// 1: also what those need.
    transitive: Option<u8>,
    /// Give the endpoints in this environment.
    environment: Option<String>,
    /// Endpoints of this datacenter first.
    datacenter: Option<String>,
}

/// How far.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DependentsQuery {
    /// 1: also what needs those.
    transitive: Option<u8>,
}

/// What goes away: one of the two.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImpactQuery {
    /// A node.
    node: Option<String>,
    /// A datacenter with all its nodes.
    datacenter: Option<String>,
}

/// Of what, and where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunningQuery {
    /// Only this app.
    app: Option<String>,
    /// Only this environment.
    environment: Option<String>,
    /// Only this datacenter.
    datacenter: Option<String>,
    /// An earlier page's `next`.
    cursor: Option<String>,
    /// 1 to 200.
    limit: Option<i64>,
}

/// Lists the apps that an app needs, and where each is reached.
#[utoipa::path(
    get, path = "/api/v1/apps/{name}/dependencies", tag = "inventory", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The app"), DependenciesQuery),
    responses((status = 200, description = "Who needs whom", body = DependenciesView))
)]
pub async fn list_dependencies(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<DependenciesQuery>,
) -> Result<Json<DependenciesView>, ApiError> {
    let place = Where {
        app: None,
        environment: query.environment.as_deref(),
        datacenter: query.datacenter.as_deref(),
    };
    let transitive = query.transitive == Some(1);
    Ok(Json(state.control.dependencies(&actor, &name, transitive, place).await?))
}

/// Lists the apps that need an app.
#[utoipa::path(
    get, path = "/api/v1/apps/{name}/dependents", tag = "inventory", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The app"), DependentsQuery),
    responses((status = 200, description = "Who needs whom", body = DependenciesView))
)]
pub async fn list_dependents(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<DependentsQuery>,
) -> Result<Json<DependenciesView>, ApiError> {
    Ok(Json(
        state.control.dependents(&actor, &name, query.transitive == Some(1)).await?,
    ))
}

/// Lists what an app runs by the clock: what its descriptor wants, and what its nodes are built to run.
#[utoipa::path(
    get, path = "/api/v1/apps/{name}/schedules", tag = "inventory", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The app")),
    responses((status = 200, description = "Its schedules", body = SchedulesView))
)]
pub async fn list_schedules(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<SchedulesView>, ApiError> {
    Ok(Json(state.control.app_schedules(&actor, &name).await?))
}

/// Says what would stop if a node or a datacenter went away.
#[utoipa::path(
    get, path = "/api/v1/impact", tag = "inventory", security(("token" = ["viewer"])), params(ImpactQuery),
    responses((status = 200, description = "The apps that stop, and those that are left with fewer nodes", body = ImpactView))
)]
pub async fn show_impact(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Query(query): Query<ImpactQuery>,
) -> Result<Json<ImpactView>, ApiError> {
    let loss = match (&query.node, &query.datacenter) {
        (Some(node), None) => Loss::Node(node),
        (None, Some(datacenter)) => Loss::Datacenter(datacenter),
        _ => return Err(ControlError::field("node", "give a node or a datacenter").into()),
    };
    Ok(Json(state.control.impact(&actor, loss).await?))
}

/// Lists what runs where: the declared revision of each app on each node beside the one that the node reports.
#[utoipa::path(
    get, path = "/api/v1/running", tag = "inventory", security(("token" = ["viewer"])), params(RunningQuery),
    responses((status = 200, description = "A page of apps on nodes", body = Page<RunningView>))
)]
pub async fn list_running(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    uri: Uri,
    Query(query): Query<RunningQuery>,
) -> Result<Paged<RunningView>, ApiError> {
    let limit = limit(query.limit)?;
    let place = Where {
        app: query.app.as_deref(),
        environment: query.environment.as_deref(),
        datacenter: query.datacenter.as_deref(),
    };
    let all = state.control.running(&actor, place).await?;
    let name = |running: &RunningView| format!("{}/{}", running.app, running.node);
    let begin = query
        .cursor
        .and_then(|cursor| Some(all.iter().position(|running| name(running) == cursor)? + 1))
        .unwrap_or_default();
    Ok(Paged::new(cut(all, begin, limit, |_, running| name(running)), &uri))
}
