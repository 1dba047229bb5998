//! The line to the server: the calls of [`crate::wire::agent`], each signed, and the pauses between attempts.
//!
//! It decides nothing. Whatever goes wrong is told apart only by whether trying again can help. A wrong clock of the node is made
//! up for by the server's `Date`, and only for signing.

use crate::clock::{Clock, SystemClock};
use crate::model::fault::Fault;
use crate::model::signature::{SigningKey, sign_request};
use crate::wire::agent::{LogBatch, MAINTENANCE, NewKey, Register, Registered, SIGNATURE, SecretValue};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, ETAG, HeaderMap, IF_NONE_MATCH, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use std::io::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How long the server is asked to wait for a change.
pub(super) const POLL: Duration = Duration::from_secs(55);
const CALL: Duration = Duration::from_secs(30);
// A repository may be large and the way to the server slow.
const LONG_CALL: Duration = Duration::from_mins(10);
// Bodies that are smaller are sent as they are.
const WORTH_PACKING: usize = 1024;
// The server is behind a socket in the file system, as containers have it; only then is its name of no account.
const SOCKET: &str = "unix://";
const BEHIND_SOCKET: &str = "http://greenroom";
// A server may ask for a longer pause than that; it does not get it.
const LONGEST_WISH: Duration = Duration::from_mins(10);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The server was not reached, or not in a state to answer.
    #[error("the server does not answer: {0}")]
    Away(String),
    /// It does not take this node's word.
    #[error("the server does not know this node: {0}")]
    Unknown(StatusCode),
    /// It will never take this message.
    #[error("the server refuses the message: {0}")]
    Refused(String),
}

/// What a question for the configuration gave.
#[derive(Debug)]
pub(super) enum Polled {
    /// Another one, or the same once more because someone wants it applied again.
    New(Delivery),
    /// The same.
    Same,
    /// There is none yet.
    None,
}

/// A configuration as it came, which whoever is in between may have altered.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub(super) struct Delivery {
    /// Sent back with the next question.
    pub(super) etag: String,
    /// When it was signed, in milliseconds since the Unix epoch by the server's clock.
    pub(super) issued_ms: i64,
    /// The server's signature.
    pub(super) signature: String,
    /// The document.
    pub(super) body: String,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Link {
    client: Client,
    base: String,
    shared: Arc<Shared>,
    longest_pause: Duration,
}

#[derive(Debug)]
struct Shared {
    // Whom the server knows the node as, once it does.
    node: RwLock<String>,
    key: RwLock<Arc<SigningKey>>,
    // How far the server's clock is ahead of ours, in seconds.
    ahead_s: AtomicI64,
    maintenance: Mutex<Option<String>>,
    // Until when the server wants to be left alone.
    busy_until: Mutex<Option<Instant>>,
}

