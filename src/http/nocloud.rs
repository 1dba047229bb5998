//! What a machine that starts for the first time asks: cloud-init's NoCloud, at an address that is itself the secret.

use super::extract::Path;
use super::problem::ApiError;
use super::state::AppState;
use crate::control::agents::boot::SeedFile;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The address of a machine's files.
pub fn router() -> Router<AppState> {
    Router::new().route("/nocloud/{token}/{file}", get(show_file))
}

async fn show_file(State(state): State<AppState>, Path((token, file)): Path<(String, String)>) -> Result<Response, ApiError> {
    let file = SeedFile::named(&file).ok_or_else(|| ApiError::new("not-found", "NoCloud has no such file"))?;
    let bytes = state.control.seed(&token, file).await?;
    let content_type = match file {
        SeedFile::MetaData | SeedFile::NetworkConfig => "application/yaml",
        SeedFile::UserData | SeedFile::VendorData => "text/cloud-config",
    };
    Ok(([(header::CONTENT_TYPE, content_type)], bytes).into_response())
}
