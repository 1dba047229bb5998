//! Providers keep one contract.

mod contract;
pub mod postgres;
mod sandbox;
