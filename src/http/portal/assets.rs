//! The files that are part of the binary: templates for [`super::view`], and the style sheet, script and mark that browsers
//! fetch. Addresses of the latter carry the content's hash, so browsers keep them for ever and never see an old one.

use super::view::Look;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};
use std::fmt::Write as _;

#[derive(RustEmbed)]
#[folder = "templates/"]
struct Files;

const FOREVER: &str = "public, max-age=31536000, immutable";

/// The assets' route; open to anyone.
pub fn router() -> Router<AppState> {
    Router::new().route("/assets/{version}/{name}", get(serve)).route(
        "/favicon.ico",
        get(async |headers: HeaderMap| answer("mark.svg", "", &headers)),
    )
}

/// A template's text.
pub fn template(name: &str) -> Option<Vec<u8>> {
    let page = std::path::Path::new(name).extension().is_some_and(|end| end == "html");
    page.then(|| Files::get(name)).flatten().map(|file| file.data.into_owned())
}

/// The address of an asset.
pub fn url(name: &str) -> String {
    match asset(name) {
        Some(file) => format!("/assets/{}/{name}", version(&file)),
        None => format!("/assets/missing/{name}"),
    }
}

async fn serve(_look: Look, Path((asked, name)): Path<(String, String)>, headers: HeaderMap) -> Result<Response, ApiError> {
    answer(&name, &asked, &headers)
}

/// A file by name; kept for ever by whoever asks for its present version.
///
/// # Errors
/// `not-found`.
pub fn answer(name: &str, asked: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let file = asset(name).ok_or_else(|| ApiError::new("not-found", "There is no such file"))?;
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let version = version(&file);
    let etag = format!("\"{version}\"");
    // An address from before an upgrade still works, but is not kept.
    let keep = if asked == version { FOREVER } else { "no-cache" };
    let head = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, keep),
        (header::ETAG, &etag),
    ];
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == etag.as_bytes());
    Ok(if known {
        (StatusCode::NOT_MODIFIED, head).into_response()
    } else {
        (head, file.data.into_owned()).into_response()
    })
}

// Only files that are listed, so that no name can lead elsewhere where a debug build reads from disk.
fn asset(name: &str) -> Option<EmbeddedFile> {
    let path = format!("assets/{name}");
    Files::iter()
        .any(|listed| listed == path)
        .then(|| Files::get(&path))
        .flatten()
}

fn version(file: &EmbeddedFile) -> String {
    file.metadata.sha256_hash()[..8].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
