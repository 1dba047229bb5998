//! Adding and editing an object as JSON, checked while it is typed. What was typed is never lost.

use super::super::editor::unix_lines;
use super::super::fields::Fields;
use super::super::view::{Look, reshow};
use super::{kind, list_title, object};
use crate::http::auth::Operator;
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::inventory::ObjectKind;
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/inventory/new/{noun}", get(begin).post(add))
        .route("/inventory/check/{noun}", post(check))
        .route("/inventory/{noun}/{name}/edit", get(edit).post(save))
}

struct Draft {
    kind: ObjectKind,
    name: Option<String>,
    version: Option<i64>,
    text: String,
}

impl Draft {
    fn file(&self) -> String {
        format!("{}.json", self.kind)
    }
}

// The least that is accepted, ready to be filled in.
fn skeleton(kind: ObjectKind) -> String {
    let (name, spec) = match kind {
        ObjectKind::Node => (
            "web1",
            json!({ "datacenter": "dc1", "environment": "production", "roles": [], "apps": [], "addresses": {}, "values": {} }),
        ),
        ObjectKind::Datacenter => ("dc1", json!({ "values": {} })),
        ObjectKind::Environment => ("production", json!({ "restorable": false, "apps": {}, "values": {} })),
        ObjectKind::Role => ("web", json!({ "recipes": [], "values": {} })),
    };
    let body: Value = json!({
        "apiVersion": crate::model::inventory::API_VERSION,
        "kind": kind.title(),
        "metadata": { "name": name, "title": "", "description": "" },
        "spec": spec,
    });
    format!("{body:#}\n")
}

async fn begin(Operator(actor): Operator, look: Look, Path(noun): Path<String>) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let draft = Draft {
        kind,
        name: None,
        version: None,
        text: skeleton(kind),
    };
    Ok(page(&look, &actor, &draft, None))
}

async fn edit(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path((noun, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let object = state.control.show_object(&actor, kind, &name, None).await?;
    let draft = Draft {
        kind,
        name: Some(name),
        version: Some(object.version),
        text: format!("{:#}\n", object.body),
    };
    Ok(page(&look, &actor, &draft, None))
}

async fn add(
    actor: Operator,
    state: State<AppState>,
    look: Look,
    Path(noun): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    store(actor, state, &look, kind(&noun)?, None, &fields).await
}

async fn save(
    actor: Operator,
    state: State<AppState>,
    look: Look,
    Path((noun, name)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, ApiError> {
    store(actor, state, &look, kind(&noun)?, Some(name), &fields).await
}

async fn store(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: &Look,
    kind: ObjectKind,
    name: Option<String>,
    fields: &Fields,
) -> Result<Response, ApiError> {
    let mut draft = Draft {
        kind,
        version: fields.filled("version").and_then(|v| v.parse().ok()),
        text: unix_lines(fields.text("text")),
        name,
    };
    let text = draft.text.as_bytes();
    let name = draft.name.as_deref();
    let saved = state
        .control
        .save_object(&actor, kind, name, &draft.file(), text, draft.version)
        .await;
    match saved {
        Ok(saved) => Ok(object::did(kind, &saved.name, "kept")),
        Err(error) => {
            let problem = reshow(error)?;
            // The next save is meant for what the difference shows; but what is new replaces nothing.
            if let (Some(current), Some(_)) = (problem.current_version, &draft.name) {
                draft.version = Some(current);
            }
            Ok(page(look, &actor, &draft, Some(&problem)))
        }
    }
}

async fn check(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path(noun): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let file = format!("{}.json", kind(&noun)?);
    let text = unix_lines(fields.text("text"));
    let found = state.control.validate_object(&actor, &file, text.as_bytes()).await?;
    let context = json!({ "ok": found.ok, "diagnostics": found.diagnostics });
    Ok(look.page("_fragments/diagnostics.html", Some(&actor), context))
}

fn page(look: &Look, actor: &Actor, draft: &Draft, problem: Option<&Problem>) -> Response {
    let status = problem.and_then(|p| StatusCode::from_u16(p.status).ok());
    let context = json!({
        "kind": draft.kind.as_str(),
        "noun": draft.kind.plural(),
        "list_title": list_title(draft.kind),
        "name": draft.name,
        "base": draft.version,
        "text": draft.text,
        "lines": draft.text.lines().count().max(1),
        "problem": problem,
    });
    look.page_with(status.unwrap_or(StatusCode::OK), "inventory/edit.html", Some(actor), context)
}
