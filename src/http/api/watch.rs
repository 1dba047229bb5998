//! Watching a noun or a query as an event stream: an event comes when the answer is another, and only then.

use crate::control::search::SearchRequest;
use crate::http::auth::Viewer;
use crate::http::changes::{Waiter, Woken};
use crate::http::extract::Query;
use crate::http::problem::ApiError;
use crate::http::sse::{HEARTBEAT, LIFE, place};
use crate::http::state::AppState;
use crate::http::watched::concerns_index;
use crate::model::actor::Actor;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

/// What to watch.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WatchQuery {
    /// `node`, `app`, `datacenter`, `environment`, `role` or `stack`.
    index: String,
    /// What of it, in the search grammar; everything where absent.
    q: Option<String>,
}

/// What is sent: enough to know whether to ask, and what for.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Seen {
    total: i64,
    hash: String,
}

/// Streams `ready`, then a `changed` event each time the answer to a query is another.
#[utoipa::path(
    get, path = "/api/v1/watch", tag = "search", params(WatchQuery), security(("token" = ["viewer"])),
    responses((status = 200, description = "`ready` and `changed` events with `{\"total\":…,\"hash\":…}`", content_type = "text/event-stream", body = String))
)]
pub async fn watch(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Query(query): Query<WatchQuery>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let place = place()?;
    let waiter = Waiter::new(&state, LIFE);
    let mut watcher = Watcher {
        state,
        actor,
        index: query.index,
        query: query.q,
        waiter,
        seen: None,
        _place: place,
    };
    // A query that cannot be read is an answer of its own, not a stream that ends.
    let first = watcher.look().await?;
    watcher.seen = Some(first.clone());
    let ready = Event::default().event("ready").json_data(first);
    let events = futures_util::stream::unfold((Some(ready), watcher), |(ready, mut watcher)| async {
        let event = match ready {
            Some(ready) => ready.ok()?,
            None => watcher.next().await?,
        };
        Some((Ok(event), (None, watcher)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

struct Watcher {
    state: AppState,
    actor: Actor,
    index: String,
    query: Option<String>,
    waiter: Waiter,
    seen: Option<Seen>,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    async fn look(&self) -> Result<Seen, ApiError> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let request = SearchRequest {
                query: self.query.clone(),
                rows: 1_000,
                cursor,
                ..SearchRequest::default()
            };
            let found = self.state.control.search(&self.actor, &self.index, &request).await?;
            all.extend(found.rows.iter().map(ToString::to_string));
            cursor = found.next;
            if cursor.is_none() {
                return Ok(Seen {
                    total: found.total,
                    hash: crate::model::secret::hash(&all.join("\n")),
                });
            }
        }
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            let index = self.index.clone();
            if self.waiter.next(|topic| concerns_index(&index, topic)).await == Woken::Over {
                return None;
            }
            let now = match self.look().await {
                Ok(now) => now,
                Err(error) => {
                    tracing::warn!(?error, "a watched query cannot be answered now");
                    continue;
                }
            };
            if self.seen.as_ref() != Some(&now) {
                self.seen = Some(now.clone());
                return Event::default().event("changed").json_data(now).ok();
            }
        }
    }
}
