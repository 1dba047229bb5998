//! The harness: databases of both kinds, thrown away afterwards.

pub mod database;
