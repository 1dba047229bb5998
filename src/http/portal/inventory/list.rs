//! Lists of nodes, datacenters, environments and roles, found while one types.

use super::super::fields::QueryFields;
use super::super::view::Look;
use super::{kind, list_title};
use crate::http::auth::Viewer;
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::inventory::{Node, ObjectKind};
use crate::wire::Page;
use crate::wire::agents::AgentView;
use crate::wire::inventory::ObjectView;
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: usize = 50;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new().route("/inventory/{noun}", get(list))
}

/// What a list shows.
#[derive(Debug, Clone)]
pub struct List {
    /// Of what.
    pub kind: ObjectKind,
    /// What was typed.
    pub q: String,
    /// The objects.
    pub page: Page<ObjectView>,
    /// Whether this is a further page.
    pub further: bool,
    /// The agents of the page's nodes.
    pub agents: BTreeMap<String, AgentView>,
    /// Why the query cannot be read.
    pub refused: Option<Problem>,
}

async fn list(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(noun): Path<String>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let (q, cursor) = (query.text("q").trim().to_owned(), query.filled("cursor"));
    let (page, refused) = match state.control.find_objects(&actor, kind, &q, cursor, PAGE).await {
        Ok(page) => (page, None),
        // A query that is still being typed is no error of the page.
        Err(error) if ["query-invalid", "query-too-wide"].contains(&error.fault.code.as_str()) => {
            (nothing(), Some(Problem::from(error)))
        }
        Err(error) => return Err(error.into()),
    };
    let names: Vec<&str> = page.items.iter().map(|object| object.name.as_str()).collect();
    let agents = match kind {
        ObjectKind::Node => state.control.agents_of(&actor, &names).await?,
        _ => BTreeMap::new(),
    };
    let further = cursor.is_some();
    let list = List {
        kind,
        q,
        page,
        further,
        agents,
        refused,
    };
    Ok(list_page(&look, &actor, &list))
}

fn nothing() -> Page<ObjectView> {
    Page {
        items: Vec::new(),
        next: None,
        total: 0,
    }
}

/// Renders a list.
pub fn list_page(look: &Look, actor: &Actor, list: &List) -> Response {
    // Maintenance may have ended by itself.
    let resting: BTreeSet<&str> = list
        .page
        .items
        .iter()
        .filter(|object| serde_json::from_value::<Node>(object.body.clone()).is_ok_and(|node| node.is_in_maintenance(look.now)))
        .map(|object| object.name.as_str())
        .collect();
    let context = json!({
        "kind": list.kind.as_str(),
        "noun": list.kind.plural(),
        "title": list_title(list.kind),
        "q": list.q,
        "objects": list.page.items,
        "total": list.page.total,
        "next": list.page.next,
        "further": list.further,
        "agents": list.agents,
        "resting": resting,
        "refused": list.refused,
    });
    look.page("inventory/list.html", Some(actor), context)
}
