//! Who said it, and was it changed on the way: ed25519 keys, requests signed by nodes, documents signed by the server.
//!
//! Requests are signed by a fixed subset of RFC 9421: `@method`, `@target-uri` and `content-digest`, with `created`, `nonce`,
//! `keyid` and `alg`, in this order. Whatever else a header could say is refused, so there is one way to sign and one to check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

const COVERED: &str = r#"("@method" "@target-uri" "content-digest")"#;
const LABEL: &str = "sig1=";

/// A private key. Never shown, never sent.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of this seed: 64 hexadecimal digits.
    pub fn from_seed(seed: &str) -> Option<Self> {
        let bytes = unhex(seed)?;
        Ed25519KeyPair::from_seed_unchecked(&bytes).ok().map(Self)
    }

    /// What others know it by.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// The signature of these bytes, in base 64.
    pub fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.0.sign(bytes).as_ref())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.public())
    }
}

/// A public key, written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Whether its owner signed these bytes.
    pub fn verify(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::secret::hex("", &self.0))
    }
}

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self).ok_or("a public key is 64 hexadecimal digits")
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// The `Content-Digest` of a body.
pub fn content_digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// The headers that make a request a signed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    /// `Content-Digest`.
    pub content_digest: String,
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
}

/// Signs a request. `created` is in seconds since the Unix epoch, `uri` the whole address with its query.
pub fn sign_request(
    key: &SigningKey,
    keyid: &str,
    (method, uri): (&str, &str),
    body: &[u8],
    created: i64,
    nonce: &str,
) -> SignedHeaders {
    let content_digest = content_digest(body);
    let parameters = format!(r#"{COVERED};created={created};nonce="{nonce}";keyid="{keyid}";alg="ed25519""#);
    let signature = key.sign(base(method, uri, &content_digest, &parameters).as_bytes());
    SignedHeaders {
        content_digest,
        signature_input: format!("{LABEL}{parameters}"),
        signature: format!("{LABEL}:{signature}:"),
    }
}

// What is signed.
fn base(method: &str, uri: &str, content_digest: &str, parameters: &str) -> String {
    format!(
        "\"@method\": {method}\n\"@target-uri\": {uri}\n\"content-digest\": {content_digest}\n\"@signature-params\": {parameters}"
    )
}

/// What a signed request says of itself; nothing of it is proved before [`Claim::is_of`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Whose key.
    pub keyid: &'a str,
    /// When it was signed, in seconds since the Unix epoch.
    pub created: i64,
    /// Never used twice by one key.
    pub nonce: &'a str,
    /// The signature, in base 64.
    pub signature: &'a str,
    parameters: &'a str,
}

impl<'a> Claim<'a> {
    /// Reads the headers `Signature-Input` and `Signature`.
    pub fn read(input: &'a str, signature: &'a str) -> Option<Self> {
        let parameters = input.strip_prefix(LABEL)?;
        let rest = parameters.strip_prefix(COVERED)?.strip_prefix(";created=")?;
        let (created, rest) = rest.split_once(";nonce=\"")?;
        let (nonce, rest) = rest.split_once("\";keyid=\"")?;
        let keyid = rest.strip_suffix("\";alg=\"ed25519\"")?;
        let plain = |text: &str, most| {
            let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            !text.is_empty() && text.len() <= most && text.bytes().all(good)
        };
        if !plain(nonce, 64) || !plain(keyid, 100) || created.len() > 12 {
            return None;
        }
        Some(Self {
            keyid,
            created: created.parse().ok()?,
            nonce,
            signature: signature.strip_prefix(LABEL)?.strip_prefix(':')?.strip_suffix(':')?,
            parameters,
        })
    }

    /// Whether the key's owner signed this request.
    pub fn is_of(&self, key: &PublicKey, method: &str, uri: &str, content_digest: &str) -> bool {
        key.verify(base(method, uri, content_digest, self.parameters).as_bytes(), self.signature)
    }
}

/// What the server signs of a document for a node: nobody in between can alter it, give it to another node, or bring back an
/// older one.
pub fn document(node: &str, etag: &str, issued_ms: i64, body: &[u8]) -> Vec<u8> {
    let digest = super::secret::hex("sha256:", &Sha256::digest(body));
    format!("greenroom configuration 1\n{node}\n{etag}\n{issued_ms}\n{digest}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "9f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5";

    // RFC 9421, appendix B.1.4 and B.2.6.
    #[test]
    fn the_rfcs_own_key_makes_the_rfcs_own_signature() {
        let key = SigningKey::from_seed(SEED).unwrap();
        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@authority\": example.com\n\
                    \"content-type\": application/json\n\"content-length\": 18\n\"@signature-params\": (\"date\" \"@method\" \
                    \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
        let wanted = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
        assert_eq!(key.sign(base.as_bytes()), wanted);
        assert!(key.public().verify(base.as_bytes(), wanted));
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    }

    #[test]
    fn a_request_is_its_signers_until_any_part_of_it_changes() {
        let key = SigningKey::from_seed(SEED).unwrap();
        let uri = "https://greenroom.example.org/agent/v1/reports?x=1";
        let signed = sign_request(&key, "nod_1", ("POST", uri), b"{}", 1_700_000_000, "n0nce");
        let claim = Claim::read(&signed.signature_input, &signed.signature).unwrap();
        assert_eq!((claim.keyid, claim.created, claim.nonce), ("nod_1", 1_700_000_000, "n0nce"));
        let is_of = |method, uri, digest: &str| claim.is_of(&key.public(), method, uri, digest);
        assert!(is_of("POST", uri, &signed.content_digest));
        assert!(!is_of("PUT", uri, &signed.content_digest));
        assert!(!is_of(
            "POST",
            "https://greenroom.example.org/agent/v1/reports?x=2",
            &signed.content_digest
        ));
        assert!(!is_of("POST", uri, &content_digest(b"{ }")));
        let later = signed.signature_input.replace("1700000000", "1700000001");
        let claim = Claim::read(&later, &signed.signature).unwrap();
        assert!(!claim.is_of(&key.public(), "POST", uri, &signed.content_digest));
    }

    #[test]
    fn headers_that_say_anything_else_are_none() {
        let key = SigningKey::from_seed(SEED).unwrap();
        let signed = sign_request(&key, "nod_1", ("GET", "http://a/"), b"", 1, "n");
        assert!(Claim::read(&signed.signature_input, &signed.signature).is_some());
        for wrong in [
            signed.signature_input.replace(" \"content-digest\"", ""),
            signed.signature_input.replace("nonce=\"n\"", "nonce=\"\""),
            signed.signature_input.replace("nod_1", "nod_1\";x=\"1"),
            signed.signature_input.replace("sig1", "sig2"),
            String::new(),
        ] {
            assert_eq!(Claim::read(&wrong, &signed.signature), None, "{wrong}");
        }
    }
}
