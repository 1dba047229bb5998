//! The JSON API under `/api/v1`, documented as it is routed.

use super::sse;
use super::state::AppState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// All routes with their document.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(sse::stream_events))
}
