//! Words for people who are stuck: error pages, what a code means, how to use the API and the CLI; and who did what.

use super::fields::QueryFields;
use super::view::Look;
use crate::http::auth::{MaybeUser, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::fault::{CATALOGUE, explain};
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

const PAGE: i64 = 60;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/errors", get(list_codes))
        .route("/errors/{code}", get(show_code))
        .route("/help", get(show_help))
        .route("/activity", get(show_activity))
}

/// Renders an error as a page, for someone where it is known who asks.
pub fn problem_page(look: &Look, actor: Option<&Actor>, problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match look.render("help/problem.html", actor, json!({ "problem": problem })) {
        Ok(html) => {
            let html = axum::response::Html(html);
            axum::response::IntoResponse::into_response((status, html))
        }
        // Where even this page fails, the same as text must do.
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the error page could not be rendered");
            crate::http::problem::json(problem)
        }
    }
}

async fn list_codes(MaybeUser(actor): MaybeUser, look: Look) -> Response {
    look.page("help/codes.html", actor.as_ref(), json!({ "codes": CATALOGUE }))
}

async fn show_code(MaybeUser(actor): MaybeUser, look: Look, Path(code): Path<String>) -> Result<Response, ApiError> {
    let entry = explain(&code).ok_or_else(|| ApiError::new("not-found", "There is no such code"))?;
    Ok(look.page("help/code.html", actor.as_ref(), json!({ "entry": entry })))
}

async fn show_help(Viewer(actor): Viewer, State(state): State<AppState>, look: Look) -> Response {
    let context = json!({ "url": &*state.public_url });
    look.page("help/help.html", Some(&actor), context)
}

async fn show_activity(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let before = query.filled("before").and_then(|before| before.parse().ok());
    let subject = query.filled("subject");
    let rows = state.control.audit(&actor, subject, before, PAGE).await?;
    let full = i64::try_from(rows.len()).is_ok_and(|count| count == PAGE);
    let next = rows.last().filter(|_| full).map(|row| row.revision);
    let context = json!({ "rows": rows, "next": next, "subject": subject, "further": before.is_some() });
    Ok(look.page("help/activity.html", Some(&actor), context))
}
