//! The engine: what people see it do, what it survives, and that no seed breaks its laws.

mod crashes;
mod ledger;
mod overhead;
mod ownership;
mod people;
mod simulation;
mod stories;
mod world;
