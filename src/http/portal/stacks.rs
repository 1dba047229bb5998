//! Looking at stacks: mine, everyone's, one.

use super::fields::QueryFields;
use super::timeline::Timeline;
use super::view::Look;
use crate::control::AuditRow;
use crate::control::stacks::StackFilter;
use crate::http::auth::Viewer;
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::{Actor, Role};
use crate::wire::Page;
use crate::wire::problem::Problem;
use crate::wire::runs::RunView;
use crate::wire::stacks::StackView;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use axum::routing::get;
use serde_json::json;

const PAGE: i64 = 25;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(async |_: Viewer| Redirect::to("/stacks")))
        .route("/stacks", get(list))
        .route("/stacks/{id}", get(show))
        .route("/search", get(search))
}

/// What a list of stacks was asked for.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Asked {
    /// Only the asker's.
    pub mine: bool,
    /// Also those that are gone.
    pub ended: bool,
    /// The searched text.
    pub q: String,
    /// Whether this is a further page.
    pub further: bool,
}

async fn list(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let mine = match query.text("tab") {
        "all" => false,
        "mine" => true,
        _ => actor.role() >= Some(Role::Member),
    };
    let filter = StackFilter {
        mine,
        ended: query.filled("ended").is_some(),
        text: query.filled("q").map(str::to_owned),
        cursor: query.filled("cursor").map(str::to_owned),
        limit: PAGE,
    };
    let page = state.control.list_stacks(&actor, &filter).await?;
    let other = StackFilter {
        mine: !mine,
        cursor: None,
        limit: 1,
        ..filter.clone()
    };
    let other = state.control.list_stacks(&actor, &other).await?.total;
    let asked = Asked {
        mine,
        ended: filter.ended,
        q: filter.text.unwrap_or_default(),
        further: filter.cursor.is_some(),
    };
    Ok(list_page(&look, &actor, &page, other, &asked))
}

/// The page with stacks; `other` is how many the other tab has.
pub fn list_page(look: &Look, actor: &Actor, page: &Page<StackView>, other: i64, asked: &Asked) -> Response {
    let (mine, all) = if asked.mine {
        (page.total, other)
    } else {
        (other, page.total)
    };
    let context = json!({ "stacks": page.items, "next": page.next, "mine": mine, "all": all, "asked": asked });
    look.page("stacks/list.html", Some(actor), context)
}

async fn show(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    show_with(&state, &look, &actor, &id, None).await
}

/// What a stack's page is made of.
#[derive(Debug, Clone)]
pub struct StackPage {
    /// The stack.
    pub stack: StackView,
    /// All runs that worked on it, newest first.
    pub runs: Vec<RunView>,
    /// Who did what to it, newest first.
    pub audit: Vec<AuditRow>,
}

/// A stack's page; with what was refused and what was typed, after an action on it that failed.
pub async fn show_with(
    state: &AppState,
    look: &Look,
    actor: &Actor,
    id: &str,
    refused: Option<(&Problem, &str)>,
) -> Result<Response, ApiError> {
    let stack = state.control.show_stack(actor, id).await?;
    let runs = state.control.list_runs(actor, Some(&stack.id), None, 20).await?.items;
    let audit = state.control.audit(actor, Some(&stack.id), None, 30).await?;
    Ok(stack_page(look, actor, &StackPage { stack, runs, audit }, refused))
}

/// Renders a stack's page.
pub fn stack_page(look: &Look, actor: &Actor, page: &StackPage, refused: Option<(&Problem, &str)>) -> Response {
    let stack = &page.stack;
    let timeline = stack.run.as_ref().map(|run| Timeline::of(run, look.now));
    let status = refused
        .and_then(|(problem, _)| StatusCode::from_u16(problem.status).ok())
        .unwrap_or(StatusCode::OK);
    let context = json!({
            "stack": stack,
            "timeline": timeline,
            "runs": page.runs,
            "audit": page.audit,
            "problem": refused.map(|(problem, _)| problem),
            "typed": refused.map(|(_, typed)| typed)
    });
    look.page_with(status, "stacks/show.html", Some(actor), context)
}

// Every id is prefixed, so what is pasted says what it is.
async fn search(Viewer(actor): Viewer, State(state): State<AppState>, QueryFields(query): QueryFields) -> Redirect {
    let text = query.text("q").trim();
    let plain = text.len() <= 100 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if plain && text.starts_with("run_") {
        return Redirect::to(&format!("/runs/{text}"));
    }
    if plain && !text.is_empty() {
        if state.control.show_stack(&actor, text).await.is_ok() {
            return Redirect::to(&format!("/stacks/{text}"));
        }
        if state.control.show_app(&actor, text, None).await.is_ok() {
            return Redirect::to(&format!("/apps/{text}"));
        }
    }
    let query = super::fields::encode(text);
    Redirect::to(&format!("/stacks?tab=all&ended=1&q={query}"))
}
