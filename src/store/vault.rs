//! Secrets at rest: sealed with a key that is not in the database, so that a copy of the database alone gives none away.
//!
//! A value is bound to its place: moved to another stack or name, it does not open. Values from before there was a key are
//! sealed when the store gets one. Where the key is kept is not known here.

use super::{Result, Store, StoreError};
use crate::model::id::{NodeId, StackId};
use crate::model::secret::{self, hex};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use sqlx::Row;

/// Length of a key in bytes.
pub const KEY: usize = 32;

const SEALED: &str = "sealed1:";
const PROOF: &str = "the key is the right one";

/// Seals and opens secrets.
pub struct Vault {
    sealing: LessSafeKey,
    deriving: hmac::Key,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault([redacted])")
    }
}

impl Vault {
    /// A vault with this key.
    ///
    /// # Errors
    /// Where the key is none.
    pub fn new(key: &[u8; KEY]) -> Result<Self> {
        let sealing = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| unreadable("the key cannot be used"))?;
        Ok(Self {
            sealing: LessSafeKey::new(sealing),
            deriving: hmac::Key::new(hmac::HMAC_SHA256, key),
        })
    }

    fn seal(&self, place: &str, text: &str) -> Result<String> {
        // Random, so never the same twice under one key in any number of secrets that there will be.
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut bytes = text.as_bytes().to_vec();
        self.sealing
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut bytes)
            .map_err(|_| unreadable("it cannot be sealed"))?;
        Ok(hex(&hex(SEALED, &nonce), &bytes))
    }

    fn open(&self, place: &str, stored: &str) -> Result<String> {
        let wrong = || unreadable("the key is not the one that it was sealed with");
        let mut bytes = unhex(stored.strip_prefix(SEALED).unwrap_or_default()).ok_or_else(wrong)?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let opened = self
            .sealing
            .open_in_place(nonce, Aad::from(place), sealed)
            .map_err(|_| wrong())?;
        String::from_utf8(opened.to_vec()).map_err(|_| wrong())
    }
}

impl Store {
    /// From now on secrets are sealed with this key; those that are in the clear are sealed now.
    ///
    /// # Errors
    /// Where the secrets that are there were sealed with another key, or the database fails.
    pub async fn lock_secrets(&self, vault: Vault) -> Result<()> {
        let mut tx = self.journal().await?;
        let proof = vault.seal("vault", PROOF)?;
        sqlx::query("INSERT INTO vault (id, proof) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
            .bind(proof)
            .execute(tx.conn())
            .await?;
        let proof: String = sqlx::query_scalar("SELECT proof FROM vault WHERE id = 1")
            .fetch_one(tx.conn())
            .await?;
        vault.open("vault", &proof)?;
        let clear = sqlx::query("SELECT stack, name, value FROM secrets WHERE value NOT LIKE 'sealed1:%'")
            .fetch_all(tx.conn())
            .await?;
        for row in clear {
            let (stack, name, value): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            sqlx::query("UPDATE secrets SET value = $1 WHERE stack = $2 AND name = $3")
                .bind(vault.seal(&place(&stack, &name), &value)?)
                .bind(stack)
                .bind(name)
                .execute(tx.conn())
                .await?;
        }
        tx.commit().await?;
        // A second key would not open what the first has sealed; the first stays.
        let _ = self.inner.vault.set(vault);
        Ok(())
    }

    /// The token that a node's agent registers with: the same each time it is asked for, because a provider that is asked twice
    /// for one node must be asked for the same. Without a key another each time.
    pub fn node_token(&self, node: &NodeId) -> String {
        const PREFIX: &str = "grn_";
        self.inner.vault.get().map_or_else(
            || secret::make(PREFIX),
            |vault| {
                hex(
                    PREFIX,
                    hmac::sign(&vault.deriving, format!("node/{node}").as_bytes()).as_ref(),
                )
            },
        )
    }

    /// A secret as it is stored.
    pub(super) fn sealed(&self, stack: &StackId, name: &str, value: &str) -> Result<String> {
        match self.inner.vault.get() {
            Some(vault) => vault.seal(&place(stack.as_str(), name), value),
            None => Ok(value.to_owned()),
        }
    }

    /// Something of the server's own as it is stored in this place.
    pub(super) fn sealed_at(&self, place: &str, value: &str) -> Result<String> {
        match self.inner.vault.get() {
            Some(vault) => vault.seal(place, value),
            None => Ok(value.to_owned()),
        }
    }

    /// Something of the server's own from how it is stored in this place.
    pub(super) fn opened_at(&self, place: &str, stored: String) -> Result<String> {
        match self.inner.vault.get() {
            Some(vault) if stored.starts_with(SEALED) => vault.open(place, &stored),
            None if stored.starts_with(SEALED) => Err(unreadable("it is sealed, and there is no key")),
            _ => Ok(stored),
        }
    }

    /// A secret from how it is stored.
    pub(super) fn opened(&self, stack: &StackId, name: &str, stored: String) -> Result<String> {
        match self.inner.vault.get() {
            Some(vault) if stored.starts_with(SEALED) => vault.open(&place(stack.as_str(), name), &stored),
            None if stored.starts_with(SEALED) => Err(unreadable("it is sealed, and there is no key")),
            _ => Ok(stored),
        }
    }
}

fn place(stack: &str, name: &str) -> String {
    format!("{stack}/{name}")
}

fn unreadable(why: &str) -> StoreError {
    StoreError::Corrupt {
        what: "secret",
        why: why.to_owned(),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_in_its_own_place_with_its_own_key_only() {
        let vault = Vault::new(&[7; KEY]).unwrap();
        let sealed = vault.seal("stk_1/shop/env/KEY", "hunter2").unwrap();
        assert!(!sealed.contains("hunter2"));
        assert_ne!(sealed, vault.seal("stk_1/shop/env/KEY", "hunter2").unwrap());
        assert_eq!(vault.open("stk_1/shop/env/KEY", &sealed).unwrap(), "hunter2");
        assert!(vault.open("stk_2/shop/env/KEY", &sealed).is_err());
        assert!(Vault::new(&[8; KEY]).unwrap().open("stk_1/shop/env/KEY", &sealed).is_err());
        for broken in [
            "",
            "sealed1:",
            "sealed1:0",
            "sealed1:zz",
            "sealed1:00ff",
            &sealed[..sealed.len() - 2],
        ] {
            assert!(vault.open("stk_1/shop/env/KEY", broken).is_err(), "{broken}");
        }
    }
}
