//! Signing in and out, and the one-time links that sign in without a password.

use super::{Control, ControlError, Result, account_name, actor_of, require};
use crate::model::actor::{Actor, Role};
use crate::model::id::UserId;
use crate::model::name::UserName;
use crate::model::secret;
use crate::store::Tx;
use crate::store::users::UserRecord;
use crate::wire::auth::LoginLink;

/// How long a session lasts.
pub const SESSION_LIFE_MS: i64 = 30 * 24 * 3600 * 1000;

const LINK_LIFE_MS: i64 = 24 * 3600 * 1000;

// All links share one count: a guess names no account.
const LINK_ATTEMPTS: &str = "/link";

impl Control {
    /// Who a session stands for.
    ///
    /// # Errors
    /// `not-signed-in`.
    pub async fn authenticate_session(&self, secret: &str) -> Result<Actor> {
        match self.store.session_user(&secret::hash(secret)).await? {
            Some(account) => Ok(actor_of(&account, account.role)),
            None => Err(ControlError::new("not-signed-in", "Your session has ended")),
        }
    }

    /// Signs in with name and password; gives the session's secret for the cookie.
    ///
    /// # Errors
    /// `not-signed-in` (the same for a wrong name and a wrong password), `too-many-attempts`.
    pub async fn sign_in(&self, name: &str, password: &str) -> Result<String> {
        let name: Option<UserName> = account_name(name).ok();
        let tried = name.as_ref().map_or("?", UserName::as_str);
        self.accounts.attempts.begin(tried, self.store.now())?;
        let account = match &name {
            Some(name) => self
                .store
                .user_by_name(name)
                .await?
                .filter(|account| account.disabled_at.is_none()),
            None => None,
        };
        let hash = account.as_ref().and_then(|account| account.password.as_deref());
        let right = self.accounts.passwords.verify(password, hash).await?;
        let Some(account) = account.filter(|_| right) else {
            tracing::warn!(name = tried, "a sign-in failed");
            return Err(ControlError::new("not-signed-in", "The name or the password is wrong"));
        };
        self.accounts.attempts.forgive(tried);
        let tx = self.begin_session(&account).await?;
        self.start_session(tx, &account, "with a password").await
    }

    /// Whom a one-time link would sign in, without using it up.
    ///
    /// # Errors
    /// `not-signed-in`, `too-many-attempts`.
    pub async fn show_login_link(&self, secret: &str) -> Result<String> {
        Ok(self.account_of_link(secret).await?.name.to_string())
    }

    /// Signs in with a one-time link's secret; gives the session's secret for the cookie.
    ///
    /// # Errors
    /// `not-signed-in`, `too-many-attempts`.
    pub async fn sign_in_with_link(&self, secret: &str) -> Result<String> {
        let account = self.account_of_link(secret).await?;
        let mut tx = self.begin_session(&account).await?;
        if !tx.use_login_link(&secret::hash(secret)).await? {
            return Err(used_up());
        }
        self.start_session(tx, &account, "with a one-time link").await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn sign_out(&self, secret: &str) -> Result<()> {
        let hash = secret::hash(secret);
        if let Some(account) = self.store.session_user(&hash).await? {
            let actor = actor_of(&account, account.role);
            let mut tx = self.store.write(&actor, "session.end", account.id.as_str()).await?;
            tx.end_session(&hash).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Ends every session of the asker's account, this one too.
    ///
    /// # Errors
    /// `not-signed-in` for an agent.
    pub async fn sign_out_everywhere(&self, actor: &Actor) -> Result<()> {
        let account = self.account_of(actor).await?;
        let mut tx = self.store.write(actor, "session.end_all", account.id.as_str()).await?;
        tx.end_sessions(&account.id).await?;
        Ok(tx.commit().await?)
    }

    /// Makes a one-time sign-in link for an account; an admin's for anyone, else one's own.
    ///
    /// # Errors
    /// `not-allowed`, `not-found`.
    pub async fn create_login_link(&self, actor: &Actor, name: &str) -> Result<LoginLink> {
        if require(actor, Role::Admin).is_err() && Some(self.own_account(actor).await?.name) != account_name(name).ok() {
            return Err(ControlError::new("not-allowed", "Links for others take the role admin"));
        }
        self.make_link(actor, &self.account_named(name).await?).await
    }

    /// Makes a one-time link for Greenroom itself to hand out, as on the terminal that started it.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn system_login_link(&self, name: &str) -> Result<LoginLink> {
        self.make_link(&Actor::system("start"), &self.account_named(name).await?)
            .await
    }

    /// On the first start, when there is no account: makes the account `admin` and a link that signs it in.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn first_link(&self) -> Result<Option<LoginLink>> {
        if self.store.has_users().await? {
            return Ok(None);
        }
        let id = UserId::from_bits(self.store.next_id());
        let name = account_name("admin")?;
        let mut tx = self.store.write(&Actor::system("start"), "user.create", id.as_str()).await?;
        tx.detail("admin, role admin, with the first one-time link");
        match tx.insert_user(&id, &name, Role::Admin).await {
            // Another server on the same database was first.
            Err(crate::store::StoreError::Taken(_)) => return Ok(None),
            done => done?,
        }
        let (link, hash) = self.new_link(&tx);
        tx.insert_login_link(&id, &hash, link.expires_at).await?;
        tx.commit().await?;
        Ok(Some(link))
    }

    async fn account_of_link(&self, secret: &str) -> Result<UserRecord> {
        self.accounts.attempts.begin(LINK_ATTEMPTS, self.store.now())?;
        let found = self.store.login_link_user(&secret::hash(secret)).await?;
        let account = found.ok_or_else(used_up)?;
        self.accounts.attempts.forgive(LINK_ATTEMPTS);
        Ok(account)
    }

    async fn make_link(&self, actor: &Actor, account: &UserRecord) -> Result<LoginLink> {
        if account.disabled_at.is_some() {
            return Err(ControlError::new(
                "conflict",
                format!("The account `{}` is disabled", account.name),
            ));
        }
        let mut tx = self.store.write(actor, "login_link.create", account.id.as_str()).await?;
        let (link, hash) = self.new_link(&tx);
        tx.insert_login_link(&account.id, &hash, link.expires_at).await?;
        tx.commit().await?;
        Ok(link)
    }

    fn new_link(&self, tx: &Tx) -> (LoginLink, String) {
        let secret = secret::make("");
        let link = LoginLink {
            url: format!("{}/sign-in/link/{secret}", self.public_url()),
            expires_at: tx.at().plus(LINK_LIFE_MS),
        };
        (link, secret::hash(&secret))
    }

    async fn begin_session(&self, account: &UserRecord) -> Result<Tx> {
        let actor = actor_of(account, account.role);
        Ok(self.store.write(&actor, "session.start", account.id.as_str()).await?)
    }

    async fn start_session(&self, mut tx: Tx, account: &UserRecord, how: &str) -> Result<String> {
        let secret = secret::make("");
        let until = tx.at().plus(SESSION_LIFE_MS);
        tx.insert_session(&account.id, &secret::hash(&secret), until).await?;
        tx.detail(how);
        tx.commit().await?;
        Ok(secret)
    }
}

fn used_up() -> ControlError {
    let mut error = ControlError::new("not-signed-in", "The link does not work");
    error.fault.why = "it was used, or is more than a day old".into();
    "Ask for a new link".clone_into(&mut error.fault.next);
    error
}
