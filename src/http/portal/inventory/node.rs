//! What only a node's page shows: its facts, its agent, what runs on it, what it is built to be; and why a value is what it is.

use super::super::fields::QueryFields;
use super::super::view::{Look, reshow};
use crate::control::ControlError;
use crate::control::inventory::Where;
use crate::http::auth::Viewer;
use crate::http::extract::Path;
use crate::http::problem::ApiError;
use crate::http::state::AppState;
use crate::model::actor::Actor;
use crate::wire::inventory::RunningView;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

const REPORTS: usize = 5;

/// Routes of this group.
pub fn router() -> Router<AppState> {
    Router::new().route("/inventory/nodes/{name}/explain", get(explain))
}

/// What a node's page shows besides what every object's does.
///
/// # Errors
/// Whatever is no lack of the node's.
pub async fn more(state: &AppState, actor: &Actor, name: &str) -> Result<Value, ApiError> {
    let control = &state.control;
    let agents = control.agents_of(actor, &[name]).await?;
    let agent = agents.get(name);
    let mut reports = match agent {
        Some(_) => control.agent_reports(actor, name).await?,
        None => Vec::new(),
    };
    reports.truncate(REPORTS);
    let facts = wanting("not-found", control.show_facts(actor, name).await)?;
    let mut running: Vec<RunningView> = control.running(actor, Where::default()).await?;
    // A stack may have a node's name.
    running.retain(|on| on.node == name && !on.datacenter.is_empty());
    let (built, unbuilt) = match control.show_configuration(actor, name).await {
        Ok(built) => (Some(built), None),
        Err(error) => (None, Some(reshow(error)?)),
    };
    let lines = facts.as_ref().map(|facts| flat(&facts.facts)).unwrap_or_default();
    Ok(json!({
        "agent": agent,
        "reports": reports,
        "facts": facts,
        "fact_lines": lines,
        "running": running,
        "built": built,
        "unbuilt": unbuilt,
    }))
}

fn wanting<T>(code: &str, answer: Result<T, ControlError>) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.fault.code == code => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Facts as lines of path and value, as a search names them.
fn flat(facts: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut open = vec![("facts".to_owned(), facts)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Object(map) => open.extend(map.iter().map(|(key, value)| (format!("{path}.{key}"), value))),
            Value::String(text) => lines.push((path, text.clone())),
            other => lines.push((path, other.to_string())),
        }
    }
    lines.sort();
    lines
}

async fn explain(
    Viewer(actor): Viewer,
    State(state): State<AppState>,
    look: Look,
    Path(name): Path<String>,
    QueryFields(query): QueryFields,
) -> Result<Response, ApiError> {
    let object = state
        .control
        .show_object(&actor, crate::model::inventory::ObjectKind::Node, &name, None)
        .await?;
    let (key, app) = (query.text("key").trim(), query.filled("app"));
    let (answer, problem) = if key.is_empty() {
        (None, None)
    } else {
        match state.control.explain_value(&actor, &name, key, app).await {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(reshow(error)?)),
        }
    };
    let context = json!({
        "name": name,
        "key": key,
        "app": app,
        "apps": object.body["spec"]["apps"],
        "answer": answer,
        "problem": problem,
    });
    Ok(look.page("inventory/explain.html", Some(&actor), context))
}

#[cfg(test)]
mod tests {
    use super::flat;
    use serde_json::json;

    #[test]
    fn facts_read_as_searches_name_them() {
        let lines = flat(&json!({"machine": {"os": "debian", "cpus": 4, "nets": ["a"]}, "tz": null}));
        let shown: Vec<String> = lines.iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(
            shown,
            [
                "facts.machine.cpus=4",
                "facts.machine.nets=[\"a\"]",
                "facts.machine.os=debian",
                "facts.tz=null"
            ]
        );
    }
}
