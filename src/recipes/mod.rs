//! Recipes and descriptors: text in, node configuration or diagnostics out.
//!
//! Pure: nothing here knows the network, the store or a clock, and only `loader` reads files. The invariant: the
//! same bundle and view give the same configuration, byte by byte, wherever they are compiled.

pub mod backstage;
pub mod bundle;
pub mod changes;
mod compile;
mod cron;
pub mod descriptor;
pub mod inventory;
mod json;
pub mod lint;
pub mod loader;
pub mod params;
pub mod recipe;
pub mod reference;
mod references;
pub mod rules;
pub mod run_list;
pub mod schema;
pub mod shape;
pub mod targets;
pub mod template;
pub mod tree;
pub mod types;
pub mod values;
pub mod view;
mod yaml;

pub use bundle::Bundle;
pub use compile::{Compiled, NoSearch, Search, Searched, answer_hash, compile, compile_example, compile_with};

/// The JSON Schema of recipes, for editors; texts that hold `{{ … }}` are checked when they are compiled.
pub fn recipe_schema() -> serde_json::Value {
    schema::document(
        "https://greenroom.dev/schemas/recipe-v1.json",
        "Greenroom recipe",
        &shape::Shape::Record(&types::RECIPE),
    )
}
