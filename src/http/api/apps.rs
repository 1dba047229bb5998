//! Apps: their descriptors, versions and revisions.

use super::inventory::DiffQuery;
use super::page::{Paged, cut, limit};
use crate::control::ControlError;
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::{Body, Json, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::wire::Page;
use crate::wire::apps::{AppSummary, AppView, RevisionView, ValidationView};
use crate::wire::inventory::{DiffView, ObjectVersionView, RestoreRequest};
use crate::wire::problem::Problem;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which apps.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListApps {
    /// Words that all stand in the name, title, description, owners or tags.
    text: Option<String>,
    /// As they were at this revision of the inventory, or at this time.
    at: Option<String>,
    /// An earlier page's `next`.
    cursor: Option<String>,
    /// 1 to 200.
    limit: Option<i64>,
}

/// Which state of an app.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShowApp {
    /// As it was at this revision of the inventory, or at this time.
    at: Option<String>,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// An earlier page's `next`.
    pub cursor: Option<String>,
    /// 1 to 200.
    pub limit: Option<i64>,
}

/// Which revisions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRevisions {
    /// Ask the repository first, rather than answer what is known.
    #[serde(default)]
    fresh: bool,
    /// An earlier page's `next`.
    cursor: Option<String>,
    /// 1 to 200.
    limit: Option<i64>,
}

/// What the file is called in findings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FileQuery {
    /// The file's name as the person knows it.
    file: Option<String>,
}

impl FileQuery {
    pub(super) fn is_named(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn name(&self) -> String {
        let name = self.file.as_deref().unwrap_or("descriptor.json");
        name.chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

/// Lists apps by name.
#[utoipa::path(
    get, path = "/api/v1/apps", tag = "apps", params(ListApps), security(("token" = ["viewer"])),
    responses((status = 200, description = "A page of apps", body = Page<AppSummary>))
)]
pub async fn list_apps(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    uri: Uri,
    Query(query): Query<ListApps>,
) -> Result<Paged<AppSummary>, ApiError> {
    let limit = limit(query.limit)?;
    let at = state.control.revision_at(query.at.as_deref()).await?;
    let apps = state.control.list_apps(&actor, query.text.as_deref(), at).await?;
    let begin = query
        .cursor
        .map_or(0, |cursor| apps.partition_point(|app| app.name.as_str() <= cursor.as_str()));
    Ok(Paged::new(cut(apps, begin, limit, |_, app| app.name.clone()), &uri))
}

/// Registers an app. The body is its descriptor.
#[utoipa::path(
    post, path = "/api/v1/apps", tag = "apps", params(FileQuery), security(("token" = ["operator"])),
    request_body(content = Object, content_type = "application/json", description = "The descriptor; see `/api/v1/schema/app.json`"),
    responses((status = 201, description = "The app, with its version as `ETag`", body = AppView))
)]
pub async fn create_app(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Query(query): Query<FileQuery>,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let saved = state.control.save_app(&actor, None, &query.name(), &body, None).await;
    let what = "The app is registered already; `PUT` its new version";
    Ok(created(
        saved.map_err(|error| if_registered(error, "conflict", what.to_owned()))?,
    ))
}

// Control says that it has changed since; whoever named no version has not seen any.
pub(super) fn if_registered(mut error: ControlError, code: &'static str, what: String) -> ControlError {
    if error.fault.code == "changed-meanwhile" {
        let changed = error.changed.take();
        error = ControlError::new(code, what);
        error.changed = changed;
    }
    error
}

/// Checks a descriptor without saving it. The findings are the answer, not an error.
#[utoipa::path(
    post, path = "/api/v1/apps/validate", tag = "apps", params(FileQuery), security(("token" = ["viewer"])),
    request_body(content = Object, content_type = "application/json", description = "The descriptor"),
    responses((status = 200, description = "Everything that was found", body = ValidationView))
)]
pub async fn validate_app(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Query(query): Query<FileQuery>,
    Body(body): Body,
) -> Result<axum::Json<ValidationView>, ApiError> {
    Ok(axum::Json(state.control.validate_app(&actor, &query.name(), &body).await?))
}

/// Shows an app with its descriptor, now or at a revision.
#[utoipa::path(
    get, path = "/api/v1/apps/{name}", tag = "apps", params(("name" = String, Path, description = "The app"), ShowApp),
    security(("token" = ["viewer"])),
    responses((status = 200, description = "The app, with its version as `ETag`", body = AppView))
)]
pub async fn show_app(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<ShowApp>,
) -> Result<Response, ApiError> {
    let at = state.control.revision_at(query.at.as_deref()).await?;
    Ok(with_etag(state.control.show_app(&actor, &name, at).await?))
}

