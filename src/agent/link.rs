//! The line to the server: the calls of [`crate::wire::agent`], and the pauses between attempts.
//!
//! It decides nothing. Whatever goes wrong is told apart only by whether trying again can help.

use crate::model::fault::Fault;
use crate::wire::agent::{LogBatch, Register, Report, SecretValue};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use std::time::Duration;

const POLL: Duration = Duration::from_secs(55);
const CALL: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(50);

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
    New {
        /// Sent back with the next question.
        etag: String,
        /// The document.
        body: Vec<u8>,
    },
    /// The same.
    Same,
    /// There is none yet.
    None,
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Link {
    client: Client,
    base: String,
    bearer: String,
    longest_pause: Duration,
}

impl Link {
    /// A line to this server for this node.
    pub(super) fn new(server_url: &str, node: &str, key: &str, longest_pause: Duration) -> Result<Self, Fault> {
        crate::tls::install();
        let client = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("greenroom-agent/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| Fault::new("internal", "The agent cannot make connections").why(e))?;
        Ok(Self {
            client,
            base: format!("{}/agent/v1", server_url.trim_end_matches('/')),
            bearer: format!("{node}:{key}"),
            longest_pause,
        })
    }

    /// Registers the node's key.
    pub(super) async fn register(&self, token: &str, body: &Register) -> Result<(), LinkError> {
        let request = self.client.post(format!("{}/register", self.base)).timeout(CALL);
        answered(request.bearer_auth(token).json(body)).await.map(|_| ())
    }

    /// Asks for the configuration and waits for another than the one of this ETag.
    pub(super) async fn configuration(&self, etag: Option<&str>) -> Result<Polled, LinkError> {
        let mut request = self.call(Method::GET, "configuration").timeout(POLL + CALL);
        request = request.header("prefer", format!("wait={}", POLL.as_secs()));
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let answer = request.send().await.map_err(away)?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => return Ok(Polled::Same),
            StatusCode::NOT_FOUND => return Ok(Polled::None),
            _ => {}
        }
        let answer = checked(answer).await?;
        let etag = answer.headers().get(ETAG).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let etag = etag.to_owned();
        let body = answer.bytes().await.map_err(away)?;
        Ok(Polled::New {
            etag,
            body: body.to_vec(),
        })
    }

    /// Fetches a secret's value.
    pub(super) async fn secret(&self, name: &str) -> Result<SecretValue, LinkError> {
        let path: String = name.split('/').map(encoded).collect::<Vec<_>>().join("/");
        let request = self.call(Method::GET, &format!("secrets/{path}")).timeout(CALL);
        let answer = request.send().await.map_err(away)?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(LinkError::Refused("the server has no such secret".to_owned()));
        }
        checked(answer).await?.json().await.map_err(away)
    }

    /// Sends a report.
    pub(super) async fn report(&self, report: &Report) -> Result<(), LinkError> {
        answered(self.call(Method::POST, "reports").timeout(CALL).json(report))
            .await
            .map(|_| ())
    }

    /// Sends pieces of logs; once this returns, the server has them for good.
    pub(super) async fn logs(&self, batch: &LogBatch) -> Result<(), LinkError> {
        answered(self.call(Method::POST, "logs").timeout(CALL).json(batch))
            .await
            .map(|_| ())
    }

    /// Waits a random part of a time that doubles with each attempt, so that a thousand agents do not come back at once.
    pub(super) async fn pause(&self, attempt: u32) {
        let most = FIRST_PAUSE.saturating_mul(1 << attempt.min(16)).min(self.longest_pause);
        tokio::time::sleep(most.mul_f64(rand::random_range(0.2..=1.0))).await;
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}/{path}", self.base))
            .bearer_auth(&self.bearer)
    }
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

async fn answered(request: RequestBuilder) -> Result<Response, LinkError> {
    checked(request.send().await.map_err(away)?).await
}

async fn checked(answer: Response) -> Result<Response, LinkError> {
    let status = answer.status();
    match status.as_u16() {
        200..=299 => Ok(answer),
        401 | 403 => Err(LinkError::Unknown(status)),
        400 | 413 | 415 | 422 => Err(LinkError::Refused(said(answer).await)),
        _ => Err(LinkError::Away(status.to_string())),
    }
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
