//! The command line as a person meets it: the real program, its words and its exit codes.

mod demo;
mod help;
mod links;
mod offline;
mod program;
mod story;
