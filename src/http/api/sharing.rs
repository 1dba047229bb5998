//! Who may look at a stack's apps.

use crate::http::auth::{Member, Viewer};
use crate::http::extract::{Json as JsonBody, Path};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::sharing::{GuestLinkView, NewGuestLink, RenewGuestLink, SharingRequest, SharingView};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

/// Shows to whom a stack's apps are open, with whom it is shared, and its guest links.
#[utoipa::path(
    get, path = "/api/v1/stacks/{id}/sharing", tag = "sharing",
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["viewer"])),
    responses((status = 200, description = "Who may look", body = SharingView))
)]
pub async fn show_sharing(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<SharingView>, ApiError> {
    Ok(Json(state.control.show_sharing(&actor, &id).await?))
}

/// Changes who may look; what is absent stays.
#[utoipa::path(
    patch, path = "/api/v1/stacks/{id}/sharing", tag = "sharing", request_body = SharingRequest,
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 200, description = "Who may look now", body = SharingView))
)]
pub async fn change_sharing(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<SharingRequest>,
) -> Result<Json<SharingView>, ApiError> {
    Ok(Json(state.control.change_sharing(&actor, &id, &request).await?))
}

/// Makes a link for someone without an account. Its addresses are shown this once.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/guest-links", tag = "sharing", request_body = NewGuestLink,
    params(("id" = String, Path, description = "Id or name")), security(("token" = ["member"])),
    responses((status = 201, description = "The link with its addresses", body = GuestLinkView))
)]
pub async fn create_guest_link(
    Member(actor): Member,
    State(state): State<AppState>,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<NewGuestLink>,
) -> Result<(StatusCode, Json<GuestLinkView>), ApiError> {
    let link = state.control.create_guest_link(&actor, &id, &request).await?;
    Ok((StatusCode::CREATED, Json(link)))
}

/// Gives a guest link another secret; the old one is worth nothing from then on.
#[utoipa::path(
    post, path = "/api/v1/stacks/{id}/guest-links/{link}/renew", tag = "sharing", request_body = RenewGuestLink,
    params(("id" = String, Path, description = "Id or name"), ("link" = String, Path, description = "The link's id")),
    security(("token" = ["member"])),
    responses((status = 200, description = "The link with its new addresses", body = GuestLinkView))
)]
pub async fn renew_guest_link(
    Member(actor): Member,
    State(state): State<AppState>,
    Path((id, link)): Path<(String, String)>,
    JsonBody(request): JsonBody<RenewGuestLink>,
) -> Result<Json<GuestLinkView>, ApiError> {
    Ok(Json(state.control.renew_guest_link(&actor, &id, &link, &request).await?))
}

/// Ends a guest link.
#[utoipa::path(
    delete, path = "/api/v1/stacks/{id}/guest-links/{link}", tag = "sharing",
    params(("id" = String, Path, description = "Id or name"), ("link" = String, Path, description = "The link's id")),
    security(("token" = ["member"])),
    responses((status = 204, description = "It is worth nothing now"))
)]
pub async fn revoke_guest_link(
    Member(actor): Member,
    State(state): State<AppState>,
    Path((id, link)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    state.control.revoke_guest_link(&actor, &id, &link).await?;
    Ok(StatusCode::NO_CONTENT)
}
