//! The history of an object: its versions, two compared, and one restored.

use super::super::fields::{Fields, QueryFields};
use super::super::history::{self, Thing, Wish};
use super::super::view::Look;
use super::{base, kind, list_title, object};
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::inventory::ObjectKind;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/inventory/{noun}/{name}/versions", get(versions))
        .route("/inventory/{noun}/{name}/diff", get(diff))
        .route("/inventory/{noun}/{name}/restore", post(restore))
}

fn list(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Node => "/inventory/nodes",
        ObjectKind::Datacenter => "/inventory/datacenters",
        ObjectKind::Environment => "/inventory/environments",
        ObjectKind::Role => "/inventory/roles",
    }
}

fn thing(kind: ObjectKind, name: &str) -> Thing<'_> {
    Thing {
        kind: kind.as_str(),
        name,
        list: list(kind),
        list_title: list_title(kind),
        base: base(kind, name),
    }
}

async fn versions(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path((noun, name)): Path<(String, String)>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let versions = state.control.object_versions(&actor, kind, &name).await?;
    Ok(history::history_page(&look, &actor, &thing(kind, &name), &versions, &query))
}

async fn diff(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path((noun, name)): Path<(String, String)>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let (from, to) = history::ends(&query)?;
    let diff = state.control.object_diff(&actor, kind, &name, from, to).await?;
    let versions = state.control.object_versions(&actor, kind, &name).await?;
    Ok(history::diff_page(&look, &actor, &thing(kind, &name), &versions, &diff))
}

async fn restore(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path((noun, name)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let (kind, wish) = (kind(&noun)?, Wish::of(&fields)?);
    let restored = state
        .control
        .restore_object(&actor, kind, &name, wish.version, wish.present)
        .await;
    match restored {
        Ok(_) => Ok(object::did(kind, &name, "restored")),
        Err(error) if error.fault.code == "not-found" => Err(error.into()),
        Err(error) => {
            let versions = state.control.object_versions(&actor, kind, &name).await?;
            history::not_restored(&look, &actor, &thing(kind, &name), &versions, wish, error)
        }
    }
}
