//! The inventory in the formats of other tools, as text: whoever asked knows the format.

use super::{Client, Result};
use reqwest::{Method, StatusCode, header};

/// What came of asking for something that may be known already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It is as it was.
    Known,
    /// This is how it is now.
    New {
        /// Names this state of it.
        etag: Option<String>,
        /// The text.
        body: String,
    },
}

impl Client {
    /// An answer of `/api/v1/interop`, unless it is still the one that `known` names.
    ///
    /// # Errors
    /// The server's problem, or that it does not answer.
    pub async fn interop(&self, path: &[&str], query: &[(&str, &str)], known: Option<&str>) -> Result<Fetched> {
        let whole: Vec<&str> = std::iter::once("interop").chain(path.iter().copied()).collect();
        let mut request = self.ask(Method::GET, &whole).query(query);
        if let Some(etag) = known {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let answer = self.send_or_known(request).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::Known);
        }
        let etag = answer
            .headers()
            .get(header::ETAG)
            .and_then(|tag| tag.to_str().ok())
            .map(str::to_owned);
        let body = answer.text().await.map_err(|error| self.unreachable(&error))?;
        Ok(Fetched::New { etag, body })
    }
}
