//! The line to the Docker engine, and what its refusals mean to whoever launches.

use super::ProviderError;
use bollard::errors::Error;
use std::time::Duration;
use tokio::sync::OnceCell;

// A commit of a large node takes a while; whoever calls has a limit of their own.
const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_WORD: Duration = Duration::from_secs(5);
const USUAL: &str = "unix:///var/run/docker.sock";

/// An engine that is asked for at first need, and again for as long as it has not answered.
#[derive(Debug)]
pub(super) struct Engine {
    host: String,
    client: OnceCell<bollard::Docker>,
}

impl Engine {
    /// The engine at this address; where empty, what `DOCKER_HOST` names, or this machine's.
    pub(super) fn new(host: &str) -> Self {
        let named = Some(host.to_owned()).filter(|host| !host.is_empty());
        let host = named.or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()));
        Self {
            host: host.unwrap_or_else(|| USUAL.to_owned()),
            client: OnceCell::new(),
        }
    }

    /// Where it is.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether it sees the file system of this machine.
    pub(super) fn is_here(&self) -> bool {
        self.host.starts_with("unix://")
    }

    /// The engine, once it has said which version of its API it speaks.
    pub(super) async fn client(&self) -> Result<&bollard::Docker, ProviderError> {
        let asked = self.client.get_or_try_init(|| async {
            let client = bollard::Docker::connect_with_host(&self.host)?.with_timeout(FIRST_WORD);
            Ok(client.negotiate_version().await?.with_timeout(PATIENCE))
        });
        asked
            .await
            .map_err(|error: Error| self.failed("it was asked for its version", &error))
    }

    /// What a call that came to nothing means.
    pub(super) fn failed(&self, what: &str, error: &Error) -> ProviderError {
        let said = message(error);
        if let Error::DockerResponseServerError { status_code, .. } = error {
            let why = format!("{what}: the Docker engine says: {said}");
            return if said.contains("no space left on device") {
                ProviderError::DiskFull { why }
            } else if *status_code == 403 || *status_code == 400 {
                ProviderError::Denied { why }
            } else {
                ProviderError::Retry { why }
            };
        }
        if denied(error) {
            return ProviderError::Denied {
                why: format!(
                    "this server may not use the Docker engine at {}: its account must be in the group `docker` ({said})",
                    self.host
                ),
            };
        }
        ProviderError::Retry {
            why: format!(
                "the Docker engine at {} does not answer ({said}): start it with `systemctl start docker`, or name another one in \
                 `docker.host`",
                self.host
            ),
        }
    }
}

/// Whether an error says that there is no such thing.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}

/// Whether an error says that something stands in the way that will not stay: the same name, a removal under way.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 409, .. })
}

/// The engine's own words, or why there are none.
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        _ => causes(error).last().cloned().unwrap_or_default(),
    }
}

/// Nothing where there is no such thing.
pub(super) fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn denied(error: &Error) -> bool {
    causes(error).iter().any(|cause| cause.contains("Permission denied"))
}

fn causes(error: &Error) -> Vec<String> {
    let mut all = vec![error.to_string()];
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        all.push(cause.to_string());
        next = cause.source();
    }
    all
}
