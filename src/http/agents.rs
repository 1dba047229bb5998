//! What agents ask, under `/agent/v1`; the calls are described in [`crate::wire::agent`].

use super::state::AppState;
use axum::Router;

/// The agents' routes.
pub fn router() -> Router<AppState> {
    Router::new()
}
