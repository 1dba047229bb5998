//! Who is asking, and what they may do.

use super::id::UserId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What an account or token may do; each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at everything, changes nothing.
    Viewer,
    /// Launches stacks and manages their own.
    Member,
    /// Manages everyone's stacks, and the apps.
    Operator,
    /// Manages accounts and tokens.
    Admin,
}

impl Role {
    /// All roles, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Operator, Self::Admin];

    /// The role's name in JSON, SQL and the CLI.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a role: use viewer, member, operator or admin"))
    }
}

/// Who makes a change: named in the audit, asked for permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A signed-in person or an API token acting for one. The token's role may be lower than the account's.
    User {
        /// The account.
        id: UserId,
        /// Its name, for the audit.
        name: String,
        /// The role that counts for this request.
        role: Role,
    },
    /// The agent of a node.
    Agent {
        /// The node.
        node: super::id::NodeId,
    },
    /// Greenroom itself: the engine, the keeper, start-up.
    System {
        /// Which part, such as `engine`.
        part: &'static str,
    },
}

impl Actor {
    /// Greenroom itself.
    pub const fn system(part: &'static str) -> Self {
        Self::System { part }
    }

    /// The role that counts; Greenroom itself may do anything, an agent nothing that needs a role.
    pub const fn role(&self) -> Option<Role> {
        match self {
            Self::User { role, .. } => Some(*role),
            Self::System { .. } => Some(Role::Admin),
            Self::Agent { .. } => None,
        }
    }

    /// The account behind it, if a person.
    pub const fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::User { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name, .. } => write!(f, "user:{name}"),
            Self::Agent { node } => write!(f, "agent:{node}"),
            Self::System { part } => write!(f, "system:{part}"),
        }
    }
}
