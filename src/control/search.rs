//! Searching: a query is read, looked up in the index, and its rows cut to what was asked for.

use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::diagnostic::{Diagnostic, Severity};
use crate::model::search::{INDEXES, Query, QueryError, Spelling, parse};
use crate::store::search::Search;
use crate::wire::inventory::SearchView;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

const MAX_ROWS: i64 = 1_000;

/// What to search for.
#[derive(Debug, Clone, Default)]
pub struct SearchRequest {
    /// The query; everything where absent.
    pub query: Option<String>,
    /// How many rows to pass over.
    pub start: i64,
    /// The most rows.
    pub rows: i64,
    /// An earlier page's `next`.
    pub cursor: Option<String>,
    /// The paths that are wanted; everything where empty.
    pub fields: Vec<String>,
    /// Also Chef's spellings of keys.
    pub chef: bool,
}

impl Control {
    /// Searches an index.
    ///
    /// # Errors
    /// `not-found` for an index that there is not; `query-invalid` with the place; `query-too-wide`.
    pub async fn search(&self, _actor: &Actor, index: &str, request: &SearchRequest) -> Result<SearchView> {
        if !INDEXES.contains(&index) {
            let mut error = ControlError::not_found("index", index);
            error.fault.why = format!("there are {}", INDEXES.join(", "));
            return Err(error);
        }
        if request.start < 0 {
            return Err(ControlError::field("start", "it must not be negative"));
        }
        if !(0..=MAX_ROWS).contains(&request.rows) {
            return Err(ControlError::field("rows", format!("it must be 0 to {MAX_ROWS}")));
        }
        let query = match &request.query {
            None => Query::All,
            Some(text) => parse(text).map_err(|error| refused(text, &error))?,
        };
        let wants = |field: &String| field == "facts" || field.starts_with("facts.") || request.chef;
        let found = self
            .store
            .search(&Search {
                kind: index,
                query: &query,
                spelling: if request.chef { Spelling::Chef } else { Spelling::Strict },
                after: request.cursor.as_deref(),
                start: request.start,
                // One more than asked for tells whether there are more.
                rows: if request.rows == 0 { 0 } else { request.rows + 1 },
                facts: index == "node" && (request.fields.is_empty() || request.fields.iter().any(wants)),
            })
            .await?
            .map_err(|_| ControlError::new("query-too-wide", "The query would look at too much"))?;
        let asked = usize::try_from(request.rows).unwrap_or_default();
        let mut found = found;
        let more = found.rows.len() > asked;
        found.rows.truncate(asked);
        let next = found.rows.last().map(|row| row.name.clone()).filter(|_| more);
        let rows = found.rows.into_iter().map(|row| partial(row.document, &request.fields));
        Ok(SearchView {
            total: found.total,
            start: request.start,
            rows: rows.collect(),
            next,
        })
    }

    /// The names of all that a query finds in an index, whole paths alone naming keys.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn found_names(&self, actor: &Actor, index: &str, query: &str) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        let mut request = SearchRequest {
            query: Some(query.to_owned()),
            rows: MAX_ROWS,
            fields: vec!["name".to_owned()],
            ..SearchRequest::default()
        };
        loop {
            let found = self.search(actor, index, &request).await?;
            names.extend(found.rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)));
            request.cursor = found.next;
            if request.cursor.is_none() {
                return Ok(names);
            }
        }
    }
}

fn refused(text: &str, error: &QueryError) -> ControlError {
    let mut refused = ControlError::new("query-invalid", "The query cannot be read");
    refused.fault.why = error.to_string();
    refused.diagnostics.push(Diagnostic {
        severity: Severity::Error,
        code: "query-invalid".to_owned(),
        message: error.message.clone(),
        file: "query".to_owned(),
        line: error.line,
        column: error.column,
        path: String::new(),
        help: Some(format!("expected {}", error.expected)),
        snippet: text
            .lines()
            .nth(error.line as usize - 1)
            .map(|line| line.chars().take(200).collect()),
    });
    refused
}

// Only these paths of a document, in its own shape.
fn partial(document: Value, fields: &[String]) -> Value {
    if fields.is_empty() {
        return document;
    }
    let mut out = Map::new();
    for field in fields {
        let mut place = &mut out;
        let mut keys = field.split('.').peekable();
        let found = at_path(&document, &field.split('.').collect::<Vec<_>>());
        while let Some(key) = keys.next() {
            if keys.peek().is_none() {
                place.insert(key.to_owned(), found.clone());
                break;
            }
            let next = place.entry(key.to_owned()).or_insert_with(|| json!({}));
            match next {
                Value::Object(map) => place = map,
                _ => break,
            }
        }
    }
    Value::Object(out)
}

/// The value under a path of keys; null where there is none.
fn at_path(document: &Value, path: &[&str]) -> Value {
    let found = path.iter().try_fold(document, |value, key| value.get(key));
    found.cloned().unwrap_or_default()
}

/// The value that one of Chef's paths means in a document: in it, in its values, or in its facts.
pub fn chef_value(document: &Value, path: &[&str]) -> Value {
    let named: Vec<&str> = path
        .iter()
        .enumerate()
        .map(|(index, key)| {
            if index == 0 {
                crate::model::search::chef_name(key)
            } else {
                key
            }
        })
        .collect();
    let places = [Some(document), document.get("values"), document.get("facts")];
    let mut found = places.into_iter().flatten().map(|place| at_path(place, &named));
    found.find(|value| !value.is_null()).unwrap_or_default()
}

/// A document as the object that Chef's clients know.
pub fn chef_object(index: &str, document: &Value) -> Value {
    let name = &document["name"];
    let or_empty = |value: &Value| if value.is_null() { json!({}) } else { value.clone() };
    match index {
        "node" => json!({
            "name": name,
            "chef_environment": document["environment"],
            "json_class": "Chef::Node",
            "chef_type": "node",
            "automatic": or_empty(&document["facts"]),
            "normal": or_empty(&document["values"]),
            "default": {},
            "override": {},
            "run_list": if document["run_list"].is_null() { json!([]) } else { document["run_list"].clone() },
        }),
        "role" => json!({
            "name": name,
            "description": document["description"].as_str().unwrap_or_default(),
            "json_class": "Chef::Role",
            "chef_type": "role",
            "default_attributes": or_empty(&document["values"]),
            "override_attributes": {},
            "run_list": document["recipes"].as_array().into_iter().flatten()
                .map(|recipe| format!("recipe[{}]", recipe.as_str().unwrap_or_default())).collect::<Vec<_>>(),
            "env_run_lists": {},
        }),
        "environment" => json!({
            "name": name,
            "description": document["description"].as_str().unwrap_or_default(),
            "json_class": "Chef::Environment",
            "chef_type": "environment",
            "cookbook_versions": {},
            "default_attributes": or_empty(&document["values"]),
            "override_attributes": {},
        }),
        _ => document.clone(),
    }
}
