//! The integration tests: one binary, one link. Modules by part; `support` has the harness.

mod architecture;
mod store;
mod support;
