//! Changing a stack: more time, other revisions, another try, the end; and what its services say.

use super::fields::{Fields, QueryFields};
use super::launch::lease_of;
use super::lines::{Lines, Place};
use super::stacks::show_with;
use super::view::{Look, done, field_errors, reshow};
use crate::control::ControlError;
use crate::http::auth::{Member, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::wire::problem::Problem;
use crate::wire::stacks::{Accepted, AppChoice, ExtendRequest, StackView, UpdateRequest};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;
use std::collections::BTreeMap;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/stacks/{id}/extend", post(extend))
        .route("/stacks/{id}/update", get(show_update).post(update))
        .route("/stacks/{id}/retry", post(retry))
        .route("/stacks/{id}/stop", post(stop))
        .route("/stacks/{id}/start", post(start))
        .route("/stacks/{id}/rebuild", get(ask_rebuild).post(rebuild))
        .route("/stacks/{id}/destroy", get(ask_destroy).post(destroy))
        .route("/stacks/{id}/services/{service}", get(show_service))
}

async fn extend(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let lease = lease_of(&fields).unwrap_or_default();
    let request = ExtendRequest { lease: lease.clone() };
    match state.control.extend_stack(&actor, &id, &request).await {
        Ok(stack) => Ok(done(&format!("/stacks/{}", stack.id), "extended")),
        Err(error) => show_with(&state, &look, &actor, &id, Some((&reshow(error)?, &lease))).await,
    }
}

async fn retry(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let begun = state.control.retry_stack(&actor, &id).await;
    answer(&state, &look, &actor, &id, begun, "retrying").await
}

async fn stop(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let begun = state.control.stop_stack(&actor, &id).await;
    answer(&state, &look, &actor, &id, begun, "stopping").await
}

async fn start(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let begun = state.control.start_stack(&actor, &id).await;
    answer(&state, &look, &actor, &id, begun, "starting").await
}

async fn ask_rebuild(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let stack = state.control.show_stack(&actor, &id).await?;
    Ok(look.page("stacks/rebuild.html", Some(&actor), json!({ "stack": stack })))
}

async fn rebuild(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let begun = state.control.rebuild_stack(&actor, &id).await;
    answer(&state, &look, &actor, &id, begun, "rebuilding").await
}

// Back to the stack's page, with what has begun or why it has not.
async fn answer(
    state: &AppState,
    look: &Look,
    actor: &Actor,
    id: &str,
    begun: Result<Accepted, ControlError>,
    said: &str,
) -> Result<Response, ApiError> {
    match begun {
        Ok(accepted) => Ok(done(&format!("/stacks/{}", accepted.stack.id), said)),
        Err(error) => show_with(state, look, actor, id, Some((&reshow(error)?, ""))).await,
    }
}

async fn ask_destroy(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let stack = state.control.show_stack(&actor, &id).await?;
    Ok(look.page("stacks/destroy.html", Some(&actor), json!({ "stack": stack })))
}

async fn destroy(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let begun = state.control.destroy_stack(&actor, &id).await;
    answer(&state, &look, &actor, &id, begun, "destroying").await
}

async fn show_update(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let stack = state.control.show_stack(&actor, &id).await?;
    Ok(update_page(&look, &actor, &stack, &query, None))
}

async fn update(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let stack = state.control.show_stack(&actor, &id).await?;
    let apps: Vec<AppChoice> = stack
        .apps
        .iter()
        .filter_map(|app| {
            let revision = picked(&fields, &app.app)?;
            Some(AppChoice {
                app: app.app.clone(),
                revision: Some(revision.to_owned()),
            })
        })
        .collect();
    let request = UpdateRequest { apps };
    match state.control.update_stack(&actor, &id, &request).await {
        Ok(accepted) => Ok(done(&format!("/stacks/{}", accepted.stack.id), "updating")),
        Err(error) => {
            let mut problem = reshow(error)?;
            super::launch::name_fields(&mut problem, &request.apps);
            Ok(update_page(&look, &actor, &stack, &fields, Some(&problem)))
        }
    }
}

/// The revision that a form asks for an app: one picked from the list, or else one typed.
pub fn picked<'a>(fields: &'a Fields, app: &str) -> Option<&'a str> {
    fields
        .filled(&format!("pick.{app}"))
        .or_else(|| fields.filled(&format!("rev.{app}")))
}

/// Renders the form for other revisions.
pub fn update_page(look: &Look, actor: &Actor, stack: &StackView, typed: &Fields, problem: Option<&Problem>) -> Response {
    let typed: BTreeMap<&str, &str> = stack
        .apps
        .iter()
        .filter_map(|app| Some((app.app.as_str(), picked(typed, &app.app)?)))
        .collect();
    let status = problem
        .and_then(|p| StatusCode::from_u16(p.status).ok())
        .unwrap_or(StatusCode::OK);
    let errors = problem.map(field_errors).unwrap_or_default();
    let context = json!({ "stack": stack, "typed": typed, "problem": problem, "errors": errors });
    look.page_with(status, "stacks/update.html", Some(actor), context)
}

async fn show_service(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path((id, service)): Path<(String, String)>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let stack = state.control.show_stack(&actor, &id).await?;
    let mut log = Lines::from(Place::asked(&query));
    while log.add(&state.control.service_log(&actor, &stack.id, &service, log.next).await?) {}
    let context = json!({
            "title": service,
            "log": log,
            "topic": format!("log:{}/service/{service}", stack.id),
            "source": format!("/stacks/{}/services/{service}", stack.id),
            "back": json!({ "href": format!("/stacks/{}", stack.id), "text": stack.name }),
            "step": ()
    });
    Ok(look.page("runs/log.html", Some(&actor), context))
}
