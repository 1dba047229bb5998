//! Images that servers start from, and what providers hold.

use crate::model::stack::StackState;
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImageView {
    /// Whose it is.
    pub provider: String,
    /// Its name: the hash of what it was baked from.
    pub key: String,
    /// The apps in it, as `app@revision`.
    pub apps: Vec<String>,
    /// `planned`, `usable`, `failed` or `removing`.
    pub state: String,
    /// The provider's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// How much room it takes, where the provider says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When a server last started from it.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<Timestamp>,
    /// The run that makes or made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// An image that is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Baking {
    /// The image.
    pub image: ImageView,
    /// The run that makes it; none where there was one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// What providers hold under our tag, what they should hold, and the difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HoldingsView {
    /// Servers and what belongs to them.
    pub servers: Vec<HeldServer>,
    /// Images.
    pub images: Vec<HeldImage>,
    /// Providers that could not be asked, and why: of these nothing is known.
    pub unanswered: Vec<String>,
    /// How many differences there are; 0 is as it should be.
    pub differences: usize,
}

/// A server that a provider holds, or should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeldServer {
    /// Whose it is.
    pub provider: String,
    /// Our id.
    pub node: String,
    /// The provider's name for it; empty where it holds nothing.
    pub external_id: String,
    /// `running`, `stopped` or `gone`, as the provider says.
    pub observed: String,
    /// What our row says: `planned`, `created`, `stopping` or `stopped`; empty where there is none.
    pub expected: String,
    /// The stack that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The stack's state.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_state: Option<StackState>,
    /// What is wrong, where the two differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// An image that a provider holds, or should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeldImage {
    /// Whose it is.
    pub provider: String,
    /// Its key.
    pub key: String,
    /// The provider's name for it; empty where it holds nothing.
    pub external_id: String,
    /// What is wrong, where the two differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// What a clean-up did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reaped {
    /// Servers and images that nobody knew of and that are gone now.
    pub removed: usize,
    /// What is there now.
    pub holdings: HoldingsView,
}
