//! Nodes, datacenters, environments and roles: one set of addresses, because they are versioned, guarded and shown alike.

use super::apps::{FileQuery, PageQuery, if_match, if_registered, versions};
use super::page::{Paged, cut, limit};
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::{Body, Json, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::http::watched::{Answer, answer};
use crate::model::inventory::ObjectKind;
use crate::wire::Page;
use crate::wire::apps::ValidationView;
use crate::wire::inventory::{ApplyRequest, ApplyView, DiffView, FactsView, ObjectVersionView, ObjectView, RestoreRequest};
use crate::wire::problem::Problem;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which objects.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListObjects {
    /// Text in the name, title, labels, datacenter, environment, roles or apps.
    text: Option<String>,
    /// As they were at this revision of the inventory, or at this time.
    at: Option<String>,
    /// An earlier page's `next`.
    cursor: Option<String>,
    /// 1 to 200.
    limit: Option<i64>,
}

/// Which state of an object, and whether to wait for another.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ShowObject {
    /// As it was at this revision of the inventory, or at this time.
    at: Option<String>,
    /// With `If-None-Match`: the most seconds to wait for a change.
    wait: Option<u64>,
}

/// Between which versions.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The older version; the one before `to` where absent.
    pub(super) from: Option<i64>,
    /// The newer version; the present one where absent.
    pub(super) to: Option<i64>,
}

fn kind(noun: &str) -> Result<ObjectKind, ApiError> {
    ObjectKind::ALL
        .into_iter()
        .find(|kind| kind.plural() == noun)
        .ok_or_else(|| ApiError::new("not-found", "There is nothing at this address"))
}

/// Lists nodes, datacenters, environments or roles by name.
#[utoipa::path(
    get, path = "/api/v1/{noun}", tag = "inventory", security(("token" = ["viewer"])),
    params(("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"), ListObjects),
    responses((status = 200, description = "A page of objects", body = Page<ObjectView>))
)]
pub async fn list_objects(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(noun): Path<String>,
    uri: Uri,
    Query(query): Query<ListObjects>,
) -> Result<Paged<ObjectView>, ApiError> {
    let kind = kind(&noun)?;
    let limit = limit(query.limit)?;
    let at = state.control.revision_at(query.at.as_deref()).await?;
    let all = state.control.list_objects(&actor, kind, query.text.as_deref(), at).await?;
    let begin = query.cursor.map_or(0, |cursor| {
        all.partition_point(|object| object.name.as_str() <= cursor.as_str())
    });
    Ok(Paged::new(cut(all, begin, limit, |_, object| object.name.clone()), &uri))
}

/// Saves a new node, datacenter, environment or role.
#[utoipa::path(
    post, path = "/api/v1/{noun}", tag = "inventory", security(("token" = ["operator"])),
    params(("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"), FileQuery),
    request_body(content = Object, content_type = "application/json", description = "The object; see `/api/v1/schema/inventory/{kind}`"),
    responses((status = 201, description = "The object, with its version as `ETag`", body = ObjectView))
)]
pub async fn create_object(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(noun): Path<String>,
    Query(query): Query<FileQuery>,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let saved = state
        .control
        .save_object(&actor, kind, None, &query.name_or("object.json"), &body, None)
        .await;
    let what = "It exists already; `PUT` its new version".to_owned();
    Ok(created(
        &noun,
        &saved.map_err(|error| if_registered(error, "conflict", what))?,
    ))
}

/// Shows a node, datacenter, environment or role, now or at a revision; waits for a change where asked to.
#[utoipa::path(
    get, path = "/api/v1/{noun}/{name}", tag = "inventory", security(("token" = ["viewer"])),
    params(
        ("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"),
        ("name" = String, Path, description = "The object"),
        ShowObject,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer that you have")
    ),
    responses(
        (status = 200, description = "The object, with its version as `ETag`", body = ObjectView),
        (status = 304, description = "It is the one that you have")
    )
)]
pub async fn show_object(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path((noun, name)): Path<(String, String)>,
    Query(query): Query<ShowObject>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let topic = format!("{kind}:{name}");
    let control = &state.control;
    let at = control.revision_at(query.at.as_deref()).await?;
    let (actor, name) = (&actor, name.as_str());
    answer(
        &state,
        &headers,
        query.wait,
        |changed| changed == topic,
        || async move {
            let view = control.show_object(actor, kind, name, at).await?;
            Ok(Answer::of(&view)?.named(view.version))
        },
    )
    .await
}

