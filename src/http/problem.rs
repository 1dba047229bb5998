//! Errors on their way out: one type for all surfaces, and one place that decides how it looks.
//!
//! A handler gives an [`ApiError`]; [`render`] writes it: problem+json under `/api` and `/agent` and for programs, else a
//! page, and a redirect to the sign-in page for someone who is not signed in.

use super::state::AppState;
use super::trace::RequestId;
use super::{auth, portal};
use crate::control::ControlError;
use crate::model::actor::Actor;
use crate::model::address::encode;
use crate::wire::problem::Problem;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use std::any::Any;
use std::sync::Arc;

/// An error answer.
#[derive(Debug, Clone)]
pub struct ApiError(Arc<Problem>);

impl ApiError {
    /// An error under a code of the catalogue.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        ControlError::new(code, what).into()
    }

    /// What it says.
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    /// The HTTP status it is sent with.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Arc::new(problem))
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What a panic in a handler becomes. Its message goes to the log only.
#[expect(clippy::needless_pass_by_value, reason = "the shape that the layer calls")]
pub fn from_panic(cause: Box<dyn Any + Send + 'static>) -> Response {
    let message = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(message, "a handler panicked");
    ApiError::new("internal", "The request could not be answered").into_response()
}

/// Writes error answers in the form that the asker understands.
pub async fn render(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let asker = Asker::of(&state, &request);
    // A program's error looks the same whoever asks.
    let headers = asker.look.is_some().then(|| request.headers().clone());
    let mut response = next.run(request).await;
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
        return response;
    };
    // The page keeps its frame for whoever is signed in: what went wrong with one thing is no reason to lose the others.
    let actor = match headers {
        Some(headers) => auth::recognise(&headers, &state).await,
        None => None,
    };
    let mut answer = asker.answer(&error.0, actor.as_ref());
    // What the handler said besides, such as `Allow` or a cookie, stays true.
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    answer
}

// What of a request decides how its error looks.
struct Asker {
    method: Method,
    path_and_query: String,
    // How a page looks for whoever asks; a program is not shown one.
    look: Option<portal::view::Look>,
    request_id: Option<String>,
}

impl Asker {
    fn of(state: &AppState, request: &Request) -> Self {
        let path = request.uri().path();
        let machine = path.starts_with("/api/") || path.starts_with("/agent/") || !wants_html(request.headers());
        Self {
            method: request.method().clone(),
            path_and_query: request.uri().path_and_query().map_or(path, |p| p.as_str()).to_owned(),
            look: (!machine).then(|| portal::view::Look::of(request.headers(), request.uri(), state.control.now())),
            request_id: request.extensions().get::<RequestId>().map(|id| id.0.clone()),
        }
    }

    fn answer(&self, problem: &Problem, actor: Option<&Actor>) -> Response {
        let mut problem = problem.clone();
        problem.request_id.clone_from(&self.request_id);
        if problem.status >= 500 {
            tracing::error!(code = problem.code, detail = problem.detail, "the request failed");
        }
        let Some(look) = &self.look else {
            return json(&problem);
        };
        if problem.code == "not-signed-in" {
            return self.to_sign_in();
        }
        portal::problem_page(look, actor, &problem)
    }

    fn to_sign_in(&self) -> Response {
        if matches!(self.method, Method::GET | Method::HEAD) && self.path_and_query != "/" {
            Redirect::to(&format!("/sign-in?next={}", encode(&self.path_and_query))).into_response()
        } else {
            Redirect::to("/sign-in").into_response()
        }
    }
}

/// Whether a request asks for a page, rather than data.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// A problem as problem+json.
pub fn json(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if problem.code == "too-busy" {
        // Each is told another time, so that they do not come back together.
        headers.insert(header::RETRY_AFTER, HeaderValue::from(rand::random_range(2..=10_u16)));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
