//! Errors as RFC 9457 problem+json.

use crate::model::diagnostic::Diagnostic;
use crate::model::fault::{Fault, Turn};
use serde::{Deserialize, Serialize};

/// What every error answer looks like (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `https://greenroom.dev/errors/CODE`; `greenroom explain CODE` says the same offline.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's heading.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// What failed and why.
    pub detail: String,
    /// The next action.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Whose turn it is.
    pub turn: Turn,
    /// Fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldProblem>,
    /// Findings in a descriptor or recipe.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
    /// Line difference between the version you edited and the current one (`changed-meanwhile`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// The current version (`changed-meanwhile`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<i64>,
    /// The cause's own last lines of output.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
    /// Finds this request in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// Its path in the request, such as `apps[0].revision`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let entry = crate::model::fault::explain(&fault.code);
        Self {
            kind: format!("https://greenroom.dev/errors/{}", fault.code),
            title: entry.map_or("Greenroom made a mistake", |e| e.title).to_owned(),
            status: entry.map_or(500, |e| e.status),
            detail: fault.to_string(),
            hint: fault.next,
            turn: fault.turn,
            code: fault.code,
            fields: Vec::new(),
            diagnostics: Vec::new(),
            diff: None,
            current_version: None,
            log_tail: fault.log_tail,
            request_id: None,
        }
    }
}
