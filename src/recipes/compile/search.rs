//! `search()` in templates: the compiler asks whoever knows the fleet, and remembers what it asked and what it was told.

use minijinja::value::{Serde, Value as Template};
use minijinja::{Environment, Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The most things that one search may find.
pub const MAX_FOUND: usize = 1_000;

/// Finds things of the inventory.
pub trait Search: Send + Sync {
    /// What a query finds among the things of a kind (`node`, `app`, ...): one document each, sorted by name.
    ///
    /// # Errors
    /// What is wrong with the kind or the query, in words.
    fn search(&self, kind: &str, query: &str) -> Result<Vec<Value>, String>;
}

/// Finds nothing: for compiles where no inventory is at hand.
#[derive(Debug, Clone, Copy)]
pub struct NoSearch;

impl Search for NoSearch {
    fn search(&self, _kind: &str, _query: &str) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }
}

/// A question that a configuration depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Searched {
    /// What was looked among.
    pub kind: String,
    /// What was looked for.
    pub query: String,
    /// Hash of the answer: where it changes, so may the configuration.
    pub answer: String,
}

/// Hash of an answer.
pub fn answer_hash(found: &[Value]) -> String {
    let bytes = serde_json::to_vec(found).unwrap_or_default();
    crate::model::secret::hex("sha256:", &Sha256::digest(bytes))
}

/// What one compile asked.
#[derive(Clone)]
pub(super) struct Asked {
    search: Arc<dyn Search>,
    answers: Arc<Mutex<BTreeMap<(String, String), Answer>>>,
}

#[derive(Clone)]
struct Answer {
    found: Template,
    hash: String,
}

impl Asked {
    pub(super) fn new(search: Arc<dyn Search>) -> Self {
        Self {
            search,
            answers: Arc::default(),
        }
    }

    /// Lets templates ask.
    pub(super) fn teach(&self, environment: &mut Environment<'_>) {
        let asked = self.clone();
        environment.add_function("search", move |query: String, kind: Option<String>| {
            asked.ask(kind.unwrap_or_else(|| "node".to_owned()), query)
        });
    }

    fn ask(&self, kind: String, query: String) -> Result<Template, Error> {
        let refuse = |why: String| Error::new(ErrorKind::InvalidOperation, why);
        let key = (kind, query);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers.get(&key) {
            return Ok(answer.found.clone());
        }
        let found = self
            .search
            .search(&key.0, &key.1)
            .map_err(|why| refuse(format!("the search {:?} cannot be answered: {why}", key.1)))?;
        if found.len() > MAX_FOUND {
            return Err(refuse(format!(
                "the search {:?} finds more than {MAX_FOUND} things; narrow it down",
                key.1
            )));
        }
        let answer = Answer {
            hash: answer_hash(&found),
            found: Template::from(Serde(&found)),
        };
        let result = answer.found.clone();
        answers.insert(key, answer);
        Ok(result)
    }

    /// Everything that was asked, in order.
    pub(super) fn finish(&self) -> Vec<Searched> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .iter()
            .map(|((kind, query), answer)| Searched {
                kind: kind.clone(),
                query: query.clone(),
                answer: answer.hash.clone(),
            })
            .collect()
    }
}
