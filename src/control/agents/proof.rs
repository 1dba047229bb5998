//! Whether a request is its node's own: signed by its key, for this server, now, and not here before.
//!
//! A question may be asked again with the same signature while that is good, because its answer changes nothing; what changes
//! something may come once. The invariant: a signature counts for exactly the bytes it was made for.

use super::super::{Control, ControlError, Result};
use crate::model::id::NodeId;
use crate::model::signature::{Claim, PublicKey};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How far a node's clock may be off, in seconds.
pub const SKEW_S: i64 = 300;
// How many checked signatures are remembered.
const CHECKED: usize = 20_000;
// How many different things one node may say within the time that a signature is good for.
const NONCES: usize = 50_000;

/// A request as its headers tell it.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// The method.
    pub method: &'a str,
    /// The address as the agent may have written it: behind a proxy the server cannot know the scheme and host it used.
    pub uris: &'a [String],
    /// `Content-Digest`; whoever reads the body compares it.
    pub content_digest: &'a str,
    /// `Signature-Input`.
    pub signature_input: &'a str,
    /// `Signature`.
    pub signature: &'a str,
}

/// What has been here.
#[derive(Debug, Default)]
pub struct Seen {
    checked: Mutex<HashMap<[u8; 32], (PublicKey, i64)>>,
    nonces: Mutex<HashMap<NodeId, HashMap<String, i64>>>,
}

impl Seen {
    fn was_checked(&self, proof: [u8; 32], key: &PublicKey) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.get(&proof).is_some_and(|(of, _)| of == key)
    }

    fn checked(&self, proof: [u8; 32], key: PublicKey, now_s: i64) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= CHECKED {
            checked.retain(|_, (_, until)| *until > now_s);
        }
        if checked.len() < CHECKED {
            checked.insert(proof, (key, now_s + 2 * SKEW_S));
        }
    }

    // False where this node has used the nonce already.
    fn is_new(&self, node: &NodeId, nonce: &str, now_s: i64) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let own = nonces.entry(node.clone()).or_default();
        if own.len() >= 1000 && own.len().is_multiple_of(1000) {
            own.retain(|_, until| *until > now_s);
        }
        own.len() < NONCES && own.insert(nonce.to_owned(), now_s + 2 * SKEW_S).is_none()
    }

    /// Forgets what can no longer come again.
    pub(super) fn sweep(&self, now_s: i64) {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        for own in nonces.values_mut() {
            own.retain(|_, until| *until > now_s);
        }
        nonces.retain(|_, own| !own.is_empty());
    }
}

impl Control {
    /// Whose agent sent this request.
    ///
    /// # Errors
    /// `not-signed-in` for a node that has no agent, `clock-skew`, and `signature-refused` for a request that was changed or
    /// has been here before.
    pub async fn authenticate_node(&self, proof: &Proof<'_>) -> Result<NodeId> {
        let unknown = || ControlError::new("not-signed-in", "The request names no node");
        let claim = Claim::read(proof.signature_input, proof.signature).ok_or_else(unknown)?;
        let node: NodeId = claim.keyid.parse().map_err(|_| unknown())?;
        self.check_time(&claim, proof.method)?;
        let known = self.fleet.known(&node).await?.ok_or_else(unknown)?;
        self.check_signature(&claim, &known.key, proof)?;
        self.once_only(&node, &claim, proof.method)?;
        self.hear_of(&node, &known.owner).await?;
        Ok(node)
    }

    /// Whether the owner of this key, which nobody knows yet, sent this request.
    ///
    /// # Errors
    /// As [`Self::authenticate_node`].
    pub fn check_new_key(&self, key: &PublicKey, proof: &Proof<'_>) -> Result<()> {
        let unsigned = || ControlError::new("not-signed-in", "The request is not signed by the key that it names");
        let claim = Claim::read(proof.signature_input, proof.signature).ok_or_else(unsigned)?;
        self.check_time(&claim, proof.method)?;
        self.check_signature(&claim, key, proof)
    }

    fn check_time(&self, claim: &Claim<'_>, method: &str) -> Result<()> {
        let now_s = self.now().0.div_euclid(1000);
        let off = now_s - claim.created;
        if off.abs() > SKEW_S {
            let error = ControlError::new(
                "clock-skew",
                format!("The request was made {} s {} by the server's clock", off.abs(), past(off)),
            );
            return Err(error);
        }
        // What was said to the server before it started is not remembered.
        if method != "GET" && claim.created < self.started.0.div_euclid(1000) {
            return Err(ControlError::new(
                "clock-skew",
                "The request was made before the server started",
            ));
        }
        Ok(())
    }

    fn check_signature(&self, claim: &Claim<'_>, key: &PublicKey, proof: &Proof<'_>) -> Result<()> {
        let now_s = self.now().0.div_euclid(1000);
        let mut name = Sha256::new();
        for part in [
            proof.method,
            &proof.uris[0],
            proof.content_digest,
            proof.signature_input,
            proof.signature,
        ] {
            name.update(part.as_bytes());
            name.update([0]);
        }
        let name: [u8; 32] = name.finalize().into();
        if self.seen.was_checked(name, key) {
            return Ok(());
        }
        if !proof
            .uris
            .iter()
            .any(|uri| claim.is_of(key, proof.method, uri, proof.content_digest))
        {
            return Err(ControlError::new(
                "signature-refused",
                "The signature does not fit the request",
            ));
        }
        self.seen.checked(name, *key, now_s);
        Ok(())
    }

    fn once_only(&self, node: &NodeId, claim: &Claim<'_>, method: &str) -> Result<()> {
        let now_s = self.now().0.div_euclid(1000);
        if method == "GET" || self.seen.is_new(node, claim.nonce, now_s) {
            return Ok(());
        }
        Err(ControlError::new(
            "signature-refused",
            "The same request has been here before",
        ))
    }
}

fn past(off: i64) -> &'static str {
    if off > 0 { "ago" } else { "ahead" }
}
