//! Stories of the store, told to both databases.

pub(crate) mod inventory;
mod nodes;
pub(crate) mod objects;
