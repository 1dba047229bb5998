//! API tokens: `grt_` and 64 hexadecimal digits, shown once, stored as a hash.

use super::{Control, ControlError, Result, actor_of};
use crate::model::actor::{Actor, Role};
use crate::model::id::TokenId;
use crate::model::secret;
use crate::model::time::parse_length;
use crate::store::users::TokenRecord;
use crate::wire::auth::{NewToken, TokenView};

const PREFIX: &str = "grt_";
const MOST: usize = 100;

// `used_at` is for people who wonder whether a token is still needed: a minute is exact enough, a write each time is not.
const MARK_EVERY_MS: i64 = 60_000;

impl Control {
    /// Who an API token stands for. Marks it as used, at most once a minute.
    ///
    /// # Errors
    /// `not-signed-in`.
    pub async fn authenticate_token(&self, secret: &str) -> Result<Actor> {
        let refused = || ControlError::new("not-signed-in", "The API token is not valid");
        if !secret.starts_with(PREFIX) {
            return Err(refused());
        }
        let (token, account) = self.store.token_user(&secret::hash(secret)).await?.ok_or_else(refused)?;
        if token.used_at.is_none_or(|at| self.store.now().since(at) >= MARK_EVERY_MS) {
            let mut tx = self.store.journal().await?;
            tx.mark_token_used(&token.id).await?;
            tx.commit().await?;
        }
        Ok(actor_of(&account, token.role.min(account.role)))
    }

    /// The asker's own tokens, without their secrets.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_tokens(&self, actor: &Actor) -> Result<Vec<TokenView>> {
        let account = self.account_of(actor).await?;
        let tokens = self.store.tokens(&account.id).await?;
        Ok(tokens.into_iter().map(|token| view(token, account.role, None)).collect())
    }

    /// Makes a token for the asker; the answer is the only place its secret is ever shown.
    ///
    /// # Errors
    /// `not-allowed` for a role above the asker's, `invalid-request`.
    pub async fn create_token(&self, actor: &Actor, request: &NewToken) -> Result<TokenView> {
        let account = self.account_of(actor).await?;
        let most = actor.role().unwrap_or(Role::Viewer).min(account.role);
        let role = request.role.unwrap_or(most);
        if role > most {
            return Err(ControlError::new(
                "not-allowed",
                format!("A token of yours may have the role {most} at most"),
            ));
        }
        let name = request.name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(ControlError::field("name", "say what it is for in 1 to 100 characters"));
        }
        let life = request.expires_in.as_deref().map(parse_length).transpose();
        let life = life.map_err(|why| ControlError::field("expires_in", why))?;
        if life == Some(0) {
            return Err(ControlError::field("expires_in", "it must be longer than nothing"));
        }
        if self.store.tokens(&account.id).await?.len() >= MOST {
            return Err(ControlError::new(
                "conflict",
                format!("You have {MOST} tokens already; revoke some first"),
            ));
        }
        let secret = secret::make(PREFIX);
        let id = TokenId::from_bits(self.store.next_id());
        let mut tx = self.store.write(actor, "token.create", id.as_str()).await?;
        let token = TokenRecord {
            id,
            user: account.id.clone(),
            name: name.to_owned(),
            role,
            created_at: tx.at(),
            expires_at: life.map(|life| tx.at().plus(life)),
            used_at: None,
        };
        tx.detail(format!("{name}, role {role}"));
        tx.insert_token(&token, &secret::hash(&secret)).await?;
        tx.commit().await?;
        Ok(view(token, account.role, Some(secret)))
    }

    /// Revokes one of the asker's tokens (an admin: anyone's).
    ///
    /// # Errors
    /// `not-found`.
    pub async fn revoke_token(&self, actor: &Actor, id: &str) -> Result<()> {
        let account = self.account_of(actor).await?;
        let missing = || ControlError::not_found("token", id);
        let token: TokenId = id.parse().map_err(|_| missing())?;
        let only = (actor.role() < Some(Role::Admin)).then_some(&account.id);
        let mut tx = self.store.write(actor, "token.revoke", token.as_str()).await?;
        if !tx.revoke_token(&token, only).await? {
            return Err(missing());
        }
        Ok(tx.commit().await?)
    }
}

fn view(token: TokenRecord, at_most: Role, secret: Option<String>) -> TokenView {
    TokenView {
        id: token.id,
        name: token.name,
        role: token.role.min(at_most),
        created_at: token.created_at,
        expires_at: token.expires_at,
        used_at: token.used_at,
        secret,
    }
}
