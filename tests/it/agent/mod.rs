//! The agent as a program, against a server that speaks its protocol and can be made to misbehave.

pub mod converge;
pub mod harness;
mod hostile;
mod offline;
mod protocol;
mod services;
mod survive;
