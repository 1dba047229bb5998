//! Who may look at a stack's apps, and the links for people without an account.

use crate::model::id::GuestLinkId;
use crate::model::sharing::{ShareLevel, Visibility};
use crate::model::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Who may look at a stack's apps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SharingView {
    /// To whom they are open.
    pub visibility: Visibility,
    /// The people it is shared with.
    pub people: Vec<Share>,
    /// The links for guests that were not ended, newest first.
    pub guest_links: Vec<GuestLinkView>,
    /// When someone last asked one of its apps for something.
    #[schema(value_type = Option<String>)]
    pub last_used_at: Option<Timestamp>,
    /// Whether the asker may change this.
    pub may_change: bool,
}

/// Someone a stack is shared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The account's name.
    pub name: String,
    /// What they may do.
    pub level: ShareLevel,
}

/// A change of who may look; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SharingRequest {
    /// To whom the apps are open from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// People to share it with, or whose level changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub share: Vec<Share>,
    /// Names of people to share it with no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unshare: Vec<String>,
}

/// A link for guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestLinkView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: GuestLinkId,
    /// Whom it is for.
    pub name: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
    /// The addresses to hand out, one an app. Only in the answer that makes or renews it: its secret is stored as a hash.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GuestAddress>,
}

/// Where a guest link leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestAddress {
    /// What the app is called.
    pub label: String,
    /// The address, with the secret in it.
    pub url: String,
}

/// A link for guests to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGuestLink {
    /// Whom it is for, as people remember it.
    pub name: String,
    /// How long it is good, such as `7d`; a week where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// The same link with another secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewGuestLink {
    /// How long it is good from now on; as long as it was where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}
