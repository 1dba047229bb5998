//! Stacks: plan, launch, look, extend, update, retry, destroy.
//!
//! [`plan`] turns a request into a draft (apps at commits, data, compiled recipes) that both the preview and the launch use,
//! so what is shown before is what happens after. [`launch`], [`change`] and [`sleep`] store it and start a run in one transaction.
//! [`look`] reads.

pub mod change;
pub mod launch;
pub mod look;
pub mod plan;
pub mod sleep;

pub(super) use plan::{Draft, problem};

use super::{Control, ControlError, Result};
use crate::model::actor::{Actor, Role};
use crate::model::id::{StackId, UserId};
use crate::model::name::StackName;
use crate::model::stack::{Size, Stack};
use std::collections::BTreeSet;

/// Which stacks to list.
#[derive(Debug, Clone, Default)]
pub struct StackFilter {
    /// Only the asker's.
    pub mine: bool,
    /// Also destroyed ones.
    pub ended: bool,
    /// Text in name, owner or app.
    pub text: Option<String>,
    /// From an earlier page's `next`.
    pub cursor: Option<String>,
    /// At most this many, 1 to 200.
    pub limit: i64,
}

/// What the launch form offers besides apps.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// Providers: name, isolation for people.
    pub providers: Vec<(String, String)>,
    /// Sizes.
    pub sizes: Vec<Size>,
    /// Default lease, such as `8h`.
    pub lease_default: String,
    /// Longest lease, such as `14d`.
    pub lease_maximum: String,
}

impl Control {
    /// What the launch form offers besides apps.
    pub fn launch_options(&self) -> LaunchOptions {
        LaunchOptions {
            providers: self
                .providers
                .all()
                .iter()
                .map(|p| (p.name().to_owned(), p.capabilities().isolation))
                .collect(),
            sizes: Size::ALL.to_vec(),
            lease_default: self.settings.leases.default.clone(),
            lease_maximum: self.settings.leases.maximum.clone(),
        }
    }

    pub(super) async fn find_stack(&self, id_or_name: &str) -> Result<Stack> {
        let found = if let Ok(id) = id_or_name.parse::<StackId>() {
            self.store.stack(&id).await?
        } else if let Ok(name) = id_or_name.parse::<StackName>() {
            self.store.stack_by_name(&name).await?
        } else {
            None
        };
        found.ok_or_else(|| ControlError::not_found("stack", id_or_name))
    }
}

/// What an actor may change: their own stacks, those that were shared with them so, or all.
pub(super) struct Rights<'a> {
    actor: &'a Actor,
    shared: BTreeSet<StackId>,
}

impl Rights<'_> {
    /// Whether they may change this stack of this owner.
    pub(super) fn may_change(&self, stack: &StackId, owner: &UserId) -> bool {
        match self.actor.role() {
            Some(role) if role >= Role::Operator => true,
            Some(Role::Member) => self.actor.user_id() == Some(owner) || self.shared.contains(stack),
            _ => false,
        }
    }
}

impl Control {
    /// What this actor may change.
    ///
    /// # Errors
    /// None but the store's.
    pub(super) async fn rights<'a>(&self, actor: &'a Actor) -> Result<Rights<'a>> {
        let shared = match (actor.role(), actor.user_id()) {
            (Some(Role::Member), Some(user)) => self.store.changeable_by(user).await?,
            _ => BTreeSet::new(),
        };
        Ok(Rights { actor, shared })
    }

    pub(super) async fn check_may_change(&self, actor: &Actor, stack: &Stack) -> Result<()> {
        if self.rights(actor).await?.may_change(&stack.id, &stack.owner) {
            Ok(())
        } else {
            Err(ControlError::new(
                "not-allowed",
                format!(
                    "Only its owner, an operator or someone it is shared with for that may change {}",
                    stack.name
                ),
            ))
        }
    }
}
