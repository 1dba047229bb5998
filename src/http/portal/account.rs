//! One's own account: password and API tokens; and, for admins, everyone's accounts.

use super::fields::Fields;
use super::view::{Look, done, field_errors, reshow};
use crate::control::ControlError;
use crate::http::auth::{Admin, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::{Actor, Role};
use crate::wire::auth::{LoginLink, NewToken, NewUser, TokenView, UserView};
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/account", get(show))
        .route("/account/password", post(set_password))
        .route("/account/tokens", post(create_token))
        .route("/account/tokens/{id}/revoke", post(revoke_token))
        .route("/users", get(list_users).post(create_user))
        .route("/users/{name}", post(change_user))
        .route("/users/{name}/link", post(create_link))
}

/// What an action on this page came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// A refusal.
    pub problem: Option<Problem>,
    /// A token that was just made, with its secret.
    pub token: Option<TokenView>,
    /// A link that was just made, and for whom.
    pub link: Option<(String, LoginLink)>,
    /// What was typed.
    pub typed: Fields,
}

async fn show(Viewer(actor): Viewer, State(state): State<AppState>, look: Look) -> Result<Response, ApiError> {
    account(&state, &look, &actor, &Outcome::default()).await
}

async fn account(state: &AppState, look: &Look, actor: &Actor, outcome: &Outcome) -> Result<Response, ApiError> {
    let user = state.control.whoami(actor).await?;
    let tokens = state.control.list_tokens(actor).await?;
    Ok(account_page(look, actor, &user, &tokens, outcome))
}

/// Renders the account's page.
pub fn account_page(look: &Look, actor: &Actor, user: &UserView, tokens: &[TokenView], outcome: &Outcome) -> Response {
    let roles: Vec<&str> = Role::ALL
        .into_iter()
        .filter(|role| actor.role() >= Some(*role))
        .map(Role::as_str)
        .collect();
    let context = json!({
            "user": user, "tokens": tokens, "roles": roles,
            "made": outcome.token,
            "problem": outcome.problem,
            "errors": outcome.problem.as_ref().map(field_errors).unwrap_or_default(),
            "typed": json!({
                "name": outcome.typed.text("name"),
                "role": outcome.typed.text("role"),
                "expires_in": outcome.typed.filled("expires_in").unwrap_or("90d")
    })
    });
    look.page_with(outcome.status(), "account.html", Some(actor), context)
}

impl Outcome {
    fn refused(error: ControlError, typed: Fields) -> Result<Self, ApiError> {
        Ok(Self {
            problem: Some(reshow(error)?),
            typed,
            ..Self::default()
        })
    }

    fn status(&self) -> StatusCode {
        let status = self.problem.as_ref().map_or(200, |problem| problem.status);
        StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
    }
}

async fn set_password(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    fields: Fields,
) -> Result<Response, ApiError> {
    let password = fields.text("password");
    let outcome = if password == fields.text("again") {
        state.control.set_password(&actor, password).await
    } else {
        Err(ControlError::field("again", "it is not the same as the first"))
    };
    match outcome {
        Ok(()) => Ok(done("/account", "password")),
        Err(error) => account(&state, &look, &actor, &Outcome::refused(error, Fields::default())?).await,
    }
}

async fn create_token(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    fields: Fields,
) -> Result<Response, ApiError> {
    let request = NewToken {
        name: fields.text("name").trim().to_owned(),
        role: fields.filled("role").and_then(|role| role.parse().ok()),
        expires_in: fields.filled("expires_in").map(str::to_owned),
    };
    // The secret is shown in the answer itself and nowhere else, so this is the one form that does not redirect.
    let outcome = match state.control.create_token(&actor, &request).await {
        Ok(token) => Outcome {
            token: Some(token),
            ..Outcome::default()
        },
        Err(error) => Outcome::refused(error, fields)?,
    };
    account(&state, &look, &actor, &outcome).await
}

async fn revoke_token(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    state.control.revoke_token(&actor, &id).await?;
    Ok(done("/account", "revoked"))
}

async fn list_users(Admin(actor): Admin, State(state): State<AppState>, look: Look) -> Result<Response, ApiError> {
    users(&state, &look, &actor, &Outcome::default()).await
}

async fn users(state: &AppState, look: &Look, actor: &Actor, outcome: &Outcome) -> Result<Response, ApiError> {
    let users = state.control.list_users(actor).await?;
    Ok(users_page(look, actor, &users, outcome))
}

/// Renders everyone's accounts.
pub fn users_page(look: &Look, actor: &Actor, users: &[UserView], outcome: &Outcome) -> Response {
    let context = json!({
            "users": users,
            "roles": Role::ALL.map(Role::as_str),
            "link": outcome.link.as_ref().map(|(name, link)| json!({ "name": name, "url": link.url, "expires_at": link.expires_at })),
            "problem": outcome.problem,
            "errors": outcome.problem.as_ref().map(field_errors).unwrap_or_default(),
            "typed": json!({
                "name": outcome.typed.text("name"),
                "role": outcome.typed.filled("role").unwrap_or("member")
    })
    });
    look.page_with(outcome.status(), "users.html", Some(actor), context)
}

async fn create_user(
    Admin(actor): Admin,
    State(state): State<AppState>,
    look: Look,
    fields: Fields,
) -> Result<Response, ApiError> {
    let request = NewUser {
        name: fields.text("name").trim().to_owned(),
        role: fields
            .filled("role")
            .and_then(|role| role.parse().ok())
            .unwrap_or(Role::Member),
    };
    let outcome = match state.control.create_user(&actor, &request).await {
        Ok(user) => {
            let link = state.control.create_login_link(&actor, &user.name).await?;
            Outcome {
                link: Some((user.name, link)),
                ..Outcome::default()
            }
        }
        Err(error) => Outcome::refused(error, fields)?,
    };
    users(&state, &look, &actor, &outcome).await
}

async fn change_user(
    Admin(actor): Admin,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let role = fields.filled("role").and_then(|role| role.parse().ok());
    let disabled = fields.filled("disabled").map(|value| value == "yes");
    match state.control.change_user(&actor, &name, role, disabled).await {
        Ok(_) => Ok(done("/users", "user")),
        Err(error) => users(&state, &look, &actor, &Outcome::refused(error, Fields::default())?).await,
    }
}

async fn create_link(
    Admin(actor): Admin,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let link = state.control.create_login_link(&actor, &name).await?;
    let outcome = Outcome {
        link: Some((name, link)),
        ..Outcome::default()
    };
    users(&state, &look, &actor, &outcome).await
}
