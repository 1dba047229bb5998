//! What an address answers where no app does: what the stack waits for, why it does not serve, or that there is no such thing.
//!
//! Browsers get a page that follows the stack and gives way to the app once it serves; programs get a problem with the same
//! words, under a status that says whether to come back.

use super::forward::Failure;
use crate::control::doors::Door;
use crate::http::portal::timeline::Timeline;
use crate::http::portal::view::Look;
use crate::http::problem::{self, ApiError, wants_html};
use crate::http::protect::secure;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::fault::Fault;
use crate::model::sharing::Visitor;
use crate::model::stack::StackState;
use crate::wire::problem::Problem;
use crate::wire::stacks::StackView;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

// Told to the page's script, which fetches the page again: the app's own pages do not have it.
const WAITING: HeaderName = HeaderName::from_static("x-greenroom-waiting");
const READER: Actor = Actor::system("proxy");

/// What of a request decides how it is answered.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Whether a page is wanted, rather than data.
    pub html: bool,
}

impl About {
    /// What decides it for a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            html: wants_html(headers),
        }
    }
}

/// Says what a stack that does not serve waits for.
pub async fn show(state: &AppState, door: &Door, visitor: &Visitor, about: &About) -> Response {
    let stack = state.control.show_stack(&READER, door.stack.as_str()).await.ok();
    let (code, what, retry) = match door.state {
        StackState::Building => ("not-serving", "is getting ready", Some(3)),
        StackState::Ready | StackState::Tainted | StackState::Updating => ("not-serving", "has no server now", Some(5)),
        StackState::Starting => ("not-serving", "is waking up", Some(3)),
        StackState::Stopping => ("not-serving", "is going to sleep", Some(5)),
        StackState::Stopped => ("not-serving", "sleeps", None),
        StackState::Failed => ("not-serving", "could not be started", None),
        StackState::Destroying => ("not-found", "is being taken down", None),
        StackState::Destroyed => ("not-found", "is gone", None),
    };
    let mut fault = Fault::new(code, format!("{} {what}", door.stack_name));
    let waits = stack
        .as_ref()
        .and_then(|stack| stack.run.as_ref())
        .map(|run| run.waiting_for.clone());
    if let Some(waits) = waits.filter(|_| retry.is_some()) {
        fault = fault.why(waits);
    }
    let mut response = if about.html {
        let kind = json!({ "kind": "stack", "what": what, "live": retry.is_some() });
        page(state, problem_status(code), Some((door, visitor, stack.as_ref())), kind)
    } else {
        problem::json(&Problem::from(fault))
    };
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    finish(state, response)
}

/// Says that an app does not answer, although its stack serves.
pub async fn unreachable(state: &AppState, door: &Door, visitor: &Visitor, about: &About, failure: &Failure) -> Response {
    let code = match failure {
        Failure::Broken(_) => "app-unreachable",
        Failure::Slow => "timed-out",
    };
    let fault = Fault::new(code, format!("{} does not answer", door.app)).why(failure);
    tracing::warn!(label = door.label, why = %failure, "an app did not answer");
    let response = if about.html {
        let stack = state.control.show_stack(&READER, door.stack.as_str()).await.ok();
        let kind = json!({ "kind": "app", "why": fault.why, "live": false });
        page(state, problem_status(code), Some((door, visitor, stack.as_ref())), kind)
    } else {
        problem::json(&Problem::from(fault))
    };
    finish(state, response)
}

/// Says that there is no such address.
pub fn unknown(state: &AppState, about: &About, label: &str) -> Response {
    let error = ApiError::new("not-found", format!("There is no app at the address `{label}`"));
    refused(state, about, error.problem())
}

/// Says why a request is not passed on.
pub fn refused(state: &AppState, about: &About, problem: &Problem) -> Response {
    let response = if about.html {
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        page(
            state,
            status,
            None,
            json!({ "kind": "problem", "problem": problem, "live": false }),
        )
    } else {
        problem::json(problem)
    };
    finish(state, response)
}

fn problem_status(code: &'static str) -> StatusCode {
    ApiError::new(code, "").status()
}

fn finish(state: &AppState, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(WAITING, HeaderValue::from_static("1"));
    secure(state, headers);
    response
}

fn page(
    state: &AppState,
    status: StatusCode,
    about: Option<(&Door, &Visitor, Option<&StackView>)>,
    mut context: Value,
) -> Response {
    let look = Look {
        theme: "auto",
        path: String::new(),
        now: state.control.now(),
        said: None,
        bare: false,
    };
    context["portal"] = json!(state.public_url);
    if let Some((door, visitor, stack)) = about {
        let run = stack.and_then(|stack| stack.run.as_ref());
        let services = stack.and_then(|stack| stack.apps.iter().find(|app| app.app == door.app.as_str()));
        context["door"] = json!({ "stack": door.stack_name, "id": door.stack, "app": door.app, "title": door.title,
            "owner": door.owner_name, "state": door.state });
        context["timeline"] = json!(run.map(|run| Timeline::of(run, look.now)));
        // Guests and strangers see how far it is; what went wrong inside is for those who can do something about it.
        context["wake"] = json!(door.state == StackState::Stopped && *visitor != Visitor::Stranger);
        context["inside"] = json!(matches!(visitor, Visitor::Account { .. }));
        context["fault"] = json!(stack.and_then(|stack| stack.fault.as_ref()));
        context["services"] = json!(services.map(|app| &app.services));
    }
    look.page_with(status, "proxy/page.html", None, context)
}
