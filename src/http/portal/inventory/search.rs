//! Searching every noun in the inventory's grammar, with the same question for the API and the command line beside it.

use super::super::fields::{Fields, QueryFields, encode};
use super::super::view::Look;
use crate::control::search::SearchRequest;
use crate::http::api::search::split;
use crate::http::auth::Viewer;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::search::INDEXES;
use crate::wire::inventory::SearchView;
use crate::wire::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

const PAGE: i64 = 50;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new().route("/inventory/search", get(search))
}

async fn search(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let asked = query.text("kind");
    let index = INDEXES.into_iter().find(|index| *index == asked).unwrap_or("node");
    let q = query.text("q").trim();
    let request = SearchRequest {
        query: Some(q.to_owned()).filter(|q| !q.is_empty()),
        rows: PAGE,
        cursor: query.filled("cursor").map(str::to_owned),
        fields: split(query.filled("fields")),
        ..SearchRequest::default()
    };
    let (found, refused) = match state.control.search(&actor, index, &request).await {
        Ok(found) => (Some(found), None),
        Err(error) if ["query-invalid", "query-too-wide"].contains(&error.fault.code.as_str()) => {
            (None, Some(Problem::from(error)))
        }
        Err(error) => return Err(error.into()),
    };
    let rows = found
        .as_ref()
        .map(|found| rows(index, found, &request.fields))
        .unwrap_or_default();
    let context = json!({
        "kinds": INDEXES,
        "index": index,
        "q": q,
        "fields": query.text("fields").trim(),
        "columns": request.fields,
        "total": found.as_ref().map(|found| found.total),
        "next": found.as_ref().and_then(|found| found.next.as_deref()),
        "further": request.cursor.is_some(),
        "rows": rows,
        "refused": refused,
        "curl": curl(&state.public_url, index, &query),
        "command": command(index, &query),
        "base": format!("/inventory/search?kind={index}&q={}&fields={}", encode(q), encode(query.text("fields").trim())),
    });
    Ok(look.page("inventory/search.html", Some(&actor), context))
}

// A row with where its thing is shown, the wanted values in order, and all of it as text.
fn rows(index: &str, found: &SearchView, fields: &[String]) -> Vec<Value> {
    let at = |row: &Value, field: &str| {
        let value = field.split('.').fold(row, |value, key| &value[key]);
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    };
    let rows = found.rows.iter().map(|row| {
        let name = row["name"].as_str();
        let page = match index {
            "app" => name.map(|name| format!("/apps/{name}")),
            "stack" => row["id"].as_str().or(name).map(|id| format!("/stacks/{id}")),
            kind => name.map(|name| format!("/inventory/{kind}s/{name}")),
        };
        json!({
            "name": name,
            "page": page,
            "cells": fields.iter().map(|field| at(row, field)).collect::<Vec<_>>(),
            "text": format!("{row:#}"),
        })
    });
    rows.collect()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn command(index: &str, query: &Fields) -> String {
    let mut line = format!("greenroom search {index}");
    if let Some(q) = query.filled("q") {
        line.push(' ');
        line.push_str(&quoted(q));
    }
    if let Some(fields) = query.filled("fields") {
        line.push_str(" --fields ");
        line.push_str(&quoted(fields));
    }
    line
}

fn curl(server: &str, index: &str, query: &Fields) -> String {
    let pairs = ["q", "fields"]
        .into_iter()
        .filter_map(|name| query.filled(name).map(|value| (name, value)));
    let words = pairs.map(|(name, value)| format!(" --data-urlencode {}", quoted(&format!("{name}={value}"))));
    let words: String = words.collect();
    format!("curl -G -H \"Authorization: Bearer $GREENROOM_TOKEN\"{words} {server}/api/v1/search/{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_one_word_of_a_shell() {
        let query = Fields(vec![
            ("q".into(), "title:\"it's\" AND $(rm x)".into()),
            ("fields".into(), "name".into()),
        ]);
        assert_eq!(
            command("app", &query),
            r#"greenroom search app 'title:"it'\''s" AND $(rm x)' --fields 'name'"#
        );
        let line = curl("http://127.0.0.1:7400", "app", &query);
        assert!(
            line.contains(r#"--data-urlencode 'q=title:"it'\''s" AND $(rm x)' --data-urlencode 'fields=name'"#),
            "{line}"
        );
    }
}
