//! What runs on the engine: one file a plan. Pure: from what was asked for to a graph of steps.

pub mod bake_image;
pub mod destroy_stack;
pub mod launch_stack;
pub mod rebuild_stack;
pub mod start_stack;
pub mod stop_stack;
pub mod update_stack;

pub use crate::steps::bundles::Bundles;
pub use crate::steps::create_node::WantedImage;
pub use crate::steps::{basis, fleet, production, view};