impl Link {
    /// A line to this server for this node, signing with this key.
    pub(super) fn new(server_url: &str, node: &str, key: SigningKey, longest_pause: Duration) -> Result<Self, Fault> {
        crate::tls::install();
        let mut client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("greenroom-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let mut server_url = server_url.trim_end_matches('/');
        if let Some(socket) = server_url.strip_prefix(SOCKET) {
            client = client.unix_socket(socket);
            server_url = BEHIND_SOCKET;
        }
        let client = client
            .build()
            .map_err(|e| Fault::new("internal", "The agent cannot make connections").why(e))?;
        Ok(Self {
            client,
            base: format!("{server_url}/agent/v1"),
            shared: Arc::new(Shared {
                node: RwLock::new(node.to_owned()),
                key: RwLock::new(Arc::new(key)),
                ahead_s: AtomicI64::new(0),
                maintenance: Mutex::default(),
                busy_until: Mutex::default(),
            }),
            longest_pause,
        })
    }

    /// Speaks for this node from now on.
    pub(super) fn speak_for(&self, node: &str) {
        node.clone_into(&mut self.shared.node.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whom it speaks for.
    pub(super) fn node(&self) -> String {
        self.shared.node.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why somebody works on the node, where the server says so.
    pub(super) fn maintenance(&self) -> Option<String> {
        self.shared.maintenance.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs with this key from now on.
    pub(super) fn sign_with(&self, key: SigningKey) {
        *self.shared.key.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    /// Registers the node's key.
    pub(super) async fn register(&self, token: &str, body: &Register) -> Result<Registered, LinkError> {
        let request = |r: RequestBuilder| r.bearer_auth(token);
        let answer = self.say("register", &packed(body)?, request).await?;
        answer.json().await.map_err(away)
    }

    /// Puts another key in the place of the one that it signs with.
    pub(super) async fn rotate(&self, body: &NewKey) -> Result<(), LinkError> {
        self.say("keys", &packed(body)?, |r| r).await.map(|_| ())
    }

    /// Asks for the configuration and waits for another than the one of this ETag.
    pub(super) async fn configuration(&self, etag: Option<&str>, patience: Duration) -> Result<Polled, LinkError> {
        let wait = format!("wait={}", patience.as_secs());
        let ask = |mut request: RequestBuilder| {
            request = request.header("prefer", &wait).timeout(patience + CALL);
            match etag {
                Some(etag) => request.header(IF_NONE_MATCH, etag),
                None => request,
            }
        };
        let answer = self.send(Method::GET, "configuration", &Packed::default(), ask).await?;
        let maintenance = answer
            .headers()
            .get(MAINTENANCE)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        if answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED {
            *self.shared.maintenance.lock().unwrap_or_else(PoisonError::into_inner) = maintenance;
        }
        match answer.status() {
            StatusCode::NOT_MODIFIED => return Ok(Polled::Same),
            StatusCode::NOT_FOUND => return Ok(Polled::None),
            _ => {}
        }
        let answer = self.checked(answer).await?;
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|v| v.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let etag = header(ETAG.as_str());
        let signed = header(SIGNATURE);
        let (issued, signature) = signed
            .strip_prefix("issued=")
            .and_then(|s| s.split_once(";sig="))
            .unwrap_or_default();
        Ok(Polled::New(Delivery {
            issued_ms: issued.parse().unwrap_or_default(),
            signature: signature.to_owned(),
            body: answer.text().await.map_err(away)?,
            etag,
        }))
    }

    /// Says what the node is.
    pub(super) async fn facts(&self, facts: &serde_json::Value) -> Result<(), LinkError> {
        let answer = self.send(Method::PUT, "facts", &packed(facts)?, |r| r.timeout(CALL)).await?;
        self.checked(answer).await.map(|_| ())
    }

    /// Fetches a secret's value.
    pub(super) async fn secret(&self, name: &str) -> Result<SecretValue, LinkError> {
        let path: String = name.split('/').map(encoded).collect::<Vec<_>>().join("/");
        let answer = self
            .send(Method::GET, &format!("secrets/{path}"), &Packed::default(), |r| {
                r.timeout(CALL)
            })
            .await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(LinkError::Refused("the server has no such secret".to_owned()));
        }
        self.checked(answer).await?.json().await.map_err(away)
    }

    /// Fetches a long content by its hash.
    pub(super) async fn blob(&self, hash: &str) -> Result<String, LinkError> {
        let path = format!("blobs/{hash}");
        let answer = self.send(Method::GET, &path, &Packed::default(), |r| r.timeout(CALL)).await?;
        self.checked(answer).await?.text().await.map_err(away)
    }

    /// Asks for a commit of an app with all that led to it.
    pub(super) async fn source(&self, app: &str, commit: &str) -> Result<Response, LinkError> {
        let path = format!("source/{}/{}", encoded(app), encoded(commit));
        let answer = self
            .send(Method::GET, &path, &Packed::default(), |r| r.timeout(LONG_CALL))
            .await?;
        self.checked(answer).await
    }

    /// Sends a report.
    pub(super) async fn report(&self, report: &Packed) -> Result<(), LinkError> {
        self.say("reports", report, |r| r).await.map(|_| ())
    }

    /// Sends pieces of logs; once this returns, the server has them for good.
    pub(super) async fn logs(&self, batch: &LogBatch) -> Result<(), LinkError> {
        self.say("logs", &packed(batch)?, |r| r).await.map(|_| ())
    }

    /// Waits a random part of a time that doubles with each attempt, so that a thousand agents do not come back at once; and
    /// at least for as long as the server asked for.
    pub(super) async fn pause(&self, attempt: u32) {
        let first = (self.longest_pause / 300).clamp(Duration::from_millis(50), Duration::from_secs(1));
        let most = first.saturating_mul(1 << attempt.min(16)).min(self.longest_pause);
        let pause = most.mul_f64(rand::random_range(0.0..=1.0)).max(first / 5);
        let busy = *self.shared.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = busy.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
        tokio::time::sleep(pause.max(asked)).await;
    }

    async fn say(
        &self,
        path: &str,
        body: &Packed,
        ask: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, LinkError> {
        let answer = self.send(Method::POST, path, body, |r| ask(r.timeout(CALL))).await?;
        self.checked(answer).await
    }

    // Sends it, signed; once more where only our clock was wrong.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &Packed,
        ask: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, LinkError> {
        let mut corrected = false;
        loop {
            let request = ask(self.client.request(method.clone(), format!("{}/{path}", self.base)));
            let mut request = request.build().map_err(away)?;
            let now_s = SystemClock.now().0.div_euclid(1000) + self.shared.ahead_s.load(Ordering::Relaxed);
            let nonce = format!("{:032x}", rand::random::<u128>());
            let key = Arc::clone(&self.shared.key.read().unwrap_or_else(PoisonError::into_inner));
            let signed = sign_request(
                &key,
                &self.node(),
                (method.as_str(), request.url().as_str()),
                &body.bytes,
                now_s,
                &nonce,
            );
            let headers = request.headers_mut();
            for (name, value) in [
                ("content-digest", signed.content_digest),
                ("signature-input", signed.signature_input),
                ("signature", signed.signature),
            ] {
                headers.insert(
                    name,
                    value
                        .parse()
                        .map_err(|_| LinkError::Refused("it cannot be signed".to_owned()))?,
                );
            }
            if !body.bytes.is_empty() {
                headers.insert(CONTENT_TYPE, reqwest::header::HeaderValue::from_static("application/json"));
                if body.gzip {
                    headers.insert(CONTENT_ENCODING, reqwest::header::HeaderValue::from_static("gzip"));
                }
                *request.body_mut() = Some(body.bytes.clone().into());
            }
            let answer = self.client.execute(request).await.map_err(away)?;
            if answer.status() == StatusCode::UNAUTHORIZED && !corrected && self.correct_clock(answer.headers(), now_s) {
                corrected = true;
                continue;
            }
            return Ok(answer);
        }
    }

    // Whether the server's clock is another than the one that was signed by.
    fn correct_clock(&self, headers: &HeaderMap, signed_s: i64) -> bool {
        let date = headers.get(DATE).and_then(|v| v.to_str().ok());
        let Some(date) = date.and_then(|text| DateTimeParser::new().parse_timestamp(text).ok()) else {
            return false;
        };
        let off = date.as_second() - signed_s;
        if off.abs() < 2 {
            return false;
        }
        tracing::warn!(
            seconds = off,
            "the node's clock differs from the server's; signing by the server's"
        );
        self.shared.ahead_s.fetch_add(off, Ordering::Relaxed);
        true
    }

    async fn checked(&self, answer: Response) -> Result<Response, LinkError> {
        let status = answer.status();
        let wish = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        if let Some(seconds) = wish {
            let until = Instant::now() + Duration::from_secs(seconds).min(LONGEST_WISH);
            *self.shared.busy_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        }
        match status.as_u16() {
            200..=299 => Ok(answer),
            401 | 403 => Err(LinkError::Unknown(status)),
            400 | 409 | 413 | 415 | 422 => Err(LinkError::Refused(said(answer).await)),
            _ => Err(LinkError::Away(status.to_string())),
        }
    }
}

/// A message as it is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    gzip: bool,
}

/// Packs a message.
///
/// # Errors
/// Where it cannot be JSON.
pub(super) fn packed(message: &impl Serialize) -> Result<Packed, LinkError> {
    let refused = |error: &dyn std::fmt::Display| LinkError::Refused(error.to_string());
    let plain = serde_json::to_vec(message).map_err(|e| refused(&e))?;
    if plain.len() < WORTH_PACKING {
        return Ok(Packed {
            bytes: plain,
            gzip: false,
        });
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&plain).map_err(|e| refused(&e))?;
    Ok(Packed {
        bytes: encoder.finish().map_err(|e| refused(&e))?,
        gzip: true,
    })
}

fn encoded(part: &str) -> String {
    use std::fmt::Write as _;
    part.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            text.push(byte.into());
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

async fn said(answer: Response) -> String {
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    format!("{status} {}", text.chars().take(300).collect::<String>())
}

fn away(error: reqwest::Error) -> LinkError {
    use std::error::Error as _;
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    LinkError::Away(format!("{} {cause}", error.without_url()).trim().to_owned())
}
