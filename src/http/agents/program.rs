//! The agent's program as a download that can be checked and gone on with: its `ETag` is its SHA-256.

use super::super::auth::bearer;
use super::super::problem::ApiError;
use super::super::state::AppState;
use super::pieces::pieces;
use super::signed::Agent;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const ARCHITECTURE: HeaderName = HeaderName::from_static("greenroom-architecture");

/// Someone who may have the program: a node's agent, whoever holds a node token, or anyone where the settings say so.
#[derive(Debug)]
pub(super) struct Installer;

impl FromRequestParts<AppState> for Installer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        if parts.headers.contains_key("signature-input") {
            Agent::from_request_parts(parts, state).await?;
        } else {
            state.control.may_have_program(bearer(&parts.headers)).await?;
        }
        Ok(Self)
    }
}

/// Gives the program, or the part of it that `Range` names.
pub(super) async fn show_program(_: Installer, State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let program = state.control.agent_program().await?;
    let etag = format!("\"{}\"", program.sha256);
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let tagged = |mut answer: Response| {
        let headers = answer.headers_mut();
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(ARCHITECTURE, HeaderValue::from_static(program.architecture));
        headers.extend(HeaderValue::from_str(&etag).map(|etag| (header::ETAG, etag)));
        answer
    };
    if text(header::IF_NONE_MATCH).is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response()));
    }
    // A part is only worth something beside the parts of the same program.
    let same = text(header::IF_RANGE).is_none_or(|of| of.trim() == etag);
    let wanted = text(header::RANGE)
        .filter(|_| same)
        .map_or(Part::Whole, |range| part(range, program.length));
    let (status, from, length) = match wanted {
        Part::Whole => (StatusCode::OK, 0, program.length),
        Part::Of(from, length) => (StatusCode::PARTIAL_CONTENT, from, length),
        Part::Outside => {
            let mut answer = ApiError::new("range-outside", "The program is shorter than that").into_response();
            let range = format!("bytes */{}", program.length);
            answer
                .headers_mut()
                .extend(HeaderValue::from_str(&range).map(|range| (header::CONTENT_RANGE, range)));
            return Ok(answer);
        }
    };
    let file = state.control.open_agent_program(from).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"greenroom\"".to_owned()),
    ];
    let mut answer = (status, headers, pieces(file, length)).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{}", from + length - 1, program.length);
        answer
            .headers_mut()
            .extend(HeaderValue::from_str(&range).map(|range| (header::CONTENT_RANGE, range)));
    }
    Ok(tagged(answer))
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    // From this byte, so many.
    Of(u64, u64),
    Outside,
}

// What a `Range` asks for. Several parts at once, and what is no range, are answered with the whole.
fn part(range: &str, length: u64) -> Part {
    let Some((from, to)) = range.trim().strip_prefix("bytes=").and_then(|one| one.split_once('-')) else {
        return Part::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (from, to) = match (number(from), number(to)) {
        (Some(from), None) if to.trim().is_empty() => (from, length.saturating_sub(1)),
        (Some(from), Some(to)) if from <= to => (from, to.min(length.saturating_sub(1))),
        // The last so many.
        (None, Some(last)) if from.trim().is_empty() => (
            length.saturating_sub(last),
            if last == 0 { 0 } else { length.saturating_sub(1) },
        ),
        _ => return Part::Whole,
    };
    if from >= length || to < from {
        return Part::Outside;
    }
    Part::Of(from, to - from + 1)
}

#[cfg(test)]
mod tests {
    use super::{Part, part};

    #[test]
    fn a_range_is_one_part_or_the_whole() {
        for (range, wanted) in [
            ("bytes=0-9", Part::Of(0, 10)),
            ("bytes=90-", Part::Of(90, 10)),
            ("bytes=90-1000", Part::Of(90, 10)),
            ("bytes=-5", Part::Of(95, 5)),
            ("bytes=-500", Part::Of(0, 100)),
            ("bytes=-0", Part::Outside),
            ("bytes=100-", Part::Outside),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("lines=1-2", Part::Whole),
        ] {
            assert_eq!(part(range, 100), wanted, "{range}");
        }
    }
}
