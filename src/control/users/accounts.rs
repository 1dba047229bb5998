//! Accounts: look, make, change, disable; one's own password.

use super::password::{LONGEST, SHORTEST};
use super::{Control, ControlError, Result, account_name, require, view};
use crate::model::actor::{Actor, Role};
use crate::model::id::UserId;
use crate::wire::auth::{NewUser, UserView};

impl Control {
    /// The asker's own account. Its role is the account's; a token may be allowed less.
    ///
    /// # Errors
    /// `not-signed-in` for an agent.
    pub async fn whoami(&self, actor: &Actor) -> Result<UserView> {
        Ok(view(&self.account_of(actor).await?))
    }

    /// All accounts. Admins only.
    ///
    /// # Errors
    /// `not-allowed`.
    pub async fn list_users(&self, actor: &Actor) -> Result<Vec<UserView>> {
        require(actor, Role::Admin)?;
        Ok(self.store.users().await?.iter().map(view).collect())
    }

    /// Makes an account. Admins only.
    ///
    /// # Errors
    /// `not-allowed`, `conflict`, `invalid-request`.
    pub async fn create_user(&self, actor: &Actor, request: &NewUser) -> Result<UserView> {
        require(actor, Role::Admin)?;
        let name = account_name(&request.name)?;
        let id = UserId::from_bits(self.store.next_id());
        let mut tx = self.store.write(actor, "user.create", id.as_str()).await?;
        tx.detail(format!("{name}, role {}", request.role));
        tx.insert_user(&id, &name, request.role).await?;
        tx.commit().await?;
        Ok(view(&self.account_named(name.as_str()).await?))
    }

    /// Changes an account's role, or disables or enables it. Admins only; the last admin stays one. A disabled account
    /// loses its sessions, tokens and links at once, for good.
    ///
    /// # Errors
    /// `not-allowed`, `not-found`, `conflict`.
    pub async fn change_user(&self, actor: &Actor, name: &str, role: Option<Role>, disabled: Option<bool>) -> Result<UserView> {
        require(actor, Role::Admin)?;
        let found = self.account_named(name).await?;
        let mut tx = self.store.write(actor, "user.change", found.id.as_str()).await?;
        tx.lock_accounts().await?;
        // Read again now that nobody else can decide meanwhile.
        let Some(account) = tx.user(&found.id).await? else {
            return Err(ControlError::not_found("account", name));
        };
        let role = role.unwrap_or(account.role);
        let disabled = disabled.unwrap_or(account.disabled_at.is_some());
        let stays_admin = role == Role::Admin && !disabled;
        if !stays_admin && tx.other_admins(&account.id).await? == 0 {
            return Err(ControlError::new("conflict", format!("`{}` is the last admin", account.name)));
        }
        let disabled_at = disabled.then(|| account.disabled_at.unwrap_or(tx.at()));
        tx.change_user(&account.id, role, disabled_at).await?;
        // On enabling too: what slipped in while it was being disabled stays out.
        if disabled || account.disabled_at.is_some() {
            tx.lock_out(&account.id).await?;
        }
        let state = if disabled { "disabled" } else { "enabled" };
        tx.detail(format!("{}, role {role} (was {}), {state}", account.name, account.role));
        tx.commit().await?;
        Ok(view(&self.account_named(account.name.as_str()).await?))
    }

    /// Sets the asker's own password.
    ///
    /// # Errors
    /// `invalid-request` below 10 characters; `not-allowed` for a token that may do less than its account.
    pub async fn set_password(&self, actor: &Actor, password: &str) -> Result<()> {
        let account = self.own_account(actor).await?;
        let length = password.chars().count();
        if !(SHORTEST..=LONGEST).contains(&length) {
            return Err(ControlError::field(
                "password",
                format!("it must have {SHORTEST} to {LONGEST} characters"),
            ));
        }
        if password.eq_ignore_ascii_case(account.name.as_str()) {
            return Err(ControlError::field("password", "it must not be the account's name"));
        }
        let hash = self.accounts.passwords.hash(password).await?;
        let mut tx = self.store.write(actor, "user.set_password", account.id.as_str()).await?;
        tx.lock_accounts().await?;
        tx.set_password(&account.id, &hash).await?;
        Ok(tx.commit().await?)
    }
}
