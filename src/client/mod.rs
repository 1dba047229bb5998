//! The typed client of `/api/v1`, used by the CLI and the demo. Every refusal comes back as the server's own problem, and so
//! does a server that does not answer.
//!
//! It knows no command and prints nothing. The token goes to the one server it was given for: redirects are not followed.

mod agents;
mod apps;
mod bundles;
mod images;
mod interop;
mod inventory;
mod presets;
mod previews;
mod providers;
mod runs;
mod secrets;
mod sharing;
mod stacks;
mod users;

pub use interop::Fetched;
pub use runs::Events;

use crate::model::fault::Fault;
use crate::wire::Page;
use crate::wire::problem::Problem;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// What a call gives.
pub type Result<T, E = Box<Problem>> = std::result::Result<T, E>;

const CONNECT: Duration = Duration::from_secs(5);
// A launch is planned within the call, which may fetch repositories.
const ANSWER: Duration = Duration::from_mins(2);
const PAGE: &str = "200";
/// How many seconds a log call waits for more.
pub const LOG_WAIT: u64 = 20;

// The parameters that have a value.
fn given<T, const N: usize>(all: [(&str, Option<T>); N]) -> Vec<(&str, T)> {
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// A connection to a server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at this address.
    ///
    /// # Errors
    /// `invalid-request` where the address is none.
    pub fn new(server: &str, token: Option<String>) -> Result<Self> {
        let refuse = |why: &dyn std::fmt::Display| {
            problem(
                Fault::new("invalid-request", format!("`{server}` is not the address of a server"))
                    .why(why)
                    .next("Give one like http://127.0.0.1:7400"),
            )
        };
        let base: Url = server.parse().map_err(|e| refuse(&e))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(refuse(&"it must start with http:// or https://"));
        }
        let loopback = base
            .host_str()
            .is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("greenroom/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        if loopback {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| refuse(&e))?;
        Ok(Self { http, base, token })
    }

    /// The server's address, without a slash at the end.
    pub fn server(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    fn ask(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = self.http.request(method, self.url(&["api", "v1"], path)).timeout(ANSWER);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    // At an address that is its own proof.
    fn ask_at(&self, path: &[&str]) -> RequestBuilder {
        self.http.get(self.url(path, &[])).timeout(ANSWER)
    }

    fn url(&self, below: &[&str], path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(below).extend(path);
        }
        url
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.refused(answer).await)
        }
    }

    // As `send`, where "as it was" is an answer too.
    async fn send_or_known(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() || answer.status() == reqwest::StatusCode::NOT_MODIFIED {
            Ok(answer)
        } else {
            Err(self.refused(answer).await)
        }
    }

    async fn refused(&self, answer: Response) -> Box<Problem> {
        let status = answer.status();
        let text = match answer.text().await {
            Ok(text) => text,
            Err(error) => return self.unreachable(&error),
        };
        serde_json::from_str::<Problem>(&text).map_or_else(
            |_| {
                problem(
                    Fault::new(
                        "server-unreachable",
                        format!("What answers at {} is no Greenroom server", self.server()),
                    )
                    .why(format!("it says {status}")),
                )
            },
            Box::new,
        )
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let text = self.send(request).await?.text().await;
        let text = text.map_err(|error| self.unreachable(&error))?;
        serde_json::from_str(&text).map_err(|error| {
            problem(
                Fault::new("internal", format!("The answer of {} is not understood", self.server()))
                    .why(error)
                    .next("Use a client of the server's version"),
            )
        })
    }

    async fn bytes(&self, request: RequestBuilder) -> Result<Vec<u8>> {
        let bytes = self.send(request).await?.bytes().await;
        Ok(bytes.map_err(|error| self.unreachable(&error))?.to_vec())
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        self.json(self.ask(Method::GET, path)).await
    }

    // All pages, up to a limit of items.
    async fn list<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)], limit: usize) -> Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut request = self.ask(Method::GET, path).query(query).query(&[("limit", PAGE)]);
            if let Some(cursor) = &cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page: Page<T> = self.json(request).await?;
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() || items.len() >= limit {
                items.truncate(limit);
                return Ok(items);
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Box<Problem> {
        let why = if error.is_timeout() {
            "it took too long".to_owned()
        } else if error.is_connect() {
            "nothing listens there".to_owned()
        } else {
            let mut cause: &dyn std::error::Error = error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            cause.to_string()
        };
        problem(Fault::new("server-unreachable", format!("{} does not answer", self.server())).why(why))
    }
}

fn wait_seconds(wait: bool) -> i64 {
    if wait { LOG_WAIT.cast_signed() } else { 0 }
}

fn problem(fault: Fault) -> Box<Problem> {
    Box::new(Problem::from(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Result<Client> {
        crate::tls::install();
        Client::new(server, None)
    }

    #[test]
    fn names_stay_inside_their_part_of_the_address() {
        let client = client("http://127.0.0.1:7400/below/").unwrap();
        let request = client
            .ask(Method::GET, &["stacks", "../apps?x=1#y", "extend"])
            .build()
            .unwrap();
        assert_eq!(
            request.url().as_str(),
            "http://127.0.0.1:7400/below/api/v1/stacks/..%2Fapps%3Fx=1%23y/extend"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["greenroom", "ftp://x", "mailto:x"] {
            let problem = client(text).unwrap_err();
            assert_eq!(problem.code, "invalid-request");
            assert!(problem.hint.contains("http://127.0.0.1:7400"), "{problem:?}");
        }
    }
}
