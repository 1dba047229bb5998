//! Providers keep one contract.

pub(crate) mod contract;
pub mod postgres;
mod sandbox;
