//! The typed client of `/api/v1`, used by the CLI and the demo. Every refusal comes back as the server's own problem, and so
//! does a server that does not answer.
//!
//! It knows no command and prints nothing. The token goes to the one server it was given for: redirects are not followed.

use crate::model::fault::Fault;
use crate::model::run::Signal;
use crate::wire::Page;
use crate::wire::apps::{AppSummary, AppView, RevisionView, ValidationView, VersionView};
use crate::wire::auth::{LoginLink, NewToken, NewUser, TokenView, UserView};
use crate::wire::problem::Problem;
use crate::wire::runs::{LogPage, RunView};
use crate::wire::stacks::{Accepted, ExtendRequest, LaunchRequest, PlanView, StackView, UpdateRequest};
use reqwest::{Method, RequestBuilder, Response, Url, header};
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
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let request = self.http.request(method, url).timeout(ANSWER);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        Err(serde_json::from_str::<Problem>(&text).map_or_else(
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
        ))
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

    /// Who the token stands for.
    ///
    /// # Errors
    /// The server's problem, as for every call here.
    pub async fn me(&self) -> Result<UserView> {
        self.get(&["me"]).await
    }
}

/// Apps.
impl Client {
    /// All apps with a text in name, title, owners or tags.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_apps(&self, text: Option<&str>) -> Result<Vec<AppSummary>> {
        let query: Vec<(&str, &str)> = text.map(|text| ("text", text)).into_iter().collect();
        self.list(&["apps"], &query, usize::MAX).await
    }

    /// One app.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_app(&self, name: &str) -> Result<AppView> {
        self.get(&["apps", name]).await
    }

    /// Checks a descriptor against everything the server knows; `file` is what findings call it.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn validate_app(&self, file: &str, descriptor: Vec<u8>) -> Result<ValidationView> {
        let request = self.ask(Method::POST, &["apps", "validate"]).query(&[("file", file)]);
        self.json(with_descriptor(request, descriptor)).await
    }

    /// Registers an app.
    ///
    /// # Errors
    /// The server's problem; `descriptor-invalid` with findings.
    pub async fn create_app(&self, file: &str, descriptor: Vec<u8>) -> Result<AppView> {
        let request = self.ask(Method::POST, &["apps"]).query(&[("file", file)]);
        self.json(with_descriptor(request, descriptor)).await
    }

    /// Saves a new version of an app that was edited from this version.
    ///
    /// # Errors
    /// The server's problem; `changed-meanwhile` with the difference.
    pub async fn save_app(&self, name: &str, file: &str, descriptor: Vec<u8>, edited: i64) -> Result<AppView> {
        let request = self
            .ask(Method::PUT, &["apps", name])
            .query(&[("file", file)])
            .header(header::IF_MATCH, format!("\"{edited}\""));
        self.json(with_descriptor(request, descriptor)).await
    }

    /// Takes an app out of the inventory.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn remove_app(&self, name: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["apps", name])).await.map(|_| ())
    }

    /// Every accepted version of an app's descriptor, newest first.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_versions(&self, name: &str) -> Result<Vec<VersionView>> {
        self.list(&["apps", name, "versions"], &[], usize::MAX).await
    }

    /// Branches, tags and recent commits of an app's repository.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_revisions(&self, name: &str, fresh: bool) -> Result<Vec<RevisionView>> {
        let fresh = if fresh { "true" } else { "false" };
        self.list(&["apps", name, "revisions"], &[("fresh", fresh)], usize::MAX).await
    }
}

fn with_descriptor(request: RequestBuilder, descriptor: Vec<u8>) -> RequestBuilder {
    request.header(header::CONTENT_TYPE, "application/json").body(descriptor)
}

/// Stacks.
impl Client {
    /// What a launch would do.
    ///
    /// # Errors
    /// The server's problem; `invalid-request` with fields.
    pub async fn plan_stack(&self, request: &LaunchRequest) -> Result<PlanView> {
        self.json(self.ask(Method::POST, &["stacks", "plan"]).json(request)).await
    }

