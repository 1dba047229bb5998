//! The inventory's pages: nodes, datacenters, environments and roles, which are listed, edited and looked back at alike;
//! their bundles, what a change would touch, and searching everything.
//!
//! What the pages say is what the API says. Whoever may only look gets no buttons, and is refused where they post anyway.

pub mod bundles;
pub mod editor;
pub mod list;
pub mod node;
pub mod object;
pub mod past;
pub mod search;

use crate::control::ControlError;
use crate::http::auth::Viewer;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::inventory::ObjectKind;
use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

/// Routes of this group. Words that could be a noun's or an object's name stand where none can.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/inventory", get(async |_: Viewer| Redirect::to("/inventory/nodes")))
        .merge(list::router())
        .merge(object::router())
        .merge(node::router())
        .merge(editor::router())
        .merge(past::router())
        .merge(search::router())
        .merge(bundles::router())
}

/// The kind that a noun of an address names.
fn kind(noun: &str) -> Result<ObjectKind, ApiError> {
    let found = ObjectKind::ALL.into_iter().find(|kind| kind.plural() == noun);
    found.ok_or_else(|| ControlError::not_found("page", noun).into())
}

/// The page of an object.
fn base(kind: ObjectKind, name: &str) -> String {
    format!("/inventory/{}/{name}", kind.plural())
}

/// What lists are called.
fn list_title(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Node => "Nodes",
        ObjectKind::Datacenter => "Datacenters",
        ObjectKind::Environment => "Environments",
        ObjectKind::Role => "Roles",
    }
}
