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

    fn add(&self, value: &str) {
        if value.len() >= SHORTEST {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(value.to_owned());
        }
    }
}

/// Fetches secrets.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    link: Link,
    veil: Veil,
}

impl Secrets {
    /// Secrets from this server, covered up by this veil.
    pub(super) fn new(link: Link, veil: Veil) -> Self {
        Self { link, veil }
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
        let mut attempt = 0;
        loop {
            match self.link.secret(name).await {
                Ok(found) => {
                    self.veil.add(&found.value);
                    return Ok(found.value);
                }
                Err(LinkError::Refused(why)) => {
                    return Err(Fault::new("configuration-refused", format!("The secret {name} cannot be fetched")).why(why));
                }
                Err(_) => self.link.pause(attempt).await,
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
}