    /// Launches a stack.
    ///
    /// # Errors
    /// As [`Self::plan_stack`].
    pub async fn launch_stack(&self, request: &LaunchRequest) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks"]).json(request)).await
    }

    /// Stacks, newest first.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_stacks(&self, mine: bool, ended: bool, text: Option<&str>, limit: usize) -> Result<Vec<StackView>> {
        let flag = |value: bool| if value { "true" } else { "false" };
        let mut query = vec![("mine", flag(mine)), ("ended", flag(ended))];
        query.extend(text.map(|text| ("text", text)));
        self.list(&["stacks"], &query, limit).await
    }

    /// One stack, by id or name.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_stack(&self, stack: &str) -> Result<StackView> {
        self.get(&["stacks", stack]).await
    }

    /// Gives a stack more time.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn extend_stack(&self, stack: &str, request: &ExtendRequest) -> Result<StackView> {
        self.json(self.ask(Method::POST, &["stacks", stack, "extend"]).json(request))
            .await
    }

    /// Brings apps of a stack to other revisions.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn update_stack(&self, stack: &str, request: &UpdateRequest) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks", stack, "update"]).json(request))
            .await
    }

    /// Tries a failed launch or update again.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn retry_stack(&self, stack: &str) -> Result<Accepted> {
        self.json(self.ask(Method::POST, &["stacks", stack, "retry"])).await
    }

    /// Destroys a stack.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn destroy_stack(&self, stack: &str) -> Result<Accepted> {
        self.json(self.ask(Method::DELETE, &["stacks", stack])).await
    }

    /// What a service of a stack said after a place; waits a while for more where asked to.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn service_log(&self, stack: &str, service: &str, after: i64, wait: bool) -> Result<LogPage> {
        let request = self.ask(Method::GET, &["stacks", stack, "services", service, "log"]);
        self.json(request.query(&[("after", after), ("wait", wait_seconds(wait))]))
            .await
    }
}

fn wait_seconds(wait: bool) -> i64 {
    if wait { LOG_WAIT.cast_signed() } else { 0 }
}

/// Runs.
impl Client {
    /// Runs, newest first.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_runs(&self, subject: Option<&str>, limit: usize) -> Result<Vec<RunView>> {
        let query: Vec<(&str, &str)> = subject.map(|subject| ("subject", subject)).into_iter().collect();
        self.list(&["runs"], &query, limit).await
    }

    /// One run with its steps.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn show_run(&self, run: &str) -> Result<RunView> {
        self.get(&["runs", run]).await
    }

    /// Says something to a run.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn signal_run(&self, run: &str, signal: &Signal) -> Result<RunView> {
        self.json(self.ask(Method::POST, &["runs", run, "signals"]).json(signal))
            .await
    }

    /// What a step logged after a place; waits a while for more where asked to.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn step_log(&self, run: &str, step: &str, after: i64, wait: bool) -> Result<LogPage> {
        let request = self.ask(Method::GET, &["runs", run, "steps", step, "log"]);
        self.json(request.query(&[("after", after), ("wait", wait_seconds(wait))]))
            .await
    }

    /// Wake-ups about these topics.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn events(&self, topics: &str) -> Result<Events> {
        let request = self.ask(Method::GET, &["events"]).query(&[("topics", topics)]);
        // A stream lasts as long as it lasts.
        let answer = self.send(request.timeout(Duration::from_hours(1))).await?;
        Ok(Events(answer))
    }
}

/// A stream of wake-ups. What woke is not said: whoever waits reads again.
#[derive(Debug)]
pub struct Events(Response);

impl Events {
    /// Waits for the next one; false where the stream has ended.
    pub async fn next(&mut self) -> bool {
        matches!(self.0.chunk().await, Ok(Some(_)))
    }
}

/// Accounts and tokens.
impl Client {
    /// One's own tokens.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_tokens(&self) -> Result<Vec<TokenView>> {
        self.list(&["tokens"], &[], usize::MAX).await
    }

    /// Makes a token; the answer alone holds its secret.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_token(&self, request: &NewToken) -> Result<TokenView> {
        self.json(self.ask(Method::POST, &["tokens"]).json(request)).await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["tokens", id])).await.map(|_| ())
    }

    /// All accounts.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_users(&self) -> Result<Vec<UserView>> {
        self.list(&["users"], &[], usize::MAX).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_user(&self, request: &NewUser) -> Result<UserView> {
        self.json(self.ask(Method::POST, &["users"]).json(request)).await
    }

    /// Makes a one-time sign-in link for an account.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_login_link(&self, user: &str) -> Result<LoginLink> {
        self.json(self.ask(Method::POST, &["users", user, "login-links"])).await
    }
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
