//! The engine: stories on both databases, crashes at every point, and a simulation of its decisions.

mod crashes;
mod ledger;
mod simulation;
mod stories;
