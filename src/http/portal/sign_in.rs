//! Signing in and out, and the light of the pages. Open to anyone.

use super::fields::{Fields, QueryFields};
use super::view::{Look, THEME_COOKIE, known_theme};
use crate::control::ControlError;
use crate::http::auth::{MaybeUser, clear_session_cookie, session_secret, set_session_cookie};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::protect::policy;
use crate::http::state::AppState;
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde_json::json;

const HOME: &str = "/stacks";

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-in/link/{secret}", get(show_link).post(use_link))
        .route("/sign-out", post(sign_out))
        .route("/theme", post(choose_theme))
}

async fn show(State(state): State<AppState>, MaybeUser(actor): MaybeUser, look: Look, query: QueryFields) -> Response {
    let next = query.0.text("next");
    if actor.is_some() {
        return Redirect::to(safe_next(next)).into_response();
    }
    onward(&state, next, form(&look, StatusCode::OK, "", next, None))
}

async fn sign_in(State(state): State<AppState>, look: Look, fields: Fields) -> Result<Response, ApiError> {
    let (name, next) = (fields.text("name").trim(), fields.text("next"));
    match state.control.sign_in(name, fields.text("password")).await {
        Ok(secret) => Ok((set_session_cookie(&state, &secret), Redirect::to(safe_next(next))).into_response()),
        Err(error) => {
            let problem = refused(error)?;
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::UNAUTHORIZED);
            Ok(onward(&state, next, form(&look, status, name, next, Some(&problem))))
        }
    }
}

// Signing in on the way to an app ends at the app's address, and browsers hold a form to where all its redirects lead.
fn onward(state: &AppState, next: &str, mut response: Response) -> Response {
    if next.starts_with("/enter?") {
        let apps = state.control.addresses().origin("*");
        if let Ok(policy) = HeaderValue::try_from(policy(&format!("'self' {apps}"))) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
    }
    response
}

/// The sign-in page.
pub fn form(look: &Look, status: StatusCode, name: &str, next: &str, problem: Option<&Problem>) -> Response {
    let context = json!({ "name": name, "next": safe_next(next), "problem": problem, "link": false });
    look.page_with(status, "sign_in.html", None, context)
}

// A one-time link is opened by mail scanners and previews too, so opening it alone does not use it up.
async fn show_link(look: Look, Path(_): Path<String>) -> Response {
    look.page("sign_in.html", None, json!({ "link": true, "problem": () }))
}

async fn use_link(State(state): State<AppState>, look: Look, Path(secret): Path<String>) -> Result<Response, ApiError> {
    match state.control.sign_in_with_link(&secret).await {
        Ok(secret) => Ok((set_session_cookie(&state, &secret), Redirect::to(HOME)).into_response()),
        Err(error) => {
            let problem = refused(error)?;
            let context = json!({ "link": true, "problem": problem });
            Ok(look.page_with(StatusCode::GONE, "sign_in.html", None, context))
        }
    }
}

fn refused(error: ControlError) -> Result<Problem, ApiError> {
    let problem = Problem::from(error);
    if problem.status < 500 {
        Ok(problem)
    } else {
        Err(problem.into())
    }
}

async fn sign_out(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    if let Some(secret) = session_secret(&state, &headers) {
        state.control.sign_out(&secret).await?;
    }
    Ok((clear_session_cookie(&state), Redirect::to("/sign-in")).into_response())
}

async fn choose_theme(State(state): State<AppState>, fields: Fields) -> Response {
    let theme = known_theme(fields.filled("theme"));
    let secure = if state.is_https() { "; Secure" } else { "" };
    let cookie = format!("{THEME_COOKIE}={theme}; Path=/; SameSite=Lax; Max-Age=31536000{secure}");
    let back = Redirect::to(safe_next(fields.text("next")));
    ([(header::SET_COOKIE, cookie)], back).into_response()
}

/// Where to go after signing in: only a path of this site, else the stacks.
pub fn safe_next(next: &str) -> &str {
    let local = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(['\\', '\n', '\r', '\t'])
        && !next.chars().any(char::is_control);
    let loops = next.starts_with("/sign-") || next == "/";
    if local && !loops { next } else { HOME }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_site_are_gone_back_to() {
        for good in ["/stacks/new?app=a@v1&size=small", "/runs/run_1#L4"] {
            assert_eq!(safe_next(good), good);
        }
        for bad in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: x",
            "/sign-in?next=/sign-in",
            "/sign-out",
        ] {
            assert_eq!(safe_next(bad), HOME, "{bad:?}");
        }
    }
}
