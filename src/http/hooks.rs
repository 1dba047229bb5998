//! Webhooks of GitHub, GitLab and Gitea. Whoever sends one proves it by the secret that it was given.

use super::extract::Path;
use super::problem::ApiError;
use super::state::AppState;
use crate::model::forge::Delivery;
use crate::wire::previews::HookAnswer;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};

// GitHub sends at most 25 MB; of a pull request never as much.
const BODY_LIMIT: usize = 5 * 1024 * 1024;

/// The webhooks' address.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/hooks/{forge}", post(take))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
}

async fn take(
    State(state): State<AppState>,
    Path(forge): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<HookAnswer>), ApiError> {
    let text = |names: [&str; 2]| {
        names
            .iter()
            .find_map(|name| headers.get(*name)?.to_str().ok())
            .unwrap_or_default()
    };
    let (event, proof) = match forge.as_str() {
        "gitlab" => (text(["x-gitlab-event", ""]), text(["x-gitlab-token", ""])),
        "gitea" => (
            text(["x-gitea-event", "x-forgejo-event"]),
            text(["x-gitea-signature", "x-forgejo-signature"]),
        ),
        _ => (text(["x-github-event", ""]), text(["x-hub-signature-256", ""])),
    };
    let answer = state.control.take_webhook(&forge, Delivery { event, proof }, &body).await?;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
