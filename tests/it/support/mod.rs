//! The harness: databases of both kinds, thrown away afterwards; tokens for a server that is not running yet.

pub mod access;
#[cfg(feature = "ec2")]
pub mod cloud;
pub mod database;
