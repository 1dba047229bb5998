//! Chef's search addresses, for what was written against a Chef server: the same paths, bodies and errors, with a bearer
//! token for the signed headers.

use super::auth::Viewer;
use super::extract::{Body, Path, Query};
use super::problem::ApiError;
use super::state::AppState;
use crate::control::ControlError;
use crate::control::search::{SearchRequest, chef_object, chef_value};
use crate::wire::inventory::SearchView;
use crate::wire::problem::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const PAGE: i64 = 1_000;

/// Chef's addresses.
pub fn router() -> Router<AppState> {
    Router::new().route("/search/{index}", get(search).post(search_parts))
}

#[derive(Debug, Deserialize)]
struct ChefQuery {
    q: Option<String>,
    start: Option<String>,
    rows: Option<String>,
}

async fn search(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(index): Path<String>,
    Query(query): Query<ChefQuery>,
) -> Result<Response, ApiError> {
    let request = match read(&query) {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal),
    };
    Ok(match state.control.search(&actor, &index, &request).await {
        Ok(found) => answer(&found, |row| chef_object(&index, row)),
        Err(error) => refused(&query, error)?,
    })
}

async fn search_parts(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(index): Path<String>,
    Query(query): Query<ChefQuery>,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let Ok(wanted) = serde_json::from_slice::<BTreeMap<String, Vec<String>>>(&body) else {
        return Ok(error_body(&["invalid partial search request body".to_owned()], None));
    };
    let request = match read(&query) {
        Ok(request) => request,
        Err(refusal) => return Ok(refusal),
    };
    let noun = match index.as_str() {
        "app" => "apps",
        "datacenter" => "datacenters",
        "environment" => "environments",
        "role" => "roles",
        "stack" => "stacks",
        _ => "nodes",
    };
    let part = |row: &Value| {
        let name = row["name"].as_str().unwrap_or_default();
        let data: Map<String, Value> = wanted
            .iter()
            .map(|(key, path)| {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                (key.clone(), chef_value(row, &path))
            })
            .collect();
        json!({ "url": format!("{}/api/v1/{noun}/{name}", state.public_url), "data": data })
    };
    Ok(match state.control.search(&actor, &index, &request).await {
        Ok(found) => answer(&found, part),
        Err(error) => refused(&query, error)?,
    })
}

// Chef's own bounds and words. An absent query asks for everything; an empty one is an error.
fn read(query: &ChefQuery) -> Result<SearchRequest, Response> {
    let number = |name: &str, text: Option<&String>, default: i64| match text {
        None => Ok(default),
        Some(text) => match text.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(number),
            _ => Err(error_body(&[format!("invalid '{name}' value: '{text}'")], None)),
        },
    };
    if query.q.as_deref().is_some_and(|q| q.trim().is_empty()) {
        return Err(error_body(&["invalid search query: ''".to_owned()], None));
    }
    Ok(SearchRequest {
        query: query.q.clone(),
        start: number("start", query.start.as_ref(), 0)?,
        rows: number("rows", query.rows.as_ref(), PAGE)?.min(PAGE),
        cursor: None,
        fields: Vec::new(),
        chef: true,
    })
}

fn answer(found: &SearchView, row: impl Fn(&Value) -> Value) -> Response {
    let rows: Vec<Value> = found.rows.iter().map(row).collect();
    Json(json!({ "total": found.total, "start": found.start, "rows": rows })).into_response()
}

// A query that cannot be read is answered as Chef does, with its place besides; everything else as everywhere.
fn refused(query: &ChefQuery, error: ControlError) -> Result<Response, ApiError> {
    if error.fault.code != "query-invalid" && error.fault.code != "query-too-wide" {
        return Err(error.into());
    }
    let problem = Problem::from(error);
    let mut messages = vec![format!("invalid search query: '{}'", query.q.as_deref().unwrap_or_default())];
    messages.push(problem.detail);
    let place = problem.diagnostics.first().map(|found| {
        let expected = found.help.clone().unwrap_or_default();
        (found.line, found.column, expected)
    });
    Ok(error_body(&messages, place))
}

fn error_body(messages: &[String], place: Option<(u32, u32, String)>) -> Response {
    let mut body = json!({ "error": messages });
    if let Some((line, column, expected)) = place {
        body["line"] = json!(line);
        body["column"] = json!(column);
        body["expected"] = json!(expected);
    }
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}
