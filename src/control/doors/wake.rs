//! Waking a stack from its own address: whoever may look at its apps may ask for it, for it sleeps only because nobody did.

use super::super::{Control, ControlError, Result};
use super::Door;
use crate::model::actor::Actor;
use crate::model::sharing::Visitor;

impl Control {
    /// Wakes the stack behind a door for someone who is known: an account or a guest. The history says who it was where they
    /// may change the stack anyway, else that a visitor did.
    ///
    /// # Errors
    /// `not-allowed` for strangers, `conflict` where it does not sleep.
    pub async fn wake_from_outside(&self, door: &Door, visitor: &Visitor) -> Result<()> {
        let actor = match visitor {
            Visitor::Account { user, role } => {
                let account = self.store.user(user).await?;
                let actor = account.map(|account| Actor::User {
                    id: account.id,
                    name: account.name.to_string(),
                    role: *role,
                });
                let may = match &actor {
                    Some(actor) => self.rights(actor).await?.may_change(&door.stack, &door.owner),
                    None => false,
                };
                actor.filter(|_| may).unwrap_or(Actor::system("visitor"))
            }
            Visitor::Guest { .. } => Actor::system("guest"),
            Visitor::Stranger => {
                let what = format!("Only who is known may wake {}", door.stack_name);
                return Err(ControlError::new("not-allowed", what));
            }
        };
        self.start_stack(&actor, door.stack.as_str()).await.map(|_| ())
    }
}
