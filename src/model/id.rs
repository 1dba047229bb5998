//! Typed, prefixed, time-ordered identifiers (`stk_…`, `run_…`), readable in logs, URLs and search.
//!
//! An id is its prefix, an underscore and the 32 hexadecimal digits of a version 7 UUID, so ids sort by creation time.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} id: it should look like `{prefix}_` followed by 32 hexadecimal digits")]
pub struct IdError {
    text: String,
    what: &'static str,
    prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The prefix every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from 128 unique bits; see [`crate::clock::Ids`] for where they come from.
            pub fn from_bits(bits: u128) -> Self {
                Self(format!("{}_{bits:032x}", $prefix))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The last eight digits: enough to tell neighbours apart where space is short.
            pub fn short(&self) -> &str {
                &self.0[self.0.len() - 8..]
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let good = text
                    .strip_prefix(concat!($prefix, "_"))
                    .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
                if good {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { text: text.chars().take(60).collect(), what: $what, prefix: $prefix })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

ids! {
    /// A leased staging server that someone launched.
    StackId = "stk", "stack";
    /// One execution of a plan.
    RunId = "run", "run";
    /// A machine (server, container, sandbox) that runs the agent.
    NodeId = "nod", "node";
    /// A local account.
    UserId = "usr", "user";
    /// An API token.
    TokenId = "tok", "token";
    /// A row for one thing a provider holds for us.
    ResourceId = "res", "resource";
    /// A link that lets someone without an account look at a stack's apps.
    GuestLinkId = "gst", "guest link";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_round_trips_through_text() {
        let id = StackId::from_bits(7);
        assert_eq!(id.as_str().parse::<StackId>().unwrap(), id);
    }

    #[test]
    fn an_id_of_another_kind_or_shape_is_refused() {
        for text in [
            "run_00000000000000000000000000000007",
            "stk_7",
            "",
            "stk_0000000000000000000000000000000G",
            "../stk",
        ] {
            assert!(text.parse::<StackId>().is_err(), "{text}");
        }
    }
}
