//! The command line: one file a command group. `serve` is also where everything is wired.

pub mod app_check;
pub mod recipe;
pub mod serve;
