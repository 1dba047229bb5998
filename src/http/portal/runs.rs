//! Runs: all of them, one with its steps, the log of a step, and what a person says to a run.

use super::fields::{Fields, QueryFields};
use super::lines::{Lines, Place};
use super::timeline::Timeline;
use super::view::{Look, done, reshow};
use crate::http::auth::{Member, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::run::Signal;
use crate::wire::problem::Problem;
use crate::wire::runs::RunView;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

const PAGE: i64 = 40;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/runs", get(list))
        .route("/runs/{id}", get(show))
        .route("/runs/{id}/signal", post(signal))
        .route("/runs/{id}/steps/{step}", get(show_log))
}

async fn list(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let cursor = query.filled("cursor");
    let page = state.control.list_runs(&actor, None, cursor, PAGE).await?;
    let context = json!({ "runs": page.items, "total": page.total, "next": page.next, "further": cursor.is_some() });
    Ok(look.page("runs/list.html", Some(&actor), context))
}

async fn show(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let run = state.control.show_run(&actor, &id).await?;
    Ok(run_page(&look, &actor, &run, None))
}

/// Renders a run's page.
pub fn run_page(look: &Look, actor: &Actor, run: &RunView, problem: Option<&Problem>) -> Response {
    let status = problem
        .and_then(|p| StatusCode::from_u16(p.status).ok())
        .unwrap_or(StatusCode::OK);
    let context = json!({ "timeline": Timeline::of(run, look.now), "problem": problem });
    look.page_with(status, "runs/show.html", Some(actor), context)
}

async fn signal(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let reason = fields.filled("reason").unwrap_or_default().to_owned();
    let step = fields.filled("step").map(str::to_owned);
    let named = step.clone().unwrap_or_default();
    let signal = match fields.text("do") {
        "cancel" if reason.is_empty() => Signal::Cancel {
            reason: "cancelled in the portal".into(),
        },
        "cancel" => Signal::Cancel { reason },
        "retry" => Signal::Retry { step },
        "skip" => Signal::Skip { step: named, reason },
        "complete" => Signal::Complete { step: named, reason },
        "abandon" => Signal::Abandon { reason },
        _ => return Err(crate::control::ControlError::field("do", "there is no such action").into()),
    };
    match state.control.signal_run(&actor, &id, signal, None).await {
        Ok(_) => {
            let back = fields.filled("back").map_or("", super::sign_in::safe_next);
            let path = if back.starts_with("/stacks/") {
                back.to_owned()
            } else {
                format!("/runs/{id}")
            };
            Ok(done(&path, "signalled"))
        }
        Err(error) => {
            let problem = reshow(error)?;
            let run = state.control.show_run(&actor, &id).await?;
            Ok(run_page(&look, &actor, &run, Some(&problem)))
        }
    }
}

async fn show_log(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path((id, key)): Path<(String, String)>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let run = state.control.show_run(&actor, &id).await?;
    let mut log = Lines::from(Place::asked(&query));
    while log.add(&state.control.step_log(&actor, &id, &key, log.next).await?) {}
    let step = run.steps.iter().find(|step| step.key == key);
    // A step that ended says no more, though its run goes on; what it said last may take a moment to arrive.
    let over = step
        .and_then(|step| step.ended_at)
        .is_some_and(|end| look.now.since(end) > 10_000);
    log.open &= !over;
    let title = step.map_or(key.as_str(), |step| step.title.as_str());
    let context = json!({
            "title": title,
            "log": log,
            "topic": format!("log:{id}/{key}"),
            "source": format!("/runs/{id}/steps/{key}"),
            "back": json!({ "href": format!("/runs/{id}"), "text": run.title }),
            "step": step
    });
    Ok(look.page("runs/log.html", Some(&actor), context))
}
