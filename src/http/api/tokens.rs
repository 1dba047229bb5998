//! The asker's API tokens.

use super::apps::PageQuery;
use super::page::{Paged, cut, limit};
use crate::http::auth::Viewer;
use crate::http::extract::{Json as JsonBody, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::Page;
use crate::wire::auth::{NewToken, TokenView};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};

/// Lists one's own tokens, oldest first, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens", params(PageQuery), security(("token" = ["viewer"])),
    responses((status = 200, description = "A page of tokens", body = Page<TokenView>))
)]
pub async fn list_tokens(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    uri: Uri,
    Query(query): Query<PageQuery>,
) -> Result<Paged<TokenView>, ApiError> {
    let limit = limit(query.limit)?;
    let tokens = state.control.list_tokens(&actor).await?;
    let begin = query.cursor.map_or(0, |cursor| {
        tokens.partition_point(|token| token.id.as_str() <= cursor.as_str())
    });
    Ok(Paged::new(cut(tokens, begin, limit, |_, token| token.id.to_string()), &uri))
}

/// Makes a token. The answer is the only place its secret is ever shown.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", request_body = NewToken, security(("token" = ["viewer"])),
    responses((status = 201, description = "The token with its secret", body = TokenView))
)]
pub async fn create_token(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewToken>,
) -> Result<(StatusCode, Json<TokenView>), ApiError> {
    Ok((StatusCode::CREATED, Json(state.control.create_token(&actor, &request).await?)))
}

/// Revokes one of one's own tokens; an admin, anyone's.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path, description = "The token")),
    security(("token" = ["viewer"])),
    responses((status = 204, description = "It no longer works"))
)]
pub async fn revoke_token(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control.revoke_token(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
