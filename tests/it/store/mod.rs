//! Stories of the store, told to both databases.

pub(crate) mod inventory;
mod nodes;
mod objects;