/// Saves a new version of a node, datacenter, environment or role. `If-Match` names the version that was edited; it is
/// required where the object exists.
#[utoipa::path(
    put, path = "/api/v1/{noun}/{name}", tag = "inventory", security(("token" = ["operator"])),
    params(
        ("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"),
        ("name" = String, Path, description = "The object"),
        FileQuery,
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the version that was edited")
    ),
    request_body(content = Object, content_type = "application/json", description = "The object"),
    responses(
        (status = 200, description = "The object, with its version as `ETag`", body = ObjectView),
        (status = 201, description = "The object is new", body = ObjectView),
        (status = 412, description = "Someone else changed it first; `diff` shows what", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn save_object(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path((noun, name)): Path<(String, String)>,
    Query(query): Query<FileQuery>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let kind = kind(&noun)?;
    let edited = if_match(&headers)?;
    let file = query.name_or("object.json");
    let saved = state
        .control
        .save_object(&actor, kind, Some(&name), &file, &body, edited)
        .await;
    if edited.is_some() {
        return Ok(with_etag(&saved?));
    }
    let what = format!("`{name}` exists, so say which version you edited");
    Ok(created(
        &noun,
        &saved.map_err(|error| if_registered(error, "version-required", what))?,
    ))
}

/// Takes a node, datacenter, environment or role out of the inventory; its versions stay.
#[utoipa::path(
    delete, path = "/api/v1/{noun}/{name}", tag = "inventory", security(("token" = ["operator"])),
    params(
        ("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"),
        ("name" = String, Path, description = "The object"),
        ("If-Match" = Option<String>, Header, description = "Only this version")
    ),
    responses((status = 204, description = "It is gone"))
)]
pub async fn remove_object(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path((noun, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let kind = kind(&noun)?;
    state.control.remove_object(&actor, kind, &name, if_match(&headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists every version of an object, newest first, each with its difference from the one before.
#[utoipa::path(
    get, path = "/api/v1/{noun}/{name}/versions", tag = "inventory", security(("token" = ["viewer"])),
    params(
        ("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"),
        ("name" = String, Path, description = "The object"),
        PageQuery
    ),
    responses((status = 200, description = "A page of versions", body = Page<ObjectVersionView>))
)]
pub async fn list_object_versions(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path((noun, name)): Path<(String, String)>,
    uri: Uri,
    Query(query): Query<PageQuery>,
) -> Result<Paged<ObjectVersionView>, ApiError> {
    let all = state.control.object_versions(&actor, kind(&noun)?, &name).await?;
    versions(all, &query, &uri)
}

/// Shows the difference between two versions of an object.
#[utoipa::path(
    get, path = "/api/v1/{noun}/{name}/diff", tag = "inventory", security(("token" = ["viewer"])),
    params(
        ("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"),
        ("name" = String, Path, description = "The object"),
        DiffQuery
    ),
    responses((status = 200, description = "The difference", body = DiffView))
)]
pub async fn show_object_diff(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path((noun, name)): Path<(String, String)>,
    Query(query): Query<DiffQuery>,
) -> Result<axum::Json<DiffView>, ApiError> {
    let diff = state
        .control
        .object_diff(&actor, kind(&noun)?, &name, query.from, query.to)
        .await?;
    Ok(axum::Json(diff))
}

/// Makes an old version of an object the present one, also of one that was removed.
#[utoipa::path(
    post, path = "/api/v1/{noun}/{name}/restore", tag = "inventory", security(("token" = ["operator"])),
    params(
        ("noun" = String, Path, description = "`nodes`, `datacenters`, `environments` or `roles`"),
        ("name" = String, Path, description = "The object"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the present version; required where there is one")
    ),
    request_body = RestoreRequest,
    responses(
        (status = 200, description = "The object, with its version as `ETag`", body = ObjectView),
        (status = 412, description = "Someone else changed it first; `diff` shows what", body = Problem, content_type = "application/problem+json"),
        (status = 428, description = "`If-Match` is missing", body = Problem, content_type = "application/problem+json")
    )
)]
pub async fn restore_object(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path((noun, name)): Path<(String, String)>,
    headers: HeaderMap,
    Json(request): Json<RestoreRequest>,
) -> Result<Response, ApiError> {
    let edited = if_match(&headers)?;
    let restored = state
        .control
        .restore_object(&actor, kind(&noun)?, &name, request.version, edited)
        .await;
    if edited.is_some() {
        return Ok(with_etag(&restored?));
    }
    let what = format!("`{name}` exists, so say which version you looked at");
    Ok(with_etag(
        &restored.map_err(|error| if_registered(error, "version-required", what))?,
    ))
}

