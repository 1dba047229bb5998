//! The portal's pages. They have no fallback of their own: an unknown address is answered by the router above.

use super::state::AppState;
use crate::wire::problem::Problem;
use axum::Router;
use axum::response::Response;

/// All pages, their assets and their forms.
pub fn router() -> Router<AppState> {
    Router::new()
}

/// The page that shows an error to a person: wrong role, no such page, another site's form, a mistake of ours.
pub fn problem_page(_state: &AppState, problem: &Problem) -> Response {
    super::problem::json(problem)
}
