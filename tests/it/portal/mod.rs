//! The portal: what pages show in each state, that forms keep what was typed, and the ways in.

mod forms;
mod pages;
mod samples;
