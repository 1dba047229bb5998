//! Run lists: from the roles of a node to the recipes that make it, in order.
//!
//! Depth first: the roles that a role includes come before its own recipes. A role or recipe that comes again later is left
//! out there, for the first occurrence counts. Roles that include each other in a circle are refused.

use super::shape::choices;
use super::tree::did_you_mean;
use crate::model::inventory::Role;
use serde::{Deserialize, Serialize};

/// What a node does, as it was written and as it was expanded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunList {
    /// The roles of the node, as its object names them.
    #[serde(default)]
    pub roles: Vec<String>,
    /// All roles, with those that they include, each after what it includes.
    #[serde(default)]
    pub expanded: Vec<String>,
    /// The recipes of all roles, in the order in which they are applied.
    #[serde(default)]
    pub recipes: Vec<RunItem>,
}

/// A recipe of a run list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunItem {
    /// The recipe.
    pub recipe: String,
    /// The role that brings it.
    pub role: String,
}

/// Why a run list cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunListError {
    /// A role is named that is not there.
    #[error("{by} names the role `{role}`, which is not there; {help}")]
    Missing {
        /// Who names it: `the node`, `the role web`.
        by: String,
        /// The role.
        role: String,
        /// The nearest name.
        help: String,
    },
    /// Roles include each other.
    #[error("the roles include each other in a circle: {}", .0.join(" → "))]
    Circle(Vec<String>),
}

impl RunListError {
    /// Its stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "role-missing",
            Self::Circle(_) => "role-cycle",
        }
    }
}

/// Expands the roles of a node. All that is wrong is said at once.
///
/// # Errors
/// Roles that are not there, and circles.
pub fn expand<'a, N: AsRef<str>>(
    roles: &[N],
    find: &dyn Fn(&str) -> Option<&'a Role>,
    all: &[&str],
) -> Result<RunList, Vec<RunListError>> {
    let mut walk = Walk {
        find,
        all,
        open: Vec::new(),
        list: RunList {
            roles: roles.iter().map(|role| role.as_ref().to_owned()).collect(),
            ..RunList::default()
        },
        errors: Vec::new(),
    };
    for role in roles {
        walk.role(role.as_ref(), "the node");
    }
    if walk.errors.is_empty() {
        Ok(walk.list)
    } else {
        Err(walk.errors)
    }
}

struct Walk<'f, 'a> {
    find: &'f dyn Fn(&str) -> Option<&'a Role>,
    all: &'f [&'f str],
    open: Vec<String>,
    list: RunList,
    errors: Vec<RunListError>,
}

impl Walk<'_, '_> {
    fn role(&mut self, name: &str, by: &str) {
        if let Some(start) = self.open.iter().position(|open| open == name) {
            let mut circle = self.open[start..].to_vec();
            circle.push(name.to_owned());
            self.errors.push(RunListError::Circle(circle));
            return;
        }
        if self.list.expanded.iter().any(|done| done == name) {
            return;
        }
        let Some(role) = (self.find)(name) else {
            let help = did_you_mean(name, self.all.iter().copied()).unwrap_or_else(|| choices(self.all));
            self.errors.push(RunListError::Missing {
                by: by.to_owned(),
                role: name.to_owned(),
                help,
            });
            return;
        };
        self.open.push(name.to_owned());
        for inner in &role.spec.roles {
            self.role(inner.as_str(), &format!("the role `{name}`"));
        }
        self.open.pop();
        for recipe in &role.spec.recipes {
            if !self.list.recipes.iter().any(|item| item.recipe == recipe.name) {
                self.list.recipes.push(RunItem {
                    recipe: recipe.name.clone(),
                    role: name.to_owned(),
                });
            }
        }
        self.list.expanded.push(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    fn roles(all: &[(&str, &[&str], &[&str])]) -> BTreeMap<String, Role> {
        let one = |(name, roles, recipes): &(&str, &[&str], &[&str])| {
            let recipes: Vec<Value> = recipes.iter().map(|recipe| json!({"name": recipe})).collect();
            let role = json!({"apiVersion": "greenroom/v1", "kind": "Role", "metadata": {"name": name},
                "spec": {"roles": roles, "recipes": recipes}});
            ((*name).to_owned(), serde_json::from_value(role).unwrap())
        };
        all.iter().map(one).collect()
    }

    fn expanded(all: &[(&str, &[&str], &[&str])], of: &[&str]) -> Result<RunList, Vec<RunListError>> {
        let roles = roles(all);
        let names: Vec<&str> = roles.keys().map(String::as_str).collect();
        expand(of, &|name| roles.get(name), &names)
    }

    #[test]
    fn roles_are_expanded_depth_first_and_the_first_occurrence_counts() {
        let list = expanded(
            &[
                ("base", &[], &["time", "users"]),
                ("web", &["base"], &["nginx", "users"]),
                ("shop", &["web", "base"], &["nginx", "cache"]),
            ],
            &["shop", "base"],
        )
        .unwrap();
        let recipes: Vec<&str> = list.recipes.iter().map(|item| item.recipe.as_str()).collect();
        assert_eq!(recipes, ["time", "users", "nginx", "cache"]);
        assert_eq!(list.recipes[1].role, "base");
        assert_eq!(list.roles, ["shop", "base"]);
        assert_eq!(list.expanded, ["base", "web", "shop"]);
    }

    #[test]
    fn circles_and_missing_roles_are_named_all_at_once() {
        let errors = expanded(
            &[("aa", &["bb"], &[]), ("bb", &["aa"], &[]), ("web", &[], &[])],
            &["aa", "wev"],
        )
        .unwrap_err();
        assert_eq!(errors[0], RunListError::Circle(vec!["aa".into(), "bb".into(), "aa".into()]));
        assert!(errors[1].to_string().contains("did you mean `web`?"), "{}", errors[1]);
    }
}
