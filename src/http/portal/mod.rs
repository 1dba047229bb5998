//! The portal's pages, one file a group. They have no fallback of their own: an unknown address is answered by the router
//! above.
//!
//! Every page works as plain links and forms. The script makes it live: it hears which topics changed, fetches the page
//! again (or the one part it wants) and puts what differs in place. Handlers here fetch and redirect; [`view`] renders.
//! Invariant: a form that is refused comes back with everything that was typed.

pub mod account;
pub mod apps;
pub mod assets;
pub mod change;
pub mod editor;
pub mod enter;
pub mod fields;
pub mod format;
pub mod graph;
pub mod help;
pub mod history;
pub mod inventory;
pub mod launch;
pub mod lines;
pub mod matrix;
pub mod presets;
pub mod runs;
pub mod share;
pub mod sign_in;
pub mod stacks;
pub mod timeline;
pub mod view;

use super::state::AppState;
use axum::Router;

pub use help::problem_page;

/// All pages, their assets and their forms.
pub fn router() -> Router<AppState> {
    Router::new()
        .merge(assets::router())
        .merge(sign_in::router())
        .merge(enter::router())
        .merge(stacks::router())
        .merge(launch::router())
        .merge(share::router())
        .merge(change::router())
        .merge(presets::router())
        .merge(runs::router())
        .merge(apps::router())
        .merge(editor::router())
        .merge(inventory::router())
        .merge(account::router())
        .merge(help::router())
}
