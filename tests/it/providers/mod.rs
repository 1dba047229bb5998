//! Providers keep one contract.

pub(crate) mod contract;
pub mod docker;
#[cfg(feature = "ec2")]
pub mod ec2;
pub mod postgres;
mod sandbox;
