//! Answers that can be waited for: a client says which answer it has (`If-None-Match`), how long it would wait for another
//! (`wait`), and hears of it only once the answer is another.

use super::changes::{Waiter, Woken};
use super::problem::ApiError;
use super::state::AppState;
use crate::control::ControlError;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Semaphore;

const LONGEST: u64 = 300;

// A wait holds a connection and a place in the broadcast.
static WAITS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(16_384)));

/// An answer and its name.
#[derive(Debug)]
pub struct Answer {
    etag: String,
    body: Vec<u8>,
    link: Option<String>,
}

impl Answer {
    /// An answer that is named by its content.
    pub fn of<T: Serialize>(value: &T) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(|error| {
            tracing::error!(%error, "an answer cannot be written");
            ApiError::new("internal", "The answer cannot be written")
        })?;
        let etag = format!("\"{}\"", crate::model::secret::hash(&String::from_utf8_lossy(&body)));
        Ok(Self { etag, body, link: None })
    }

    /// Names it otherwise: by the version that `If-Match` takes.
    pub fn named(mut self, name: impl std::fmt::Display) -> Self {
        self.etag = format!("\"{name}\"");
        self
    }

    /// Says where the next page is.
    pub fn link(mut self, link: Option<String>) -> Self {
        self.link = link;
        self
    }

    /// Its name as an `ETag`.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    fn into_response(self) -> Response {
        let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], self.body).into_response();
        for (name, value) in [(header::ETAG, Some(self.etag)), (header::LINK, self.link)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Answers, at once or once the answer is another than the one the client has.
pub async fn answer<F>(
    state: &AppState,
    headers: &HeaderMap,
    wait: Option<u64>,
    wanted: impl Fn(&str) -> bool,
    mut compute: impl FnMut() -> F,
) -> Result<Response, ApiError>
where
    F: Future<Output = Result<Answer, ApiError>>,
{
    if wait.is_some_and(|wait| wait > LONGEST) {
        return Err(ControlError::field("wait", format!("it must be at most {LONGEST} seconds")).into());
    }
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.trim().trim_start_matches("W/").to_owned());
    let wait = wait.filter(|wait| *wait > 0 && known.is_some());
    let _place = match wait {
        Some(_) => Some(
            Arc::clone(&WAITS)
                .try_acquire_owned()
                .map_err(|_| ApiError::new("too-busy", "Too many requests wait"))?,
        ),
        None => None,
    };
    // Listening begins before the answer is made, so that nothing between the two is missed.
    let mut waiter = wait.map(|wait| Waiter::new(state, Duration::from_secs(wait)));
    loop {
        let answer = compute().await?;
        if known.as_deref() != Some(answer.etag()) {
            return Ok(answer.into_response());
        }
        let over = match &mut waiter {
            Some(waiter) => waiter.next(&wanted).await == Woken::Over,
            None => true,
        };
        if over {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            if let Ok(etag) = HeaderValue::from_str(answer.etag()) {
                response.headers_mut().insert(header::ETAG, etag);
            }
            return Ok(response);
        }
    }
}

/// Whether a change of this topic can change what a search in this index finds.
pub fn concerns_index(index: &str, topic: &str) -> bool {
    match index {
        // A node is found under what its roles include, and by its facts.
        "node" => ["nodes", "facts", "roles"].contains(&topic) || topic.starts_with("node:"),
        index => topic.strip_suffix('s') == Some(index),
    }
}
