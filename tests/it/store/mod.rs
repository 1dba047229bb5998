//! Stories of the store, told to both databases.

mod inventory;
mod nodes;
