//! A role: a named list of recipes with values, and the roles it includes.

use super::{Document, Values};
use crate::model::descriptor::RecipeRef;
use crate::model::name::RoleName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A named list of recipes.
pub type Role = Document<RoleName, RoleSpec>;

/// What a role brings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSpec {
    /// Roles whose recipes come first, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleName>,
    /// Its recipes, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipes: Vec<RecipeRef>,
    /// Values for templates on the nodes that have it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}
