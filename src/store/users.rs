//! Accounts, sessions, API tokens and one-time links as rows. Secrets come in as hashes and never go out.

use super::{Result, Store, Tx, parse, taken};
use crate::model::actor::Role;
use crate::model::id::{TokenId, UserId};
use crate::model::name::UserName;
use crate::model::time::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// Its id.
    pub id: UserId,
    /// Its name.
    pub name: UserName,
    /// What it may do.
    pub role: Role,
    /// The hash of its password, if it has one.
    pub password: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was disabled.
    pub disabled_at: Option<Timestamp>,
}

impl std::fmt::Debug for UserRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserRecord({} {} {})", self.id, self.name, self.role)
    }
}

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id.
    pub id: TokenId,
    /// Its account.
    pub user: UserId,
    /// What it is for.
    pub name: String,
    /// What it may do, as far as its account may.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it works.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub used_at: Option<Timestamp>,
}

impl Store {
    /// The account of this name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn user_by_name(&self, name: &UserName) -> Result<Option<UserRecord>> {
        let row = sqlx::query("SELECT id, name, role, password, created_at, disabled_at FROM users WHERE name = $1")
            .bind(name.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read_user).transpose()
    }

    /// The account of this id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn user(&self, id: &UserId) -> Result<Option<UserRecord>> {
        let row = sqlx::query("SELECT id, name, role, password, created_at, disabled_at FROM users WHERE id = $1")
            .bind(id.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read_user).transpose()
    }

    /// All accounts by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn users(&self) -> Result<Vec<UserRecord>> {
        let rows = sqlx::query("SELECT id, name, role, password, created_at, disabled_at FROM users ORDER BY name")
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read_user).collect()
    }

    /// Whether there is any account.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn has_users(&self) -> Result<bool> {
        let row = sqlx::query("SELECT id FROM users LIMIT 1")
            .fetch_optional(self.pool())
            .await?;
        Ok(row.is_some())
    }

    /// The enabled account behind a session that has not ended.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn session_user(&self, hash: &str) -> Result<Option<UserRecord>> {
        let row = sqlx::query(
            "SELECT u.id, u.name, u.role, u.password, u.created_at, u.disabled_at FROM sessions s JOIN users u ON u.id = s.user_id \
             WHERE s.hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL",
        )
        .bind(hash.to_owned())
        .bind(self.now().0)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read_user).transpose()
    }

    /// The enabled account that an unused one-time link signs in.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn login_link_user(&self, hash: &str) -> Result<Option<UserRecord>> {
        let row = sqlx::query(
            "SELECT u.id, u.name, u.role, u.password, u.created_at, u.disabled_at FROM login_links l JOIN users u ON u.id = l.user_id \
             WHERE l.hash = $1 AND l.expires_at > $2 AND l.used_at IS NULL AND u.disabled_at IS NULL",
        )
        .bind(hash.to_owned())
        .bind(self.now().0)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read_user).transpose()
    }

    /// A token that works, with its enabled account.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn token_user(&self, hash: &str) -> Result<Option<(TokenRecord, UserRecord)>> {
        let row = sqlx::query(
            "SELECT u.id, u.name, u.role, u.password, u.created_at, u.disabled_at, \
             t.id, t.user_id, t.name, t.role, t.created_at, t.expires_at, t.used_at \
             FROM tokens t JOIN users u ON u.id = t.user_id \
             WHERE t.hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2) AND u.disabled_at IS NULL",
        )
        .bind(hash.to_owned())
        .bind(self.now().0)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(|row| Ok((read_token(row, 6)?, read_user(row)?))).transpose()
    }

    /// The tokens of an account that were not revoked, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tokens(&self, user: &UserId) -> Result<Vec<TokenRecord>> {
        let rows = sqlx::query(
            "SELECT id, user_id, name, role, created_at, expires_at, used_at FROM tokens \
             WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id",
        )
        .bind(user.as_str().to_owned())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|row| read_token(row, 0)).collect()
    }
}

impl Tx {
    /// Lets only one transaction at a time decide over accounts, so that two admins cannot demote each other.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn lock_accounts(&mut self) -> Result<()> {
        // Locks the row that the commit's audit takes anyway.
        sqlx::query("UPDATE counters SET value = value WHERE name = 'revision'")
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// The account of this id, as this transaction sees it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn user(&mut self, id: &UserId) -> Result<Option<UserRecord>> {
        let row = sqlx::query("SELECT id, name, role, password, created_at, disabled_at FROM users WHERE id = $1")
            .bind(id.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?;
        row.as_ref().map(read_user).transpose()
    }

    /// Adds an account without a password.
    ///
    /// # Errors
    /// `Taken` where the name is; else where the database fails.
    pub async fn insert_user(&mut self, id: &UserId, name: &UserName, role: Role) -> Result<()> {
        let at = self.at();
        sqlx::query("INSERT INTO users (id, name, role, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id.as_str().to_owned())
            .bind(name.as_str().to_owned())
            .bind(role.as_str())
            .bind(at.0)
            .execute(self.conn())
            .await
            .map_err(|error| taken(error, || format!("The account name `{name}`")))?;
        self.touch("users");
        Ok(())
    }

    /// Sets an account's role and whether it is disabled.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn change_user(&mut self, id: &UserId, role: Role, disabled_at: Option<Timestamp>) -> Result<()> {
        sqlx::query("UPDATE users SET role = $2, disabled_at = $3 WHERE id = $1")
            .bind(id.as_str().to_owned())
            .bind(role.as_str())
            .bind(disabled_at.map(|at| at.0))
            .execute(self.conn())
            .await?;
        self.touch("users");
        Ok(())
    }

