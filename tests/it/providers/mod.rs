//! Providers keep one contract.

pub(crate) mod contract;
pub mod docker;
pub mod postgres;
mod sandbox;
