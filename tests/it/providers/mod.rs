//! Providers keep one contract.

mod contract;
mod postgres;
mod sandbox;
