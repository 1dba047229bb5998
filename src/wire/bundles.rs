//! Bundles of recipes: push, list, compare, and which environment is built from which.

use crate::model::diagnostic::Diagnostic;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Recipes and templates to keep as a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushRequest {
    /// Text by file name: `nginx.yaml`, `nginx.conf.j2`, `values.yaml`.
    pub files: BTreeMap<String, String>,
    /// Whether the server's own recipes are added, where no file takes their place; so they are unless this is false.
    #[serde(default = "yes")]
    pub with_own: bool,
    /// Where it comes from, for people, such as a commit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

fn yes() -> bool {
    true
}

/// A bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BundleView {
    /// Its name: the hash of its files.
    pub hash: String,
    /// How many files it has.
    pub file_count: i64,
    /// How many bytes they have together.
    pub bytes: i64,
    /// Where it comes from.
    pub note: String,
    /// Who pushed it first.
    pub actor: String,
    /// When.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// The environments that point at it; those that name none are built from the server's own.
    pub environments: Vec<String>,
    /// Whether it is the server's own.
    pub own: bool,
}

/// A bundle that was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PushedView {
    /// The bundle.
    pub bundle: BundleView,
    /// Whether it is new, rather than known already.
    pub new: bool,
    /// What its author should look at.
    pub warnings: Vec<Diagnostic>,
}

/// A bundle with its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BundleFilesView {
    /// The bundle.
    pub bundle: BundleView,
    /// Text by file name.
    pub files: BTreeMap<String, String>,
}

/// What differs between two bundles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BundleDiffView {
    /// The one.
    pub from: String,
    /// The other.
    pub to: String,
    /// The files that differ, with a line difference each.
    pub files: Vec<FileDiffView>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileDiffView {
    /// Its name.
    pub file: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// Line difference.
    pub diff: String,
}

/// Which bundle an environment is built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PointerView {
    /// The environment.
    pub environment: String,
    /// The bundle: what it points at, or the server's own.
    pub bundle: String,
    /// Whether the environment points at it, rather than being left at the server's own.
    pub pinned: bool,
    /// The environment's version, for `If-Match`.
    pub version: i64,
}

/// The bundle to point an environment at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteRequest {
    /// Its hash, or enough of its beginning.
    pub bundle: String,
}
