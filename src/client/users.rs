//! Accounts and one's own tokens.

use super::{Client, Result};
use crate::wire::auth::{LoginLink, NewToken, NewUser, TokenView, UserView};
use reqwest::Method;

impl Client {
    /// Who the token stands for.
    ///
    /// # Errors
    /// The server's problem, as for every call here.
    pub async fn me(&self) -> Result<UserView> {
        self.get(&["me"]).await
    }

    /// One's own tokens.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_tokens(&self) -> Result<Vec<TokenView>> {
        self.list(&["tokens"], &[], usize::MAX).await
    }

    /// Makes a token; the answer alone holds its secret.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_token(&self, request: &NewToken) -> Result<TokenView> {
        self.json(self.ask(Method::POST, &["tokens"]).json(request)).await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn revoke_token(&self, id: &str) -> Result<()> {
        self.send(self.ask(Method::DELETE, &["tokens", id])).await.map(|_| ())
    }

    /// All accounts.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn list_users(&self) -> Result<Vec<UserView>> {
        self.list(&["users"], &[], usize::MAX).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_user(&self, request: &NewUser) -> Result<UserView> {
        self.json(self.ask(Method::POST, &["users"]).json(request)).await
    }

    /// Makes a one-time sign-in link for an account.
    ///
    /// # Errors
    /// The server's problem.
    pub async fn create_login_link(&self, user: &str) -> Result<LoginLink> {
        self.json(self.ask(Method::POST, &["users", user, "login-links"])).await
    }
}
