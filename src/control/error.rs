//! What a verb answers when it refuses: a fault, with the fields, findings or difference that explain it.

use crate::model::diagnostic::Diagnostic;
use crate::model::fault::Fault;
use crate::store::StoreError;
use crate::wire::problem::{FieldProblem, Problem};

/// What a verb gives.
pub type Result<T, E = ControlError> = std::result::Result<T, E>;

/// A refusal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{fault}")]
pub struct ControlError {
    /// What and why. Boxed, so that results stay small.
    pub fault: Box<Fault>,
    /// Fields at fault.
    pub fields: Vec<FieldProblem>,
    /// Findings in a descriptor or recipe.
    pub diagnostics: Vec<Diagnostic>,
    /// Line difference to the current version and its number (`changed-meanwhile`).
    pub changed: Option<(i64, String)>,
}

impl ControlError {
    /// A refusal under a code of the catalogue.
    pub fn new(code: &'static str, what: impl Into<String>) -> Self {
        Fault::new(code, what).into()
    }

    /// `not-found` for a thing.
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::new(
            "not-found",
            format!("There is no {what} `{}`", name.chars().take(80).collect::<String>()),
        )
    }

    /// `invalid-request` naming one field.
    pub fn field(field: impl Into<String>, message: impl std::fmt::Display) -> Self {
        let mut error = Self::new("invalid-request", "The request has an error");
        error.fault.why = message.to_string();
        error.fields.push(FieldProblem {
            field: field.into(),
            message: message.to_string(),
        });
        error
    }
}

impl From<Fault> for ControlError {
    fn from(fault: Fault) -> Self {
        Self {
            fault: Box::new(fault),
            fields: Vec::new(),
            diagnostics: Vec::new(),
            changed: None,
        }
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        Fault::from(error).into()
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let mut problem = Self::from(*error.fault);
        problem.fields = error.fields;
        problem.diagnostics = error.diagnostics;
        if let Some((version, diff)) = error.changed {
            problem.current_version = Some(version);
            problem.diff = Some(diff);
        }
        problem
    }
}
