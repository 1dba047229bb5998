//! The portal: what pages show in each state, that forms keep what was typed, and the ways in.

mod catalogue;
mod finding;
mod forms;
mod history;
mod inventory;
mod pages;
mod places;
mod samples;
mod seen;
