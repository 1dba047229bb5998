//! Accounts, sessions, one-time links and API tokens. Secrets are compared and stored by hash only.

use super::{Control, Result};
use crate::model::actor::Actor;
use crate::model::actor::Role;
use crate::wire::auth::{LoginLink, NewToken, NewUser, TokenView, UserView};

/// How long a session lasts.
pub const SESSION_LIFE_MS: i64 = 30 * 24 * 3600 * 1000;

/// What signing in shares between requests.
#[derive(Debug, Default)]
pub(crate) struct Accounts;

impl Control {
    /// Who an API token stands for. Marks it as used, at most once a minute.
    ///
    /// # Errors
    /// `not-signed-in`.
    pub async fn authenticate_token(&self, _secret: &str) -> Result<Actor> {
        unimplemented!()
    }

    /// Who a session stands for.
    ///
    /// # Errors
    /// `not-signed-in`.
    pub async fn authenticate_session(&self, _secret: &str) -> Result<Actor> {
        unimplemented!()
    }

    /// Signs in with name and password; gives the session's secret for the cookie.
    ///
    /// # Errors
    /// `not-signed-in` (the same for a wrong name and a wrong password), `too-many-attempts`.
    pub async fn sign_in(&self, _name: &str, _password: &str) -> Result<String> {
        unimplemented!()
    }

    /// Signs in with a one-time link's secret; gives the session's secret for the cookie.
    ///
    /// # Errors
    /// `not-signed-in`, `too-many-attempts`.
    pub async fn sign_in_with_link(&self, _secret: &str) -> Result<String> {
        unimplemented!()
    }

    /// Ends a session.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn sign_out(&self, _secret: &str) -> Result<()> {
        unimplemented!()
    }

    /// The asker's own account.
    ///
    /// # Errors
    /// `not-signed-in` for an agent.
    pub async fn whoami(&self, _actor: &Actor) -> Result<UserView> {
        unimplemented!()
    }

    /// All accounts. Admins only.
    ///
    /// # Errors
    /// `not-allowed`.
    pub async fn list_users(&self, _actor: &Actor) -> Result<Vec<UserView>> {
        unimplemented!()
    }

    /// Makes an account. Admins only.
    ///
    /// # Errors
    /// `not-allowed`, `conflict`, `invalid-request`.
    pub async fn create_user(&self, _actor: &Actor, _request: &NewUser) -> Result<UserView> {
        unimplemented!()
    }

    /// Changes an account's role, or disables or enables it. Admins only; the last admin stays one.
    ///
    /// # Errors
    /// `not-allowed`, `not-found`, `conflict`.
    pub async fn change_user(
        &self,
        _actor: &Actor,
        _name: &str,
        _role: Option<Role>,
        _disabled: Option<bool>,
    ) -> Result<UserView> {
        unimplemented!()
    }

    /// Makes a one-time sign-in link for an account; an admin's for anyone, else one's own.
    ///
    /// # Errors
    /// `not-allowed`, `not-found`.
    pub async fn create_login_link(&self, _actor: &Actor, _name: &str) -> Result<LoginLink> {
        unimplemented!()
    }

    /// Sets the asker's own password.
    ///
    /// # Errors
    /// `invalid-request` below 10 characters.
    pub async fn set_password(&self, _actor: &Actor, _password: &str) -> Result<()> {
        unimplemented!()
    }

    /// The asker's own tokens, without their secrets.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_tokens(&self, _actor: &Actor) -> Result<Vec<TokenView>> {
        unimplemented!()
    }

    /// Makes a token for the asker; the answer is the only place its secret is ever shown.
    ///
    /// # Errors
    /// `not-allowed` for a role above the asker's, `invalid-request`.
    pub async fn create_token(&self, _actor: &Actor, _request: &NewToken) -> Result<TokenView> {
        unimplemented!()
    }

    /// Revokes one of the asker's tokens (an admin: anyone's).
    ///
    /// # Errors
    /// `not-found`.
    pub async fn revoke_token(&self, _actor: &Actor, _id: &str) -> Result<()> {
        unimplemented!()
    }
}
