//! An object's page: what it says, who names it, what it would take along; and taking it out of the inventory.

use super::super::fields::Fields;
use super::super::view::{Look, done, reshow};
use super::{base, kind, list_title, node};
use crate::control::inventory::Loss;
use crate::http::auth::{Operator, Viewer};
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

const USERS: usize = 30;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/inventory/{noun}/{name}", get(show))
        .route("/inventory/{noun}/{name}/remove", post(remove))
}

async fn show(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path((noun, name)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    shown(&state, &look, &actor, kind(&noun)?, &name, None).await
}

// An object's page; with why something about it was refused.
async fn shown(
    state: &AppState,
    look: &Look,
    actor: &Actor,
    kind: ObjectKind,
    name: &str,
    problem: Option<&Problem>,
) -> Result<Response, ApiError> {
    let control = &state.control;
    let object = control.show_object(actor, kind, name, None).await?;
    let users: Vec<Value> = control
        .users_of(actor, kind, name, USERS)
        .await?
        .into_iter()
        .map(|(kind, query, page)| {
            json!({
                "kind": kind.as_str(),
                "noun": kind.plural(),
                "title": list_title(kind),
                "query": query,
                "total": page.total,
                "names": page.items.iter().map(|object| object.name.as_str()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let impact = match kind {
        ObjectKind::Node => Some(control.impact(actor, Loss::Node(name)).await?),
        ObjectKind::Datacenter => Some(control.impact(actor, Loss::Datacenter(name)).await?),
        _ => None,
    };
    let (pointer, bundles) = match kind {
        ObjectKind::Environment => (
            Some(control.show_pointer(actor, name).await?),
            control.list_bundles(actor).await?,
        ),
        _ => (None, Vec::new()),
    };
    let mut context = json!({
        "kind": kind.as_str(),
        "noun": kind.plural(),
        "list_title": list_title(kind),
        "object": object,
        "name": name,
        "text": format!("{:#}", object.body),
        "users": users,
        "impact": impact,
        "pointer": pointer,
        "bundles": bundles,
        "versions": control.object_versions(actor, kind, name).await?,
        "problem": problem,
    });
    if kind == ObjectKind::Node {
        context["node"] = node::more(state, actor, name).await?;
    }
    let status = problem.and_then(|p| StatusCode::from_u16(p.status).ok());
    Ok(look.page_with(
        status.unwrap_or(StatusCode::OK),
        "inventory/object.html",
        Some(actor),
        context,
    ))
}

async fn remove(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path((noun, name)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let looked_at = fields.filled("version").and_then(|version| version.parse().ok());
    match state.control.remove_object(&actor, kind, &name, looked_at).await {
        Ok(()) => Ok(done(&format!("/inventory/{}", kind.plural()), "gone")),
        Err(error) if error.fault.code == "not-found" => Err(error.into()),
        Err(error) => {
            let problem = reshow(error)?;
            shown(&state, &look, &actor, kind, &name, Some(&problem)).await
        }
    }
}

/// The page of an object, where something was done to it.
pub fn did(kind: ObjectKind, name: &str, word: &str) -> Response {
    done(&base(kind, name), word)
}
