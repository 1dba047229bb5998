//! Looking at apps: all, one with its neighbours, its history, its revisions.

use super::fields::{Fields, QueryFields};
use super::graph;
use super::history::{self, Thing, Wish};
use super::view::Look;
use crate::control::stacks::StackFilter;
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::wire::apps::{AppSummary, AppView};
use crate::wire::inventory::ObjectVersionView;
use crate::wire::stacks::StackView;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/apps", get(list))
        .route("/apps/{name}", get(show))
        .route("/apps/{name}/versions", get(show_versions))
        .route("/apps/{name}/diff", get(show_diff))
        .route("/apps/{name}/restore", post(restore))
        .route("/apps/{name}/revisions", get(show_revisions))
        .route("/apps/{name}/remove", post(remove))
}

async fn list(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let q = query.text("q").trim();
    let apps = state.control.list_apps(&actor, Some(q), None).await?;
    Ok(look.page("apps/list.html", Some(&actor), json!({ "apps": apps, "q": q })))
}

async fn show(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let app = state.control.show_app(&actor, &name, None).await?;
    let apps = state.control.list_apps(&actor, None, None).await?;
    let filter = StackFilter {
        text: Some(name.clone()),
        limit: 100,
        ..StackFilter::default()
    };
    let mut stacks = state.control.list_stacks(&actor, &filter).await?.items;
    stacks.retain(|stack| stack.apps.iter().any(|a| a.app == name));
    let versions = state.control.app_versions(&actor, &name).await?;
    Ok(app_page(&look, &actor, &app, &apps, &stacks, &versions))
}

/// Renders an app's page.
pub fn app_page(
    look: &Look,
    actor: &Actor,
    app: &AppView,
    apps: &[AppSummary],
    stacks: &[StackView],
    versions: &[ObjectVersionView],
) -> Response {
    // The text was accepted once, so it reads; a page without details is better than none all the same.
    let descriptor: serde_json::Value = serde_json::from_str(&app.descriptor).unwrap_or_default();
    let spec = descriptor.get("spec").cloned().unwrap_or_default();
    let graph = graph::around(app, apps);
    look.page(
        "apps/show.html",
        Some(actor),
        json!({ "app": app, "spec": spec, "graph": graph, "stacks": stacks, "versions": versions }),
    )
}

fn thing(name: &str) -> Thing<'_> {
    Thing {
        kind: "app",
        name,
        list: "/apps",
        list_title: "Apps",
        base: format!("/apps/{name}"),
    }
}

async fn show_versions(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let versions = state.control.app_versions(&actor, &name).await?;
    Ok(history::history_page(&look, &actor, &thing(&name), &versions, &query))
}

async fn show_diff(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let (from, to) = history::ends(&query)?;
    let diff = state.control.app_diff(&actor, &name, from, to).await?;
    let versions = state.control.app_versions(&actor, &name).await?;
    Ok(history::diff_page(&look, &actor, &thing(&name), &versions, &diff))
}

async fn restore(
    Operator(actor): Operator,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let wish = Wish::of(&fields)?;
    match state.control.restore_app(&actor, &name, wish.version, wish.present).await {
        Ok(_) => Ok(super::view::done(&format!("/apps/{name}"), "restored")),
        Err(error) if error.fault.code == "not-found" => Err(error.into()),
        Err(error) => {
            let versions = state.control.app_versions(&actor, &name).await?;
            history::not_restored(&look, &actor, &thing(&name), &versions, wish, error)
        }
    }
}

// `pick` turns the list into choices for the form that asks, which is where the script puts it.
async fn show_revisions(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let fresh = query.filled("fresh").is_some();
    let (revisions, unreadable) = match state.control.app_revisions(&actor, &name, fresh).await {
        Ok(revisions) => (revisions, None),
        Err(error) if error.fault.code == "repository-unreachable" => (Vec::new(), Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let pick = query.filled("pick").is_some();
    let chosen = query.text("chosen");
    let context = json!({ "name": name, "revisions": revisions, "unreadable": unreadable, "pick": pick, "chosen": chosen });
    Ok(look.page("apps/revisions.html", Some(&actor), context))
}

async fn remove(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    state.control.remove_app(&actor, &name, None).await?;
    Ok(super::view::done("/apps", "removed"))
}
