//! Previews: stacks that show a branch for as long as it has a pull request.

use crate::model::stack::{Link, StackState};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PreviewView {
    /// Its id.
    pub id: String,
    /// Whose webhook told of it: `github`, `gitlab` or `gitea`.
    pub forge: String,
    /// The project there.
    pub project: String,
    /// The branch.
    pub branch: String,
    /// The pull request's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// The address of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The commit that it should show.
    pub commit: String,
    /// `open`, `closed` or `gone`: what the forge said of the branch.
    pub state: String,
    /// The stack's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The stack's state.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_state: Option<StackState>,
    /// Where it is.
    pub links: Vec<Link>,
    /// Why it could not even be begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// When the forge last told of it.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

/// What became of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HookAnswer {
    /// `accepted`, or why it was passed over.
    pub what: String,
}
