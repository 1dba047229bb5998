//! The agent as a program, against a server that speaks its protocol and can be made to misbehave.

pub mod converge;
mod day;
mod first;
pub mod harness;
mod hostile;
mod idempotent;
mod install;
pub mod offline;
mod plan;
mod plan_law;
mod protocol;
pub mod random;
mod recipes;
mod renew;
mod services;
mod survive;
