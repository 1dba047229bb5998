//! Passwords: argon2id on the blocking pool, one at a time, for each takes 19 MiB while it lasts.

use crate::control::{ControlError, Result};
use crate::model::fault::Fault;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The least length in characters.
pub(super) const SHORTEST: usize = 10;
/// The greatest length in characters.
pub(super) const LONGEST: usize = 200;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

// The hash of nothing anyone knows, of the same cost as a real one: a wrong name takes as long as a wrong password.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$Z3JlZW5yb29tLW5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Where passwords are hashed and compared.
#[derive(Debug)]
pub(super) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Passwords {
    /// The hash to store.
    pub(super) async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        self.run(move || {
            let hash = argon2()?.hash_password(password.as_bytes()).map_err(|error| broken(&error))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether a password is the one behind a hash; takes as long where there is none.
    pub(super) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        if password.len() > LONGEST * 4 {
            return Ok(false);
        }
        let (password, known) = (password.to_owned(), hash.is_some());
        let hash = hash.unwrap_or(NOBODY).to_owned();
        self.run(move || Ok(argon2()?.verify_password(password.as_bytes(), hash.as_str()).is_ok() && known))
            .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|error| broken(&error))?;
        // The place moves along: a request that goes away does not make room while its hashing still runs.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        done.await.map_err(|error| broken(&error))?
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| broken(&error))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn broken(error: &dyn std::fmt::Display) -> ControlError {
    Fault::new("internal", "The password could not be worked with")
        .why(error)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_accepted() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct house", Some(&hash)).await.unwrap());
        assert!(!passwords.verify("correct horse", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_wrong_name_costs_as_much_as_a_wrong_password() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse").await.unwrap();
        // The least of some, for a busy machine only ever adds.
        let mut spent = [std::time::Duration::MAX; 2];
        for _ in 0..5 {
            for (slot, hash) in [Some(hash.as_str()), None].into_iter().enumerate() {
                let start = std::time::Instant::now();
                passwords.verify("wrong", hash).await.unwrap();
                spent[slot] = spent[slot].min(start.elapsed());
            }
        }
        assert!(spent[1] * 4 > spent[0], "a missing account answers too quickly: {spent:?}");
    }
}
