//! The page on which a stack is shared.

use super::fields::Fields;
use super::view::{Look, done, reshow};
use crate::http::auth::{Member, Viewer};
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::model::sharing::{ShareLevel, Visibility};
use crate::wire::problem::Problem;
use crate::wire::sharing::{GuestLinkView, NewGuestLink, RenewGuestLink, Share, SharingRequest, SharingView};
use crate::wire::stacks::StackView;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/stacks/{id}/share", get(show).post(change))
        .route("/stacks/{id}/share/links", post(create_link))
        .route("/stacks/{id}/share/links/{link}/renew", post(renew_link))
        .route("/stacks/{id}/share/links/{link}/end", post(end_link))
}

/// What the page shows besides who may look: a link that was just made, or what was refused and what was typed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The link.
    pub made: Option<GuestLinkView>,
    /// Why something was refused.
    pub problem: Option<Problem>,
    /// The fields of the refused form.
    pub typed: Fields,
}

async fn show(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    page(&state, &look, &actor, &id, Outcome::default()).await
}

async fn page(state: &AppState, look: &Look, actor: &Actor, id: &str, outcome: Outcome) -> Result<Response, ApiError> {
    let stack = state.control.show_stack(actor, id).await?;
    let sharing = state.control.show_sharing(actor, &stack.id).await?;
    Ok(share_page(look, actor, &stack, &sharing, &outcome))
}

/// Renders it.
pub fn share_page(look: &Look, actor: &Actor, stack: &StackView, sharing: &SharingView, outcome: &Outcome) -> Response {
    let problem = outcome.problem.as_ref();
    let status = problem
        .and_then(|problem| StatusCode::from_u16(problem.status).ok())
        .unwrap_or(StatusCode::OK);
    let context = json!({
        "stack": stack, "sharing": sharing, "made": outcome.made, "problem": problem,
        "typed": json!({ "person": outcome.typed.text("person"), "name": outcome.typed.text("name"),
            "expires_in": outcome.typed.filled("expires_in").unwrap_or("7d") }),
    });
    look.page_with(status, "stacks/share.html", Some(actor), context)
}

async fn change(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let level = fields.filled("level").and_then(|level| level.parse().ok());
    let person = fields.filled("person").map(|name| Share {
        name: name.to_owned(),
        level: level.unwrap_or(ShareLevel::View),
    });
    let request = SharingRequest {
        visibility: fields.filled("visibility").and_then(|text| text.parse::<Visibility>().ok()),
        share: person.into_iter().collect(),
        unshare: fields.filled("unshare").map(str::to_owned).into_iter().collect(),
    };
    match state.control.change_sharing(&actor, &id, &request).await {
        Ok(_) => Ok(done(&format!("/stacks/{id}/share"), "shared")),
        Err(error) => {
            let problem = Some(reshow(error)?);
            let outcome = Outcome {
                problem,
                typed: fields,
                made: None,
            };
            page(&state, &look, &actor, &id, outcome).await
        }
    }
}

// The secret is shown in the answer itself and nowhere else, so these forms do not redirect.
async fn create_link(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let request = NewGuestLink {
        name: fields.text("name").to_owned(),
        expires_in: fields.filled("expires_in").map(str::to_owned),
    };
    let made = state.control.create_guest_link(&actor, &id, &request).await;
    let outcome = match made {
        Ok(link) => Outcome {
            made: Some(link),
            ..Outcome::default()
        },
        Err(error) => Outcome {
            problem: Some(reshow(error)?),
            typed: fields,
            made: None,
        },
    };
    page(&state, &look, &actor, &id, outcome).await
}

async fn renew_link(
    Member(actor): Member,
    State(state): State<AppState>,
    look: Look,
    Path((id, link)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let request = RenewGuestLink::default();
    let made = state.control.renew_guest_link(&actor, &id, &link, &request).await?;
    let outcome = Outcome {
        made: Some(made),
        ..Outcome::default()
    };
    page(&state, &look, &actor, &id, outcome).await
}

async fn end_link(
    Member(actor): Member,
    State(state): State<AppState>,
    Path((id, link)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    state.control.revoke_guest_link(&actor, &id, &link).await?;
    Ok(done(&format!("/stacks/{id}/share"), "link-ended"))
}
