//! Secrets: fetched from the server at the moment of use, held in memory only, and covered up wherever text leaves the agent.

use super::link::{Link, LinkError};
use crate::model::configuration::EnvValue;
use crate::model::fault::Fault;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

// A shorter value would cover up ordinary words.
const SHORTEST: usize = 6;

/// Covers up every secret value that was fetched so far.
#[derive(Clone, Default)]
pub(super) struct Veil(Arc<Mutex<BTreeSet<String>>>);

impl std::fmt::Debug for Veil {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Veil([redacted])")
    }
}

impl Veil {
    /// The text with each secret value replaced.
    pub(super) fn cover<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Cow::Borrowed(text);
        for value in values
            .iter()
            .filter(|value| text.contains(value.as_str()))
            .cloned()
            .collect::<Vec<_>>()
        {
            text = Cow::Owned(text.replace(&value, "[secret]"));
        }
        text
    }

    /// The fault with each secret value replaced.
    pub(super) fn cover_fault(&self, mut fault: Fault) -> Fault {
        for text in [&mut fault.what, &mut fault.why, &mut fault.next]
            .into_iter()
            .chain(&mut fault.log_tail)
        {
            if let Cow::Owned(covered) = self.cover(text) {
                *text = covered;
            }
        }
        fault
    }

    /// Covers up the passwords in variables of the node's settings: those in addresses, and values whose names say so.
    pub(super) fn add_given(&self, variables: &BTreeMap<String, String>) {
        for (name, value) in variables {
            let name = name.to_ascii_uppercase();
            if ["PASSWORD", "TOKEN", "SECRET", "_KEY"].iter().any(|word| name.contains(word)) {
                self.add(value);
            }
            // user:password@ of an address; a password with an `@` ends at the last one before the path.
            let authority = value
                .split_once("://")
                .map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
            let user = authority.and_then(|authority| authority.rsplit_once('@'));
            if let Some((_, password)) = user.and_then(|(user, _)| user.split_once(':')) {
                self.add(password);
            }
        }
    }

    fn add(&self, value: &str) {
        if value.len() >= SHORTEST {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(value.to_owned());
        }
    }
}

/// Fetches secrets.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    source: Source,
    veil: Veil,
}

#[derive(Clone)]
enum Source {
    Server(Link),
    // Read from a file by someone who converges without a server.
    Given(Arc<BTreeMap<String, String>>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server(_) => "Server",
            Self::Given(_) => "Given([redacted])",
        })
    }
}

impl Secrets {
    /// Secrets from this server, covered up by this veil.
    pub(super) fn of_server(link: Link, veil: Veil) -> Self {
        Self {
            source: Source::Server(link),
            veil,
        }
    }

    /// These secrets and no others.
    pub(super) fn given(values: BTreeMap<String, String>, veil: Veil) -> Self {
        for value in values.values() {
            veil.add(value);
        }
        Self {
            source: Source::Given(Arc::new(values)),
            veil,
        }
    }

    /// The values of an environment. Waits for as long as the server is away.
    ///
    /// # Errors
    /// `configuration-refused` where the server has no such secret.
    pub(super) async fn resolve(&self, env: &BTreeMap<String, EnvValue>) -> Result<BTreeMap<String, String>, Fault> {
        let mut values = BTreeMap::new();
        for (name, value) in env {
            values.insert(name.clone(), self.value(value).await?);
        }
        Ok(values)
    }

    /// One value.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(super) async fn value(&self, value: &EnvValue) -> Result<String, Fault> {
        let mut found = BTreeMap::new();
        for name in value.secrets() {
            found.insert(name, self.fetch(name).await?);
        }
        let value = value.resolve(&|name| found.get(name).map(String::as_str));
        value.ok_or_else(|| Fault::new("internal", "A value cannot be put together from its secrets"))
    }

    async fn fetch(&self, name: &str) -> Result<String, Fault> {
        let link = match &self.source {
            Source::Server(link) => link,
            Source::Given(values) => {
                return values.get(name).cloned().ok_or_else(|| {
                    let fault = Fault::new(
                        "configuration-refused",
                        format!("The secret {name} is not known without a server"),
                    );
                    fault.next("Give a JSON object of names and values with --secrets FILE")
                });
            }
        };
        let mut attempt = 0;
        loop {
            match link.secret(name).await {
                Ok(found) => {
                    self.veil.add(&found.value);
                    return Ok(found.value);
                }
                Err(LinkError::Refused(why)) => {
                    return Err(Fault::new("configuration-refused", format!("The secret {name} cannot be fetched")).why(why));
                }
                Err(_) => link.pause(attempt).await,
            }
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_are_covered_wherever_they_show() {
        let veil = Veil::default();
        veil.add("hunter2hunter2");
        veil.add("a");
        assert_eq!(veil.cover("password=hunter2hunter2 a"), "password=[secret] a");
        let fault = Fault::new("state-failed", "It failed").log_tail(["see hunter2hunter2".to_owned()]);
        assert_eq!(veil.cover_fault(fault).log_tail, ["see [secret]"]);
    }

    #[test]
    fn passwords_in_a_nodes_variables_are_covered_and_the_rest_is_not() {
        let veil = Veil::default();
        veil.add_given(&BTreeMap::from([
            ("PIP_INDEX_URL".to_owned(), "https://reader:tiger@lily@host/simple".to_owned()),
            ("NPM_TOKEN".to_owned(), "npm_abcdef".to_owned()),
            ("SSL_CERT_FILE".to_owned(), "/etc/ssl/certs/all.crt".to_owned()),
        ]));
        let said = "https://reader:tiger@lily@host/simple npm_abcdef /etc/ssl/certs/all.crt";
        assert_eq!(
            veil.cover(said),
            "https://reader:[secret]@host/simple [secret] /etc/ssl/certs/all.crt"
        );
    }
}
