//! The event stream: which topics changed, never what; whoever cares reads again with their own rights.
//!
//! A stream begins with `event: ready`, then sends `event: changed` with `{"topics":[…]}`. It ends after a quarter of an
//! hour, and browsers come back by themselves, so a session that has ended meanwhile loses its stream too.

use super::auth::Viewer;
use super::changes::{Waiter, Woken};
use super::extract::Query;
use super::problem::ApiError;
use super::state::AppState;
use crate::control::ControlError;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
pub(super) const LIFE: Duration = Duration::from_mins(15);
// Changes come in bursts; what comes within this time is one event.
const GATHER: Duration = Duration::from_millis(40);
const FILTERS: usize = 64;
const FILTER_LENGTH: usize = 200;

// A stream holds a connection and a place in the broadcast; a server's own limit, whoever asks.
static STREAMS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1024)));

/// A place among the streams that are open.
pub(super) fn place() -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(&STREAMS)
        .try_acquire_owned()
        .map_err(|_| ApiError::new("too-busy", "Too many event streams are open"))
}

/// Which topics to hear of.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Topics separated by commas, each matched from its beginning: `stack:stk_…`, `run:`, `stacks`.
    topics: String,
}

#[derive(Serialize)]
struct Changed {
    topics: BTreeSet<String>,
}

/// Streams the names of topics that change.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", params(EventsQuery), security(("token" = ["viewer"])),
    responses((status = 200, description = "`ready`, then `changed` events with `{\"topics\":[…]}`", content_type = "text/event-stream", body = String))
)]
pub async fn stream_events(
    _viewer: Viewer,
    State(state): State<AppState>,
    Query(query): Query<EventsQuery>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    stream(&state, filters(&query.topics)?)
}

/// A stream of what changes of these topics.
///
/// # Errors
/// `too-busy` where too many are open.
pub(super) fn stream(
    state: &AppState,
    filters: Vec<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, ApiError> {
    let place = place()?;
    let listener = Listener {
        waiter: Waiter::new(state, LIFE),
        filters,
        begun: false,
        _place: place,
    };
    let events = futures_util::stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

fn filters(topics: &str) -> Result<Vec<String>, ApiError> {
    let filters: Vec<String> = topics
        .split(',')
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .map(str::to_owned)
        .collect();
    if filters.is_empty() || filters.len() > FILTERS || filters.iter().any(|filter| filter.len() > FILTER_LENGTH) {
        return Err(ControlError::field(
            "topics",
            format!("give 1 to {FILTERS} topics of at most {FILTER_LENGTH} characters"),
        )
        .into());
    }
    Ok(filters)
}

struct Listener {
    waiter: Waiter,
    filters: Vec<String>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        if !self.begun {
            self.begun = true;
            return Some(Event::default().event("ready").data("{}").retry(Duration::from_secs(1)));
        }
        let filters = &self.filters;
        let wanted = |topic: &str| filters.iter().any(|filter| topic.starts_with(filter.as_str()));
        let mut topics = BTreeSet::new();
        loop {
            match self.waiter.next(wanted).await {
                Woken::Changed(changed) => {
                    topics.extend(changed);
                    break;
                }
                Woken::Look => {}
                Woken::Over => return None,
            }
        }
        let gathered = tokio::time::timeout(GATHER, async {
            while let Woken::Changed(changed) = self.waiter.next(wanted).await {
                topics.extend(changed);
            }
        });
        // Over or not, what was heard is sent first; the next call sees the end again.
        let _ = gathered.await;
        // Where wake-ups were missed, everything asked for may have changed.
        if topics.remove("*") {
            topics.extend(self.filters.iter().cloned());
        }
        Event::default().event("changed").json_data(Changed { topics }).ok()
    }
}