    /// How many enabled admins there are besides this account.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn other_admins(&mut self, id: &UserId) -> Result<i64> {
        let count = sqlx::query_scalar(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM users WHERE role = 'admin' AND disabled_at IS NULL AND id <> $1",
        )
        .bind(id.as_str().to_owned())
        .fetch_one(self.conn())
        .await?;
        Ok(count)
    }

    /// Sets the hash of an account's password.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_password(&mut self, id: &UserId, hash: &str) -> Result<()> {
        sqlx::query("UPDATE users SET password = $2 WHERE id = $1")
            .bind(id.as_str().to_owned())
            .bind(hash.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Takes every session, token and unused link from an account.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn lock_out(&mut self, id: &UserId) -> Result<()> {
        let at = self.at();
        self.end_sessions(id).await?;
        sqlx::query("UPDATE tokens SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL")
            .bind(id.as_str().to_owned())
            .bind(at.0)
            .execute(self.conn())
            .await?;
        sqlx::query("DELETE FROM login_links WHERE user_id = $1")
            .bind(id.as_str().to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Adds a session, and drops the ones that have ended.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_session(&mut self, user: &UserId, hash: &str, expires_at: Timestamp) -> Result<()> {
        let at = self.at();
        sqlx::query("DELETE FROM sessions WHERE expires_at <= $1")
            .bind(at.0)
            .execute(self.conn())
            .await?;
        sqlx::query("INSERT INTO sessions (hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(hash.to_owned())
            .bind(user.as_str().to_owned())
            .bind(at.0)
            .bind(expires_at.0)
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_session(&mut self, hash: &str) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE hash = $1")
            .bind(hash.to_owned())
            .execute(self.conn())
            .await?;
        self.touch("sessions");
        Ok(())
    }

    /// Ends all sessions of an account.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_sessions(&mut self, user: &UserId) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE user_id = $1")
            .bind(user.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.touch("sessions");
        Ok(())
    }

    /// Adds a one-time link, and drops the ones that no longer work.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_login_link(&mut self, user: &UserId, hash: &str, expires_at: Timestamp) -> Result<()> {
        let at = self.at();
        sqlx::query("DELETE FROM login_links WHERE expires_at <= $1 OR used_at IS NOT NULL")
            .bind(at.0)
            .execute(self.conn())
            .await?;
        sqlx::query("INSERT INTO login_links (hash, user_id, expires_at) VALUES ($1, $2, $3)")
            .bind(hash.to_owned())
            .bind(user.as_str().to_owned())
            .bind(expires_at.0)
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Uses a one-time link up. False where it was used, has ended or never was.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn use_login_link(&mut self, hash: &str) -> Result<bool> {
        let at = self.at();
        let done = sqlx::query("UPDATE login_links SET used_at = $2 WHERE hash = $1 AND used_at IS NULL AND expires_at > $2")
            .bind(hash.to_owned())
            .bind(at.0)
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds a token under the hash of its secret.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_token(&mut self, token: &TokenRecord, hash: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO tokens (id, user_id, name, role, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.id.as_str().to_owned())
        .bind(token.user.as_str().to_owned())
        .bind(token.name.clone())
        .bind(token.role.as_str())
        .bind(hash.to_owned())
        .bind(token.created_at.0)
        .bind(token.expires_at.map(|at| at.0))
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Revokes a token: of this account, or of any where `user` is absent. False where there is none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revoke_token(&mut self, id: &TokenId, user: Option<&UserId>) -> Result<bool> {
        let at = self.at();
        let done = sqlx::query(
            "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL AND (CAST($3 AS TEXT) IS NULL OR user_id = $3)",
        )
        .bind(id.as_str().to_owned())
        .bind(at.0)
        .bind(user.map(|user| user.as_str().to_owned()))
        .execute(self.conn())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that a token was used now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn mark_token_used(&mut self, id: &TokenId) -> Result<()> {
        let at = self.at();
        sqlx::query("UPDATE tokens SET used_at = $2 WHERE id = $1")
            .bind(id.as_str().to_owned())
            .bind(at.0)
            .execute(self.conn())
            .await?;
        Ok(())
    }
}

fn read_user(row: &AnyRow) -> Result<UserRecord> {
    Ok(UserRecord {
        id: parse("account id", row.try_get(0)?)?,
        name: parse("account name", row.try_get(1)?)?,
        role: parse("role", row.try_get(2)?)?,
        password: row.try_get(3)?,
        created_at: Timestamp(row.try_get(4)?),
        disabled_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
    })
}

fn read_token(row: &AnyRow, from: usize) -> Result<TokenRecord> {
    Ok(TokenRecord {
        id: parse("token id", row.try_get(from)?)?,
        user: parse("account id", row.try_get(from + 1)?)?,
        name: row.try_get(from + 2)?,
        role: parse("role", row.try_get(from + 3)?)?,
        created_at: Timestamp(row.try_get(from + 4)?),
        expires_at: row.try_get::<Option<i64>, _>(from + 5)?.map(Timestamp),
        used_at: row.try_get::<Option<i64>, _>(from + 6)?.map(Timestamp),
    })
}
