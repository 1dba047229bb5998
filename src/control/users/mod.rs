//! Accounts, sessions, one-time links and API tokens. Secrets are compared and stored by hash only.
//!
//! Invariant: nobody gets more than their account may do. A token that may do less than its account cannot make a session,
//! a link or a password, for any of them would be the whole account.

mod accounts;
mod attempts;
mod password;
mod sessions;
mod tokens;

use super::{Control, ControlError, Result};
use crate::model::actor::{Actor, Role};
use crate::model::name::UserName;
use crate::store::users::UserRecord;
use crate::wire::auth::UserView;

pub use sessions::SESSION_LIFE_MS;

/// What signing in shares between requests: who tried how often, and the one place where passwords are hashed.
#[derive(Debug, Default)]
pub struct Accounts {
    attempts: attempts::Attempts,
    passwords: password::Passwords,
}

impl Control {
    // The asker's account, where the request may do all that the account may.
    async fn own_account(&self, actor: &Actor) -> Result<UserRecord> {
        let account = self.account_of(actor).await?;
        if actor.role() < Some(account.role) {
            return Err(ControlError::new(
                "not-allowed",
                "This token may do less than its account, so it cannot open the account",
            ));
        }
        Ok(account)
    }

    pub(super) async fn account_of(&self, actor: &Actor) -> Result<UserRecord> {
        let found = match actor.user_id() {
            Some(id) => self.store.user(id).await?,
            None => None,
        };
        found.ok_or_else(|| ControlError::new("not-signed-in", "The request stands for no account"))
    }

    pub(super) async fn account_named(&self, name: &str) -> Result<UserRecord> {
        let found = match account_name(name) {
            Ok(name) => self.store.user_by_name(&name).await?,
            Err(_) => None,
        };
        found.ok_or_else(|| ControlError::not_found("account", name))
    }
}

fn require(actor: &Actor, role: Role) -> Result<()> {
    if actor.role() >= Some(role) {
        Ok(())
    } else {
        Err(ControlError::new("not-allowed", format!("This takes the role {role}")))
    }
}

// People type their names in any case; telephones begin them with a capital letter.
fn account_name(text: &str) -> Result<UserName> {
    let name = text.trim().to_ascii_lowercase().parse();
    name.map_err(|error| ControlError::field("name", error))
}

fn actor_of(account: &UserRecord, role: Role) -> Actor {
    Actor::User {
        id: account.id.clone(),
        name: account.name.to_string(),
        role,
    }
}

fn view(account: &UserRecord) -> UserView {
    UserView {
        id: account.id.clone(),
        name: account.name.to_string(),
        role: account.role,
        created_at: account.created_at,
        has_password: account.password.is_some(),
        disabled: account.disabled_at.is_some(),
    }
}