/// Shows what a node last reported of itself.
#[utoipa::path(
    get, path = "/api/v1/nodes/{name}/facts", tag = "inventory", security(("token" = ["viewer"])),
    params(("name" = String, Path, description = "The node")),
    responses((status = 200, description = "The facts", body = FactsView))
)]
pub async fn show_facts(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<FactsView>, ApiError> {
    Ok(axum::Json(state.control.show_facts(&actor, &name).await?))
}

/// Takes what a node reports of itself: our own facts, or what `ohai` or `facter --json` prints.
#[utoipa::path(
    put, path = "/api/v1/nodes/{name}/facts", tag = "inventory", security(("token" = ["operator"])),
    params(("name" = String, Path, description = "The node")),
    request_body(content = Object, content_type = "application/json", description = "The facts"),
    responses((status = 200, description = "The facts as they are kept", body = FactsView))
)]
pub async fn save_facts(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(facts): Json<serde_json::Value>,
) -> Result<axum::Json<FactsView>, ApiError> {
    Ok(axum::Json(state.control.save_facts(&actor, &name, facts).await?))
}

/// Checks an object without saving it. The findings are the answer, not an error.
#[utoipa::path(
    post, path = "/api/v1/inventory/validate", tag = "inventory", params(FileQuery), security(("token" = ["viewer"])),
    request_body(content = Object, content_type = "application/json", description = "A node, datacenter, environment or role"),
    responses((status = 200, description = "Everything that was found", body = ValidationView))
)]
pub async fn validate_object(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Query(query): Query<FileQuery>,
    Body(body): Body,
) -> Result<axum::Json<ValidationView>, ApiError> {
    let found = state
        .control
        .validate_object(&actor, &query.name_or("object.json"), &body)
        .await?;
    Ok(axum::Json(found))
}

/// Applies files that belong together, all or nothing; or, with `plan`, says what that would change.
#[utoipa::path(
    post, path = "/api/v1/inventory/apply", tag = "inventory", security(("token" = ["operator"])),
    request_body = ApplyRequest,
    responses((status = 200, description = "What changed, or would", body = ApplyView))
)]
pub async fn apply_files(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Json(request): Json<ApplyRequest>,
) -> Result<axum::Json<ApplyView>, ApiError> {
    Ok(axum::Json(state.control.apply_files(&actor, &request).await?))
}

impl FileQuery {
    fn name_or(&self, default: &str) -> String {
        if self.is_named() { self.name() } else { default.to_owned() }
    }
}

fn with_etag(object: &ObjectView) -> Response {
    let etag = [(header::ETAG, format!("\"{}\"", object.version))];
    (etag, axum::Json(object)).into_response()
}

fn created(noun: &str, object: &ObjectView) -> Response {
    let location = [(header::LOCATION, format!("/api/v1/{noun}/{}", object.name))];
    (StatusCode::CREATED, location, with_etag(object)).into_response()
}
