//! Accounts: one's own, and for admins everyone's.

use super::apps::PageQuery;
use super::page::{Paged, cut, limit};
use crate::http::auth::{Admin, Viewer};
use crate::http::extract::{Json as JsonBody, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::Page;
use crate::wire::auth::{ChangeUser, LoginLink, NewPassword, NewUser, UserView};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};

/// Shows one's own account. A token may be allowed less than the role that is shown.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "me", security(("token" = ["viewer"])),
    responses((status = 200, description = "The account", body = UserView))
)]
pub async fn show_me(Viewer(actor): Viewer, State(state): State<AppState>) -> Result<Json<UserView>, ApiError> {
    Ok(Json(state.control.whoami(&actor).await?))
}

/// Sets one's own password.
#[utoipa::path(
    post, path = "/api/v1/me/password", tag = "me", request_body = NewPassword, security(("token" = ["viewer"])),
    responses((status = 204, description = "It is set"))
)]
pub async fn set_password(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewPassword>,
) -> Result<StatusCode, ApiError> {
    state.control.set_password(&actor, &request.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs one's own account out of every browser. Tokens go on working.
#[utoipa::path(
    delete, path = "/api/v1/me/sessions", tag = "me", security(("token" = ["viewer"])),
    responses((status = 204, description = "No browser is signed in"))
)]
pub async fn end_sessions(Viewer(actor): Viewer, State(state): State<AppState>) -> Result<StatusCode, ApiError> {
    state.control.sign_out_everywhere(&actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists accounts by name.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", params(PageQuery), security(("token" = ["admin"])),
    responses((status = 200, description = "A page of accounts", body = Page<UserView>))
)]
pub async fn list_users(
    Admin(actor): Admin,
    State(state): State<AppState>,
    uri: Uri,
    Query(query): Query<PageQuery>,
) -> Result<Paged<UserView>, ApiError> {
    let limit = limit(query.limit)?;
    let mut users = state.control.list_users(&actor).await?;
    // Databases order text each in their own way; cursors need one.
    users.sort_by(|a, b| a.name.cmp(&b.name));
    let begin = query.cursor.map_or(0, |cursor| {
        users.partition_point(|user| user.name.as_str() <= cursor.as_str())
    });
    Ok(Paged::new(cut(users, begin, limit, |_, user| user.name.clone()), &uri))
}

/// Makes an account. It has no password; a login link lets its person in.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", request_body = NewUser, security(("token" = ["admin"])),
    responses((status = 201, description = "The account", body = UserView))
)]
pub async fn create_user(
    Admin(actor): Admin,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewUser>,
) -> Result<(StatusCode, Json<UserView>), ApiError> {
    Ok((StatusCode::CREATED, Json(state.control.create_user(&actor, &request).await?)))
}

/// Changes an account's role, or disables or enables it. The last admin stays one.
#[utoipa::path(
    patch, path = "/api/v1/users/{name}", tag = "users", request_body = ChangeUser,
    params(("name" = String, Path, description = "The account")), security(("token" = ["admin"])),
    responses((status = 200, description = "The account", body = UserView))
)]
pub async fn change_user(
    Admin(actor): Admin,
    State(state): State<AppState>,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<ChangeUser>,
) -> Result<Json<UserView>, ApiError> {
    let user = state
        .control
        .change_user(&actor, &name, request.role, request.disabled)
        .await?;
    Ok(Json(user))
}

/// Makes a one-time sign-in link: an admin for anyone, else for oneself.
#[utoipa::path(
    post, path = "/api/v1/users/{name}/login-links", tag = "users",
    params(("name" = String, Path, description = "The account")), security(("token" = ["viewer"])),
    responses((status = 201, description = "The link, shown only here", body = LoginLink))
)]
pub async fn create_login_link(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<LoginLink>), ApiError> {
    Ok((
        StatusCode::CREATED,
        Json(state.control.create_login_link(&actor, &name).await?),
    ))
}
