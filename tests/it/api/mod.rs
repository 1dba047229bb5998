//! The HTTP surface: who may do what, how errors look, accounts, event streams, the document.

mod accounts;
mod agents;
pub(crate) mod app_history;
mod apps;
mod authorisation;
mod boots;
mod bundles;
mod document;
mod enrol;
mod events;
mod fleet_plans;
mod herd;
mod inventory;
mod problems;
mod runs;
mod secrets;
pub(crate) mod server;
