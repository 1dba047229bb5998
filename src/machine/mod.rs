//! What the operating system gives: files that a crash leaves whole, and processes told apart by marks in their environment.
//!
//! Shared by the sandbox provider and the agent, which both must find again what an earlier, killed process started. It knows
//! neither nodes nor configurations. The invariant: no signal is ever sent by a bare number that could meanwhile be another
//! process's; the process is held first and looked at second.

pub mod files;
pub mod processes;
pub mod reserve;
