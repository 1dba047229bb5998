//! Greenroom: a self-service staging platform. This page is the map of the house; `ARCHITECTURE.md` walks through it.
//!
//! | module | what it is |
//! |---|---|
//! | [`model`] | values and their laws; no I/O |
//! | [`wire`] | request and response bodies shared by http, client, cli, agent |
//! | [`store`] | the only module that knows SQL |
//! | [`git`] | mirrors of app repositories; the only module that calls git for the server |
//! | [`machine`] | files that a crash leaves whole, processes found by their marks |
//! | [`recipes`] | the compiler: text in, node configuration or diagnostics out |
//! | [`providers`] | where nodes come from |
//! | [`engine`] | durable execution; knows nothing of stacks |
//! | [`steps`], [`plans`] | what plans are made of, and the plans |
//! | [`control`] | the verbs of the product |
//! | [`http`] | API and portal |
//! | [`agent`] | on the node: poll, converge, report |
//! | [`client`], [`cli`] | typed HTTP client; commands |

pub mod agent;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod engine;
pub mod git;
pub mod http;
pub mod machine;
pub mod model;
pub mod plans;
pub mod providers;
pub mod recipes;
pub mod steps;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod wire;
