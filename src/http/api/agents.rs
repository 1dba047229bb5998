//! Agents of the inventory's nodes, and what machines register with.

use super::apps::PageQuery;
use super::page::{Paged, limit};
use super::runs::{LogQuery, follow_log};
use crate::http::auth::{Operator, Viewer};
use crate::http::extract::{Json as JsonBody, Path, Query};
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::configuration::NodeConfiguration;
use crate::wire::Page;
use crate::wire::agents::{AgentReportView, AgentView, AssignedView, BootView, NewBoot, NewNodeToken, NodeTokenView};
use crate::wire::runs::LogPage;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};

/// Lists agents by their nodes' names: what each should be, and what it came to.
#[utoipa::path(
    get, path = "/api/v1/agents", tag = "agents", params(PageQuery), security(("token" = ["viewer"])),
    responses((status = 200, description = "A page of agents", body = Page<AgentView>))
)]
pub async fn list_agents(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    uri: Uri,
    Query(query): Query<PageQuery>,
) -> Result<Paged<AgentView>, ApiError> {
    let after = query.cursor.unwrap_or_default();
    let page = state.control.list_agents(&actor, &after, limit(query.limit)?).await?;
    Ok(Paged::new(page, &uri))
}

/// The newest reports of a node's agent, newest first.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}/reports", tag = "agents", params(("name" = String, Path, description = "The node")),
    security(("token" = ["viewer"])), responses((status = 200, description = "Reports", body = Vec<AgentReportView>))
)]
pub async fn list_agent_reports(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Vec<AgentReportView>>, ApiError> {
    Ok(Json(state.control.agent_reports(&actor, &name).await?))
}

/// Reads what a node's agent did, in its own words, and waits for more where asked to. The newest 512 Ki characters are kept.
#[utoipa::path(
    get, path = "/api/v1/agents/{name}/log", tag = "agents", params(("name" = String, Path, description = "The node"), LogQuery),
    security(("token" = ["viewer"])), responses((status = 200, description = "What was done after the given place", body = LogPage))
)]
pub async fn read_agent_log(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPage>, ApiError> {
    let read = || state.control.agent_log(&actor, &name, query.after());
    follow_log(&state, &query, |topic| topic.starts_with("log:agent/"), read).await
}

/// Makes a configuration the one that a node's agent should make true. The agent is woken at once.
#[utoipa::path(
    put, path = "/api/v1/agents/{name}/configuration", tag = "agents", params(("name" = String, Path, description = "The node")),
    request_body(content = serde_json::Value, description = "A configuration as `greenroom recipe render` prints it"),
    security(("token" = ["operator"])), responses((status = 200, description = "Its hash", body = AssignedView))
)]
pub async fn assign_configuration(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    JsonBody(wanted): JsonBody<NodeConfiguration>,
) -> Result<Json<AssignedView>, ApiError> {
    let hash = state.control.assign_configuration(&actor, &name, &wanted).await?;
    Ok(Json(AssignedView { hash }))
}

/// Forgets the agent of a node, so that another machine may take its name. The node itself stays.
#[utoipa::path(
    delete, path = "/api/v1/agents/{name}", tag = "agents", params(("name" = String, Path, description = "The node")),
    security(("token" = ["operator"])), responses((status = 204, description = "It is no longer believed"))
)]
pub async fn forget_agent(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control.forget_agent(&actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the tokens that machines register with, newest first, without their secrets.
#[utoipa::path(
    get, path = "/api/v1/node-tokens", tag = "agents", security(("token" = ["operator"])),
    responses((status = 200, description = "Tokens", body = Vec<NodeTokenView>))
)]
pub async fn list_node_tokens(
    Operator(actor): Operator,
    State(state): State<AppState>,
) -> Result<Json<Vec<NodeTokenView>>, ApiError> {
    Ok(Json(state.control.list_node_tokens(&actor).await?))
}

/// Makes a token that machines register with: for so many, until then, under names that fit. Its secret is in this answer only.
#[utoipa::path(
    post, path = "/api/v1/node-tokens", tag = "agents", request_body = NewNodeToken, security(("token" = ["operator"])),
    responses((status = 201, description = "The token with its secret", body = NodeTokenView))
)]
pub async fn create_node_token(
    Operator(actor): Operator,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewNodeToken>,
) -> Result<(StatusCode, Json<NodeTokenView>), ApiError> {
    let made = state.control.create_node_token(&actor, &request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Makes the address at which a machine that starts for the first time finds what to do to become this node. Whoever has it can
/// become the node, once; it is in this answer only.
#[utoipa::path(
    post, path = "/api/v1/nodes/{name}/boot", tag = "agents", params(("name" = String, Path, description = "The node")),
    request_body = NewBoot, security(("token" = ["operator"])),
    responses((status = 201, description = "The address", body = BootView))
)]
pub async fn boot_node(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(name): Path<String>,
    JsonBody(request): JsonBody<NewBoot>,
) -> Result<(StatusCode, Json<BootView>), ApiError> {
    let made = state.control.boot_node(&actor, &name, &request).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Makes a token useless. Nodes that have registered with it stay.
#[utoipa::path(
    delete, path = "/api/v1/node-tokens/{id}", tag = "agents", params(("id" = String, Path, description = "The token")),
    security(("token" = ["operator"])), responses((status = 204, description = "It no longer works"))
)]
pub async fn revoke_node_token(
    Operator(actor): Operator,
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.control.revoke_node_token(&actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
