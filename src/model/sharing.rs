//! Who may look at a stack's apps, and who besides its owner may change it.

use super::actor::Role;
use super::id::{GuestLinkId, StackId, UserId};
use super::run::states;
use serde::{Deserialize, Serialize};

states! {
    /// To whom the apps of a stack are open.
    Visibility {
        /// The owner, those it is shared with, and operators.
        Private = "private",
        /// Everyone who is signed in.
        SignedIn = "signed_in",
        /// Anyone who has the address; only what is meant for people.
        Public = "public",
    }
}

states! {
    /// What someone may do with a stack that is shared with them.
    ShareLevel {
        /// Look at its apps.
        View = "view",
        /// Also change it, as its owner may.
        Change = "change",
    }
}

/// Who stands at the address of a stack's app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// Someone who is signed in.
    Account {
        /// The account.
        user: UserId,
        /// Its role.
        role: Role,
    },
    /// Whoever holds a guest link.
    Guest {
        /// The link.
        link: GuestLinkId,
        /// The stack that it is for.
        stack: StackId,
    },
    /// Nobody we know.
    Stranger,
}
