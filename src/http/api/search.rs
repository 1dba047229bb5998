//! Searching every index in Chef's grammar.

use crate::control::search::SearchRequest;
use crate::http::auth::Viewer;
use crate::http::extract::{Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::http::watched::{Answer, answer, concerns_index};
use crate::model::address::encode;
use crate::model::search::INDEXES;
use crate::wire::inventory::SearchView;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::IntoParams;

/// What to search for.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// The query, such as `role:web AND datacenter:dc1`; everything where absent.
    q: Option<String>,
    /// How many rows to pass over.
    start: Option<i64>,
    /// The most rows: 0 to 1000, 50 where absent; 0 gives the total alone.
    rows: Option<i64>,
    /// An earlier page's `next`; better than `start`, because rows that come or go do not move it.
    cursor: Option<String>,
    /// Only these paths of each row, separated by commas: `name,facts.machine.os`.
    fields: Option<String>,
    /// 1, as where absent: only whole paths name keys. 0: also `kernel_release` and the bare `release`.
    strict: Option<u8>,
    /// With `If-None-Match`: the most seconds to wait for another answer.
    wait: Option<u64>,
}

/// Lists what can be searched.
#[utoipa::path(
    get, path = "/api/v1/search", tag = "search", security(("token" = ["viewer"])),
    responses((status = 200, description = "The address of each index", body = BTreeMap<String, String>))
)]
pub async fn list_indexes(_viewer: Viewer, State(state): State<AppState>) -> Json<BTreeMap<String, String>> {
    let address = |index: &str| format!("{}/api/v1/search/{index}", state.public_url);
    Json(INDEXES.iter().map(|index| ((*index).to_owned(), address(index))).collect())
}

/// Searches an index; waits for another answer where asked to.
#[utoipa::path(
    get, path = "/api/v1/search/{index}", tag = "search", security(("token" = ["viewer"])),
    params(
        ("index" = String, Path, description = "`node`, `app`, `datacenter`, `environment`, `role` or `stack`"),
        SearchQuery,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer that you have")
    ),
    responses(
        (status = 200, description = "What was found", body = SearchView),
        (status = 304, description = "The answer is the one that you have")
    )
)]
pub async fn search(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(index): Path<String>,
    uri: Uri,
    Query(query): Query<SearchQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let request = SearchRequest {
        query: query.q,
        start: query.start.unwrap_or_default(),
        rows: query.rows.unwrap_or(50),
        cursor: query.cursor,
        fields: split(query.fields.as_deref()),
        chef: query.strict == Some(0),
    };
    let control = &state.control;
    let (actor, request, index, uri) = (&actor, &request, index.as_str(), &uri);
    answer(
        &state,
        &headers,
        query.wait,
        |topic| concerns_index(index, topic),
        || async move {
            let found = control.search(actor, index, request).await?;
            let link = found.next.as_deref().map(|next| next_page(uri, next));
            Ok(Answer::of(&found)?.link(link))
        },
    )
    .await
}

/// Words separated by commas.
pub fn split(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(',').map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn next_page(asked: &Uri, cursor: &str) -> String {
    let dropped = ["cursor=", "start=", "wait="];
    let kept = asked.query().unwrap_or_default().split('&');
    let mut query: Vec<String> = kept
        .filter(|pair| !pair.is_empty() && !dropped.iter().any(|name| pair.starts_with(name)))
        .map(str::to_owned)
        .collect();
    query.push(format!("cursor={}", encode(cursor)));
    format!("<{}?{}>; rel=\"next\"", asked.path(), query.join("&"))
}
