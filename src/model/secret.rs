//! Secrets that Greenroom makes up: API tokens, sessions, one-time links, node tokens, passwords. Stored as hashes only,
//! where they are only compared.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// A new secret of 256 random bits behind a prefix that says what it is for.
pub fn make(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::random();
    hex(prefix, &bytes)
}

/// The hash under which a secret is stored. The secrets are random, so a plain hash cannot be guessed backwards.
pub fn hash(secret: &str) -> String {
    hex("", &Sha256::digest(secret))
}

/// Bytes as hexadecimal digits behind a prefix.
pub fn hex(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
