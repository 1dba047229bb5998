//! Errors in the files people write: file, line, column, a stable code, a snippet and advice; all of them in one pass.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is accepted; a person should look.
    Warning,
    /// The file is refused.
    Error,
}

/// One finding in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable kebab-case code, such as `unknown-field`.
    pub code: String,
    /// One sentence without a full stop.
    pub message: String,
    /// The file as the person named it.
    pub file: String,
    /// Line, from 1; 0 where the finding is about the whole file.
    pub line: u32,
    /// Column in characters, from 1; 0 where the finding is about the whole file.
    pub column: u32,
    /// Path of the value inside the document, such as `spec.resources.db.type`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Advice: what to write instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line itself, cut to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        if self.line == 0 {
            write!(f, "{}: {kind}[{}]: {}", self.file, self.code, self.message)?;
        } else {
            write!(
                f,
                "{}:{}:{}: {kind}[{}]: {}",
                self.file, self.line, self.column, self.code, self.message
            )?;
            if let Some(snippet) = &self.snippet {
                let caret = " ".repeat(self.column.saturating_sub(1) as usize);
                write!(f, "\n{:>5} | {snippet}\n      | {caret}^", self.line)?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n      = help: {help}")?;
        }
        Ok(())
    }
}

/// Whether any of these refuses the file.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}
