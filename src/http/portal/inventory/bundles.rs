//! Bundles of recipes: which there are, how two differ, what promoting one would touch, and promoting it.

use super::super::fields::{Fields, QueryFields};
use super::super::view::{Look, reshow};
use super::object;
use crate::control::ControlError;
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::inventory::ObjectKind;
use crate::wire::bundles::PromoteRequest;
use crate::wire::configurations::FleetPlanRequest;
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/inventory/bundles", get(list))
        .route("/inventory/bundles/{hash}", get(show))
        .route("/inventory/plan", get(plan))
        .route("/inventory/environments/{name}/bundle", post(promote))
}

async fn list(Viewer(actor): Viewer, State(state): State<AppState>, look: Look) -> Result<Response, ApiError> {
    let bundles = state.control.list_bundles(&actor).await?;
    Ok(look.page("inventory/bundles.html", Some(&actor), json!({ "bundles": bundles })))
}

async fn show(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(hash): Path<String>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let control = &state.control;
    let found = control.show_bundle(&actor, &hash).await?;
    let difference = match query.filled("from") {
        Some(from) => Some(control.diff_bundles(&actor, from, &found.bundle.hash).await?),
        None => None,
    };
    let context = json!({
        "bundle": found.bundle,
        "files": found.files,
        "bundles": control.list_bundles(&actor).await?,
        "environments": control.list_objects(&actor, ObjectKind::Environment, None, None).await?,
        "difference": difference,
    });
    Ok(look.page("inventory/bundle.html", Some(&actor), context))
}

async fn plan(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    planned(
        &state,
        &look,
        &actor,
        query.filled("bundle"),
        query.filled("environment"),
        None,
    )
    .await
}

// What pointing an environment, or all, at a bundle would touch; with why it was refused.
async fn planned(
    state: &AppState,
    look: &Look,
    actor: &Actor,
    bundle: Option<&str>,
    environment: Option<&str>,
    refused: Option<Problem>,
) -> Result<Response, ApiError> {
    let control = &state.control;
    let (mut plan, mut problem, mut pointer) = (None, refused, None);
    if let Some(bundle) = bundle {
        let request = FleetPlanRequest {
            bundle: Some(bundle.to_owned()),
            environment: environment.map(str::to_owned),
            ..FleetPlanRequest::default()
        };
        // The version is read first: what changes while it is planned makes the promotion fail, not pass unseen.
        if let Some(environment) = environment {
            pointer = Some(control.show_pointer(actor, environment).await?);
        }
        match control.plan_fleet(actor, &request).await {
            Ok(found) => plan = Some(found),
            Err(error) => problem = Some(problem.unwrap_or(reshow(error)?)),
        }
    }
    let status = problem.as_ref().and_then(|p| StatusCode::from_u16(p.status).ok());
    let context = json!({
        "bundles": control.list_bundles(actor).await?,
        "environments": control.list_objects(actor, ObjectKind::Environment, None, None).await?,
        "bundle": bundle,
        "environment": environment,
        "pointer": pointer,
        "plan": plan,
        "problem": problem,
    });
    Ok(look.page_with(status.unwrap_or(StatusCode::OK), "inventory/plan.html", Some(actor), context))
}

async fn promote(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let wanted = fields
        .filled("bundle")
        .ok_or_else(|| ControlError::field("bundle", "say which bundle"))?;
    let request = PromoteRequest {
        bundle: wanted.to_owned(),
    };
    let version = fields.filled("version").and_then(|version| version.parse().ok());
    match state.control.promote_bundle(&actor, &name, &request, version).await {
        Ok(_) => Ok(object::did(ObjectKind::Environment, &name, "promoted")),
        Err(error) if error.fault.code == "not-found" => Err(error.into()),
        Err(error) => {
            let problem = reshow(error)?;
            planned(&state, &look, &actor, Some(wanted), Some(&name), Some(problem)).await
        }
    }
}
