//! Secrets that Greenroom makes up: API tokens, sessions, one-time links, node tokens, passwords. Stored as hashes only,
//! where they are only compared.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, Read};

/// A new secret of 256 random bits behind a prefix that says what it is for.
pub fn make(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::random();
    hex(prefix, &bytes)
}

/// The hash under which a secret is stored. The secrets are random, so a plain hash cannot be guessed backwards.
pub fn hash(secret: &str) -> String {
    hex("", &Sha256::digest(secret))
}

/// How long something is and its hash, without having all of it in memory.
///
/// # Errors
/// Where it cannot be read.
pub fn hash_all(mut reader: impl Read) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 * 1024];
    let mut length = 0;
    loop {
        let read = reader.read(&mut piece)?;
        if read == 0 {
            return Ok((length, hex("", &hash.finalize())));
        }
        hash.update(&piece[..read]);
        length += read as u64;
    }
}

/// Whether a secret may have this name: words joined by `/`, such as `shop/env/SESSION_KEY`.
pub fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let word = |word: &str| word.bytes().all(good) && word.bytes().any(|byte| byte.is_ascii_alphanumeric());
    name.len() <= 200 && name.split('/').all(word)
}

/// Bytes as hexadecimal digits behind a prefix.
pub fn hex(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