/// Saves a new version of an app's descriptor, or registers the app. `If-Match` names the version that was edited; it is
/// required where the app exists.
#[utoipa::path(
    put, path = "/api/v1/apps/{name}", tag = "apps", security(("token" = ["operator"])),
    params(
        ("name" = String, Path, description = "The app"),
        FileQuery,
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the version that was edited")
    ),
    request_body(content = Object, content_type = "application/json", description = "The descriptor"),
    responses(
        (status = 200, description = "The app, with its version as `ETag`", body = AppView),
        (status = 201, description = "The app is new", body = AppView),
        (status = 412, description = "Someone else changed it first; `diff` shows what", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn save_app(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let edited = if_match(&headers)?;
    let saved = state
        .control
        .save_app(&actor, Some(&name), &query.name(), &body, edited)
        .await;
    if edited.is_some() {
        return Ok(with_etag(saved?));
    }
    let what = format!("`{name}` exists, so say which version you edited");
    Ok(created(
        saved.map_err(|error| if_registered(error, "version-required", what))?,
    ))
}

/// Takes an app out of the inventory; its versions stay.
#[utoipa::path(
    delete, path = "/api/v1/apps/{name}", tag = "apps", security(("token" = ["operator"])),
    params(
        ("name" = String, Path, description = "The app"),
        ("If-Match" = Option<String>, Header, description = "Only this version")
    ),
    responses((status = 204, description = "It is gone"))
)]
pub async fn remove_app(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    state.control.remove_app(&actor, &name, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists every accepted version of an app's descriptor, newest first, each with its difference from the one before.
#[utoipa::path(
    get, path = "/api/v1/apps/{name}/versions", tag = "apps",
    params(("name" = String, Path, description = "The app"), PageQuery), security(("token" = ["viewer"])),
    responses((status = 200, description = "A page of versions", body = Page<ObjectVersionView>))
)]
pub async fn list_versions(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    uri: Uri,
    Query(query): Query<PageQuery>,
) -> Result<Paged<ObjectVersionView>, ApiError> {
    versions(state.control.app_versions(&actor, &name).await?, &query, &uri)
}

/// Shows the difference between two versions of an app's descriptor.
#[utoipa::path(
    get, path = "/api/v1/apps/{name}/diff", tag = "apps", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The app"), DiffQuery),
    responses((status = 200, description = "The difference", body = DiffView))
)]
pub async fn show_app_diff(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<axum::Json<DiffView>, ApiError> {
    Ok(axum::Json(state.control.app_diff(&actor, &name, query.from, query.to).await?))
}

/// Makes an old version of an app's descriptor the present one, also of an app that was removed. Refused where the old
/// version would not be accepted today.
#[utoipa::path(
    post, path = "/api/v1/apps/{name}/restore", tag = "apps", security(("token" = ["operator"])),
    params(
        ("name" = String, Path, description = "The app"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the present version; required where there is one")
    ),
    request_body = RestoreRequest,
    responses(
        (status = 200, description = "The app, with its version as `ETag`", body = AppView),
        (status = 412, description = "Someone else changed it first; `diff` shows what", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The old version is not valid any more; `diagnostics` say why", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn restore_app(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(request): Json<RestoreRequest>,
) -> Result<Response, ApiError> {
    let edited = if_match(&headers)?;
    let restored = state.control.restore_app(&actor, &name, request.version, edited).await;
    if edited.is_some() {
        return Ok(with_etag(restored?));
    }
    let what = format!("`{name}` exists, so say which version you looked at");
    Ok(with_etag(
        restored.map_err(|error| if_registered(error, "version-required", what))?,
    ))
}

/// Lists branches, tags and recent commits of an app's repository, newest first.
#[utoipa::path(
    get, path = "/api/v1/apps/{name}/revisions", tag = "apps",
    params(("name" = String, Path, description = "The app"), ListRevisions), security(("token" = ["viewer"])),
    responses((status = 200, description = "A page of revisions", body = Page<RevisionView>))
)]
pub async fn list_revisions(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    uri: Uri,
    Query(query): Query<ListRevisions>,
) -> Result<Paged<RevisionView>, ApiError> {
    let limit = limit(query.limit)?;
    // A place in the list: one commit may have several names, so no item names its place.
    let begin = number("cursor", query.cursor.as_deref())?.unwrap_or(0);
    let revisions = state.control.app_revisions(&actor, &name, query.fresh).await?;
    Ok(Paged::new(
        cut(revisions, begin, limit, |place, _| (place + 1).to_string()),
        &uri,
    ))
}

/// A page of all versions of a thing.
pub(super) fn versions(all: Vec<ObjectVersionView>, query: &PageQuery, uri: &Uri) -> Result<Paged<ObjectVersionView>, ApiError> {
    let limit = limit(query.limit)?;
    let after: i64 = number("cursor", query.cursor.as_deref())?.unwrap_or(i64::MAX);
    let begin = all.partition_point(|version| version.version >= after);
    Ok(Paged::new(
        cut(all, begin, limit, |_, version| version.version.to_string()),
        uri,
    ))
}

pub(super) fn number<T: std::str::FromStr>(field: &str, text: Option<&str>) -> Result<Option<T>, ApiError> {
    let number = text.map(str::parse).transpose();
    number.map_err(|_| ControlError::field(field, "give the `next` of an earlier page").into())
}

// The version in `If-Match`: quoted as the ETag was, or bare.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<i64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let version = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().trim_matches('"').parse().ok());
    match version {
        Some(version) => Ok(Some(version)),
        None => Err(ControlError::field("If-Match", "give the ETag of the version that was edited, such as \"3\"").into()),
    }
}

fn with_etag(app: AppView) -> Response {
    let etag = [(header::ETAG, format!("\"{}\"", app.summary.version))];
    (etag, axum::Json(app)).into_response()
}

fn created(app: AppView) -> Response {
    let location = [(header::LOCATION, format!("/api/v1/apps/{}", app.summary.name))];
    (StatusCode::CREATED, location, with_etag(app)).into_response()
}
