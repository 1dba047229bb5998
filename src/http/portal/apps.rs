//! Looking at apps: all, one with its neighbours, its history, its revisions.

use super::fields::{Fields, QueryFields};
use super::graph;
use super::history::{self, Thing, Wish};
use super::matrix;
use super::view::Look;
use crate::control::inventory::Where;
use crate::control::stacks::StackFilter;
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::wire::apps::{AppSummary, AppView, SchedulesView};
use crate::wire::inventory::{ObjectVersionView, RunningView};
use crate::wire::problem::Problem;
use crate::wire::stacks::StackView;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
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
    let (apps, refused) = match state.control.find_apps(&actor, q).await {
        Ok(apps) => (apps, None),
        // A query that is still being typed is no error of the page.
        Err(error) if ["query-invalid", "query-too-wide"].contains(&error.fault.code.as_str()) => {
            (Vec::new(), Some(Problem::from(error)))
        }
        Err(error) => return Err(error.into()),
    };
    let running = state.control.running(&actor, Where::default()).await?;
    Ok(list_page(&look, &actor, q, &apps, &running, refused.as_ref()))
}

/// Renders the list of apps that were found by `q`.
pub fn list_page(
    look: &Look,
    actor: &Actor,
    q: &str,
    apps: &[AppSummary],
    running: &[RunningView],
    refused: Option<&Problem>,
) -> Response {
    let counts = matrix::counts(running);
    look.page(
        "apps/list.html",
        Some(actor),
        json!({ "apps": apps, "q": q, "runs": counts, "refused": refused }),
    )
}

async fn show(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let control = &state.control;
    let app = match control.show_app(&actor, &name, None).await {
        // What was removed still has its history.
        Err(error) if error.fault.code == "not-found" && control.app_versions(&actor, &name).await.is_ok() => {
            return Ok(Redirect::to(&format!("/apps/{name}/versions")).into_response());
        }
        shown => shown?,
    };
    let filter = StackFilter {
        text: Some(name.clone()),
        limit: 100,
        ..StackFilter::default()
    };
    let here = Where {
        app: Some(&name),
        ..Where::default()
    };
    let mut page = AppPage {
        app,
        apps: control.list_apps(&actor, None, None).await?,
        stacks: control.list_stacks(&actor, &filter).await?.items,
        running: control.running(&actor, here).await?,
        schedules: control.app_schedules(&actor, &name).await?,
        versions: control.app_versions(&actor, &name).await?,
    };
    page.stacks.retain(|stack| stack.apps.iter().any(|a| a.app == name));
    Ok(app_page(&look, &actor, &page))
}

/// What an app's page shows.
#[derive(Debug, Clone)]
pub struct AppPage {
    /// The app.
    pub app: AppView,
    /// All apps, its neighbours among them.
    pub apps: Vec<AppSummary>,
    /// The staging stacks that run it.
    pub stacks: Vec<StackView>,
    /// Where it runs.
    pub running: Vec<RunningView>,
    /// What it runs by the clock.
    pub schedules: SchedulesView,
    /// Its history.
    pub versions: Vec<ObjectVersionView>,
}

/// Renders an app's page.
pub fn app_page(look: &Look, actor: &Actor, page: &AppPage) -> Response {
    // The text was accepted once, so it reads; a page without details is better than none all the same.
    let descriptor: serde_json::Value = serde_json::from_str(&page.app.descriptor).unwrap_or_default();
    let context = json!({
        "app": page.app,
        "spec": descriptor["spec"],
        "tags": descriptor["metadata"]["tags"],
        "links": descriptor["metadata"]["links"],
        "graph": graph::around(&page.app, &page.apps),
        "stacks": page.stacks,
        "matrix": matrix::of(&page.running),
        "schedules": page.schedules,
        "versions": page.versions,
    });
    look.page("apps/show.html", Some(actor), context)
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
    // Where one click brings it back.
    Ok(super::view::done(&format!("/apps/{name}/versions"), "removed"))
}
