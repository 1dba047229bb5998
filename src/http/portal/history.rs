//! The history of an app or another object: its versions with what each changed, two of them compared, and going back to
//! one. The groups of pages route here and say which thing it is about.

use super::fields::Fields;
use super::view::{Look, reshow};
use crate::control::ControlError;
use crate::http::problem::ApiError;
use crate::model::actor::Actor;
use crate::wire::inventory::{DiffView, ObjectVersionView};
use crate::wire::problem::Problem;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

const PAGE: usize = 30;

/// What a history is about.
#[derive(Debug, Clone, Serialize)]
pub struct Thing<'a> {
    /// `app`, `node`, ...: also the topic that its changes are told under.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The page of all of its kind.
    pub list: &'a str,
    /// What that page is called.
    pub list_title: &'a str,
    /// Its own page; `versions`, `diff` and `restore` are below.
    pub base: String,
}

/// What someone asked to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The old version.
    pub version: i64,
    /// The version that was present when they looked.
    pub present: Option<i64>,
}

impl Wish {
    /// What the form of a restore button says.
    ///
    /// # Errors
    /// `invalid-request` where it names no version.
    pub fn of(fields: &Fields) -> Result<Self, ApiError> {
        let number = |name: &str| fields.filled(name).and_then(|text| text.parse().ok());
        let version = number("version").ok_or_else(|| ControlError::field("version", "say which version to restore"))?;
        let present = number("present");
        Ok(Self { version, present })
    }
}

/// Two numbers of versions out of a query.
pub fn ends(query: &Fields) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let number = |name: &str| {
        let number = query.filled(name).map(str::parse).transpose();
        number.map_err(|_| ControlError::field(name, "give the number of a version"))
    };
    Ok((number("from")?, number("to")?))
}

/// Renders a page of versions, beginning below the version that `query` names as its cursor.
pub fn history_page(look: &Look, actor: &Actor, thing: &Thing<'_>, versions: &[ObjectVersionView], query: &Fields) -> Response {
    let below: Option<i64> = query.filled("cursor").and_then(|text| text.parse().ok());
    let begin = below.map_or(0, |below| versions.partition_point(|v| v.version >= below));
    page(look, actor, thing, versions, begin, None)
}

/// Renders the versions again, with why one of them was not restored.
///
/// # Errors
/// Whatever is no refusal of the wish.
pub fn not_restored(
    look: &Look,
    actor: &Actor,
    thing: &Thing<'_>,
    versions: &[ObjectVersionView],
    wish: Wish,
    error: ControlError,
) -> Result<Response, ApiError> {
    let problem = reshow(error)?;
    Ok(page(look, actor, thing, versions, 0, Some((&problem, wish.version))))
}

fn page(
    look: &Look,
    actor: &Actor,
    thing: &Thing<'_>,
    versions: &[ObjectVersionView],
    begin: usize,
    refused: Option<(&Problem, i64)>,
) -> Response {
    let shown = versions.iter().skip(begin).take(PAGE);
    let next = versions.get(begin + PAGE).and_then(|_| versions.get(begin + PAGE - 1));
    let status = refused.and_then(|(problem, _)| StatusCode::from_u16(problem.status).ok());
    let context = json!({
        "thing": thing,
        "versions": shown.collect::<Vec<_>>(),
        "present": versions.first().map(|v| v.version),
        "removed": versions.first().is_some_and(|v| v.removed),
        "next": next.map(|v| v.version),
        "further": begin > 0,
        "problem": refused.map(|(problem, _)| problem),
        "wanted": refused.map(|(_, version)| version),
    });
    look.page_with(status.unwrap_or(StatusCode::OK), "history/list.html", Some(actor), context)
}

/// Renders the difference between two versions, with a choice of others.
pub fn diff_page(look: &Look, actor: &Actor, thing: &Thing<'_>, versions: &[ObjectVersionView], diff: &DiffView) -> Response {
    let was_removed = versions.iter().any(|v| v.version == diff.from && v.removed);
    let context = json!({
        "thing": thing,
        "versions": versions,
        "present": versions.first().map(|v| v.version),
        "from": diff.from,
        "to": diff.to,
        "difference": diff.diff,
        "was_removed": was_removed,
    });
    look.page("history/diff.html", Some(actor), context)
}
