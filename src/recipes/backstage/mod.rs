//! Backstage's catalogue, out and in: apps are Components, their databases Resources, their systems Systems.
//!
//! What Backstage has no place for travels in annotations (`greenroom.dev/…`), so that an exported app comes back as what it
//! was as far as Backstage can say it. The format: <https://backstage.io/docs/features/software-catalog/descriptor-format>.

mod export;
mod import;

pub use export::export;
pub use import::{Defaults, Imported, import};

const APP: &str = "greenroom.dev/app";
const OPS_OWNER: &str = "greenroom.dev/ops-owner";
const RECIPES: &str = "greenroom.dev/recipes";
const DEFAULT_REF: &str = "greenroom.dev/default-ref";
const SOURCE: &str = "backstage.io/source-location";
