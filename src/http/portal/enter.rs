//! The way from the portal to the apps of stacks: whoever is signed in here is let in there.

use super::fields::QueryFields;
use crate::http::auth::{Viewer, session_secret};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new().route("/enter", get(enter))
}

async fn enter(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    headers: HeaderMap,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let session = session_secret(&state, &headers);
    let session =
        session.ok_or_else(|| ApiError::new("invalid-request", "This is for browsers: send the token to the app's address"))?;
    let to = state.control.hand_over(&actor, &session, query.text("to")).await?;
    Ok(Redirect::to(&to).into_response())
}
