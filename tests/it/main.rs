//! The integration tests: one binary, one link. Modules by part; `support` has the harness.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod agent;
mod api;
mod architecture;
mod cli;
mod engine;
mod interop;
mod kill;
mod launches;
mod portal;
mod providers;
mod proxy;
mod recipes;
mod search;
mod store;
mod support;
mod targets;
