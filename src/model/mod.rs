//! Values and their laws: ids, names, descriptors, configurations, plans, runs, stacks. No I/O, nothing of the other layers.

pub mod actor;
pub mod address;
pub mod configuration;
pub mod descriptor;
pub mod diagnostic;
pub mod excerpt;
pub mod fault;
pub mod forge;
pub mod id;
pub mod inventory;
pub mod name;
pub mod plan;
pub mod pool;
pub mod record;
pub mod run;
pub mod search;
pub mod secret;
pub mod sharing;
pub mod signature;
pub mod stack;
pub mod time;
