//! Adding and editing an app: its descriptor as text, checked while it is typed. What was typed is never lost: errors,
//! and someone else's change meanwhile, are shown around it.

use super::fields::Fields;
use super::view::{Look, done, reshow};
use crate::control::ControlError;
use crate::http::auth::Operator;
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

const FILE: &str = "greenroom.json";

// What a new app's editor begins with: the least that is accepted, ready to be filled in.
const SKELETON: &str = r#"{
  "apiVersion": "greenroom/v1",
  "kind": "App",
  "metadata": {
    "name": "my-app",
    "title": "My app",
    "description": "What it does, in a sentence"
  },
  "spec": {
    "type": "service",
    "owners": { "dev": "my-team", "ops": "platform" },
    "repository": "https://git.example.org/my-app.git",
    "defaultRef": "main",
    "recipes": [],
    "dependsOn": [],
    "processes": { "web": { "command": ["./run"] } },
    "ports": { "http": { "protocol": "http", "public": true } }
  }
}
"#;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/apps/new", get(begin).post(add))
        .route("/apps/check", post(check))
        .route("/apps/{name}/edit", get(edit).post(save))
}

/// An editor's content.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The app that is edited; none for a new one.
    pub name: Option<String>,
    /// The version it was edited from.
    pub version: Option<i64>,
    /// The text as typed.
    pub text: String,
}

async fn begin(Operator(actor): Operator, look: Look) -> Response {
    let draft = Draft {
        text: SKELETON.to_owned(),
        ..Draft::default()
    };
    editor_page(&look, &actor, &draft, None)
}

async fn edit(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let app = state.control.show_app(&actor, &name, None).await?;
    let draft = Draft {
        name: Some(name),
        version: Some(app.summary.version),
        text: app.descriptor,
    };
    Ok(editor_page(&look, &actor, &draft, None))
}

async fn add(actor: Operator, state: State<AppState>, look: Look, fields: Fields) -> Result<Response, ApiError> {
    store(actor, state, &look, None, &fields).await
}

async fn save(
    actor: Operator,
    state: State<AppState>,
    look: Look,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    store(actor, state, &look, Some(name), &fields).await
}

async fn store(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: &Look,
    name: Option<String>,
    fields: &Fields,
) -> Result<Response, ApiError> {
    let draft = Draft {
        version: fields.filled("version").and_then(|v| v.parse().ok()),
        text: unix_lines(fields.text("text")),
        name,
    };
    let saved = state
        .control
        .save_app(&actor, draft.name.as_deref(), FILE, draft.text.as_bytes(), draft.version)
        .await;
    match saved {
        Ok(app) => Ok(done(&format!("/apps/{}", app.summary.name), "saved")),
        Err(error) => refuse(look, &actor, draft, error),
    }
}

fn refuse(look: &Look, actor: &Actor, mut draft: Draft, error: ControlError) -> Result<Response, ApiError> {
    let problem = reshow(error)?;
    // The next save is meant for what the difference shows.
    if let Some(current) = problem.current_version {
        draft.version = Some(current);
    }
    Ok(editor_page(look, actor, &draft, Some(&problem)))
}

async fn check(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    fields: Fields,
) -> Result<Response, ApiError> {
    let text = unix_lines(fields.text("text"));
    let found = state
        .control
        .validate_draft(&actor, fields.filled("name"), FILE, text.as_bytes())
        .await?;
    let context = json!({ "ok": found.ok, "diagnostics": found.diagnostics });
    Ok(look.page("_fragments/diagnostics.html", Some(&actor), context))
}

/// Renders the editor.
pub fn editor_page(look: &Look, actor: &Actor, draft: &Draft, problem: Option<&Problem>) -> Response {
    let status = problem
        .and_then(|p| StatusCode::from_u16(p.status).ok())
        .unwrap_or(StatusCode::OK);
    let context = json!({
            "name": draft.name,
            "base": draft.version,
            "text": draft.text,
            "lines": draft.text.lines().count().max(1),
            "problem": problem
    });
    look.page_with(status, "apps/edit.html", Some(actor), context)
}

/// A text as its file has it: browsers send a text area's lines with CRLF; a descriptor's lines end as they do in its file.
pub fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}
