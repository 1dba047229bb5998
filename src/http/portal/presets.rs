//! Presets with their pools, previews of branches, and what providers hold.

use super::fields::Fields;
use super::view::{Look, done, reshow};
use crate::control::ControlError;
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::wire::presets::PresetView;
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
        .route("/presets", get(list))
        .route("/presets/{name}/pause", post(pause))
        .route("/presets/{name}/resume", post(resume))
        .route("/presets/{name}/remove", post(remove))
        .route("/previews", get(list_previews))
        .route("/previews/{id}/end", post(end_preview))
        .route("/servers", get(show_holdings))
        .route("/servers/reap", post(reap))
        .route("/images/{provider}/{key}/remove", post(remove_image))
}

async fn list(Viewer(actor): Viewer, State(state): State<AppState>, look: Look) -> Result<Response, ApiError> {
    let presets = state.control.list_presets(&actor).await?;
    Ok(presets_page(&look, &actor, &presets, None))
}

/// Renders the list of presets.
pub fn presets_page(look: &Look, actor: &Actor, presets: &[PresetView], problem: Option<&Problem>) -> Response {
    let status = problem
        .and_then(|p| StatusCode::from_u16(p.status).ok())
        .unwrap_or(StatusCode::OK);
    let context = json!({ "presets": presets, "problem": problem });
    look.page_with(status, "presets.html", Some(actor), context)
}

async fn pause(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let paused = state.control.pause_pool(&actor, &name, true).await.map(drop);
    answer(&state, &look, &actor, paused, "paused").await
}

async fn resume(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let resumed = state.control.pause_pool(&actor, &name, false).await.map(drop);
    answer(&state, &look, &actor, resumed, "resumed").await
}

async fn remove(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let removed = state.control.remove_preset(&actor, &name).await;
    answer(&state, &look, &actor, removed, "forgotten").await
}

async fn answer(
    state: &AppState,
    look: &Look,
    actor: &Actor,
    what: Result<(), ControlError>,
    said: &str,
) -> Result<Response, ApiError> {
    match what {
        Ok(()) => Ok(done("/presets", said)),
        Err(error) => {
            let problem = reshow(error)?;
            let presets = state.control.list_presets(actor).await?;
            Ok(presets_page(look, actor, &presets, Some(&problem)))
        }
    }
}

async fn list_previews(Viewer(actor): Viewer, State(state): State<AppState>, look: Look) -> Result<Response, ApiError> {
    let previews = state.control.list_previews(&actor).await?;
    let accepts = !state.control.settings.previews.secret.is_empty();
    let context = json!({ "previews": previews, "accepts": accepts, "address": state.public_url });
    Ok(look.page("previews.html", Some(&actor), context))
}

async fn end_preview(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    state.control.end_preview(&actor, &id).await?;
    Ok(done("/previews", "preview-gone"))
}

async fn show_holdings(Operator(actor): Operator, State(state): State<AppState>, look: Look) -> Result<Response, ApiError> {
    let holdings = state.control.show_holdings(&actor).await?;
    let images = state.control.list_images(&actor).await?;
    let context = json!({ "holdings": holdings, "images": images });
    Ok(look.page("servers.html", Some(&actor), context))
}

async fn reap(Operator(actor): Operator, State(state): State<AppState>, _: Fields) -> Result<Response, ApiError> {
    state.control.reap(&actor).await?;
    Ok(done("/servers", "reaped"))
}

async fn remove_image(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path((provider, key)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    state.control.remove_image(&actor, &provider, &key).await?;
    Ok(done("/servers", "gone-image"))
}
