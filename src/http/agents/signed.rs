//! Signed requests as extractors: whoever names [`Agent`] or [`Told`] in its arguments is called for a node's own word only.

use super::super::auth::bearer;
use super::super::extract::{Body, decoded};
use super::super::problem::ApiError;
use super::super::state::AppState;
use crate::control::agents::proof::Proof;
use crate::model::id::NodeId;
use crate::model::signature::content_digest;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use std::io::Read;

// What a body may come to once it is unpacked.
const UNPACKED: u64 = 16 * 1024 * 1024;

/// The agent of this node, asking something without a body.
#[derive(Debug, Clone)]
pub struct Agent(pub NodeId);

/// The agent of this node, saying this.
#[derive(Debug)]
pub struct Told<T>(pub NodeId, pub T);

/// Someone with a bootstrap token, saying this with a key that nobody knows yet.
#[derive(Debug)]
pub(super) struct Newcomer<T> {
    pub(super) token: String,
    pub(super) body: T,
    pub(super) headers: SignedBy,
}

/// What the headers of a request say of who signed it.
#[derive(Debug)]
pub(super) struct SignedBy {
    method: String,
    uris: Vec<String>,
    content_digest: String,
    signature_input: String,
    signature: String,
}

impl SignedBy {
    fn of(parts: &Parts, state: &AppState) -> Self {
        let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        // A proxy in front of the server may have taken the TLS off and put another host name in.
        let host = parts
            .uri
            .authority()
            .map_or_else(|| text("host"), |authority| authority.as_str());
        let uris = [
            format!("http://{host}{path}"),
            format!("https://{host}{path}"),
            format!("{}{path}", state.public_url),
        ];
        Self {
            method: parts.method.as_str().to_owned(),
            uris: uris.into(),
            content_digest: text("content-digest").to_owned(),
            signature_input: text("signature-input").to_owned(),
            signature: text("signature").to_owned(),
        }
    }

    pub(super) fn proof(&self) -> Proof<'_> {
        Proof {
            method: &self.method,
            uris: &self.uris,
            content_digest: &self.content_digest,
            signature_input: &self.signature_input,
            signature: &self.signature,
        }
    }

    fn fits(&self, body: &[u8]) -> Result<(), ApiError> {
        if self.content_digest == content_digest(body) {
            return Ok(());
        }
        Err(ApiError::new("signature-refused", "The body is not the one that was signed"))
    }
}

impl FromRequestParts<AppState> for Agent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let signed = SignedBy::of(parts, state);
        let node = state.control.authenticate_node(&signed.proof()).await?;
        // Nothing that was not signed is read.
        signed.fits(b"")?;
        Ok(Self(node))
    }
}

impl<T: DeserializeOwned> FromRequest<AppState> for Told<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let signed = SignedBy::of(&parts, state);
        // Before the body is read: a stranger's is not worth the memory.
        let node = state.control.authenticate_node(&signed.proof()).await?;
        let headers = parts.headers.clone();
        let _room = state.control.admit_body().await?;
        let Body(bytes) = Body::from_request(Request::from_parts(parts, body), state).await?;
        signed.fits(&bytes)?;
        Ok(Self(node, decoded(&unpacked(&headers, bytes)?)?))
    }
}

impl<T: DeserializeOwned> FromRequest<AppState> for Newcomer<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        // A request without a token is refused before its body is read.
        let token = bearer(&parts.headers).ok_or_else(|| ApiError::new("not-signed-in", "The request names no node"))?;
        let token = token.to_owned();
        let signed = SignedBy::of(&parts, state);
        let headers = parts.headers.clone();
        let _room = state.control.admit_body().await?;
        let Body(bytes) = Body::from_request(Request::from_parts(parts, body), state).await?;
        let body = decoded(&unpacked(&headers, bytes.clone())?)?;
        if !signed.signature_input.is_empty() {
            signed.fits(&bytes)?;
        }
        Ok(Self {
            token,
            body,
            headers: signed,
        })
    }
}

// A small body may unpack to more than all the memory there is.
fn unpacked(headers: &HeaderMap, bytes: Bytes) -> Result<Bytes, ApiError> {
    match headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or_default()) {
        None | Some("identity") => Ok(bytes),
        Some("gzip") => {
            let mut plain = Vec::new();
            let mut reader = flate2::read::GzDecoder::new(bytes.as_ref()).take(UNPACKED + 1);
            reader
                .read_to_end(&mut plain)
                .map_err(|error| ApiError::from(crate::control::ControlError::field("body", error)))?;
            if plain.len() as u64 > UNPACKED {
                return Err(ApiError::new("too-large", "The body unpacks to more than 16 MiB"));
            }
            Ok(plain.into())
        }
        Some(_) => Err(crate::control::ControlError::field("Content-Encoding", "it must be gzip or absent").into()),
    }
}
