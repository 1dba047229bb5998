//! Who may look at a stack's apps, as rows: visibility, shares, guest links, the passes of browsers, and when it was last used.

use super::{Result, Store, Tx, parse};
use crate::model::id::{GuestLinkId, StackId, UserId};
use crate::model::sharing::{ShareLevel, Visibility, Visitor};
use crate::model::time::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeSet;

/// A person a stack is shared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRow {
    /// The account.
    pub user: UserId,
    /// Its name.
    pub name: String,
    /// What they may do.
    pub level: ShareLevel,
}

/// A guest link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLinkRow {
    /// Its id.
    pub id: GuestLinkId,
    /// The stack.
    pub stack: StackId,
    /// Whom it is for.
    pub name: String,
    /// Who made it, and their name.
    pub created_by: (UserId, String),
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended.
    pub revoked_at: Option<Timestamp>,
}

impl Store {
    /// To whom a stack's apps are open.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn visibility(&self, stack: &StackId) -> Result<Visibility> {
        let found: Option<String> = sqlx::query_scalar("SELECT visibility FROM doors WHERE stack = $1")
            .bind(stack.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        found.map_or(Ok(Visibility::SignedIn), |text| parse("visibility", &text))
    }

    /// The people a stack is shared with, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn shares(&self, stack: &StackId) -> Result<Vec<ShareRow>> {
        let rows = sqlx::query(
            "SELECT s.user_id, u.name, s.level FROM shares s JOIN users u ON u.id = s.user_id WHERE s.stack = $1 ORDER BY u.name",
        )
        .bind(stack.as_str().to_owned())
        .fetch_all(self.pool())
        .await?;
        let read = |row: &AnyRow| {
            Ok(ShareRow {
                user: parse("user id", row.try_get(0)?)?,
                name: row.try_get(1)?,
                level: parse("share level", row.try_get(2)?)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The stacks that are shared with someone so that they may change them.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn changeable_by(&self, user: &UserId) -> Result<BTreeSet<StackId>> {
        let all: Vec<String> = sqlx::query_scalar("SELECT stack FROM shares WHERE user_id = $1 AND level = 'change'")
            .bind(user.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        all.iter().map(|stack| parse("stack id", stack)).collect()
    }

    /// The guest links of a stack that were not ended, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn guest_links(&self, stack: &StackId) -> Result<Vec<GuestLinkRow>> {
        let rows = sqlx::query(
            "SELECT g.id, g.stack, g.name, g.created_by, u.name, g.created_at, g.expires_at, g.revoked_at FROM guest_links g \
             JOIN users u ON u.id = g.created_by WHERE g.stack = $1 AND g.revoked_at IS NULL ORDER BY g.id DESC",
        )
        .bind(stack.as_str().to_owned())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read_link).collect()
    }

    /// The guest link of a secret, also one that has ended.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn guest_link(&self, hash: &str) -> Result<Option<GuestLinkRow>> {
        let row = sqlx::query(
            "SELECT g.id, g.stack, g.name, g.created_by, u.name, g.created_at, g.expires_at, g.revoked_at FROM guest_links g \
             JOIN users u ON u.id = g.created_by WHERE g.hash = $1",
        )
        .bind(hash.to_owned())
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read_link).transpose()
    }

    /// Who holds a pass for this label, while the session that it stands for lasts.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn pass_holder(&self, label: &str, hash: &str) -> Result<Option<Visitor>> {
        let row = sqlx::query(
            "SELECT u.id, u.role FROM passes p JOIN sessions s ON s.hash = p.session JOIN users u ON u.id = s.user_id \
             WHERE p.hash = $1 AND p.label = $2 AND p.code = 0 AND p.expires_at > $3 AND s.expires_at > $3 AND u.disabled_at IS NULL",
        )
        .bind(hash.to_owned())
        .bind(label.to_owned())
        .bind(self.now().0)
        .fetch_optional(self.pool())
        .await?;
        let read = |row: &AnyRow| {
            Ok(Visitor::Account {
                user: parse("user id", row.try_get(0)?)?,
                role: parse("role", row.try_get(1)?)?,
            })
        };
        row.as_ref().map(read).transpose()
    }

    /// When someone last asked an app of a stack for something, as far as it was written down.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn stack_use(&self, stack: &StackId) -> Result<Option<Timestamp>> {
        let at: Option<i64> = sqlx::query_scalar("SELECT last_used_at FROM stack_use WHERE stack = $1")
            .bind(stack.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        Ok(at.map(Timestamp))
    }
}

impl Tx {
    /// Says to whom a stack's apps are open.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_visibility(&mut self, stack: &StackId, visibility: Visibility) -> Result<()> {
        sqlx::query(
            "INSERT INTO doors (stack, visibility) VALUES ($1, $2) ON CONFLICT (stack) DO UPDATE SET visibility = excluded.visibility",
        )
        .bind(stack.as_str().to_owned())
        .bind(visibility.as_str())
        .execute(self.conn())
        .await?;
        self.touch_door(stack);
        Ok(())
    }

    /// Shares a stack with someone.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_share(&mut self, stack: &StackId, user: &UserId, level: ShareLevel) -> Result<()> {
        let at = self.at();
        sqlx::query(
            "INSERT INTO shares (stack, user_id, level, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (stack, user_id) DO UPDATE SET level = excluded.level",
        )
        .bind(stack.as_str().to_owned())
        .bind(user.as_str().to_owned())
        .bind(level.as_str())
        .bind(at.0)
        .execute(self.conn())
        .await?;
        self.touch_door(stack);
        Ok(())
    }

    /// Shares a stack with someone no more.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn remove_share(&mut self, stack: &StackId, user: &UserId) -> Result<bool> {
        let done = sqlx::query("DELETE FROM shares WHERE stack = $1 AND user_id = $2")
            .bind(stack.as_str().to_owned())
            .bind(user.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.touch_door(stack);
        Ok(done.rows_affected() == 1)
    }

    /// Stores a new guest link.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_guest_link(&mut self, link: &GuestLinkRow, hash: &str) -> Result<()> {
        sqlx::query(
            "INSERT INTO guest_links (id, stack, name, hash, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(link.id.as_str().to_owned())
        .bind(link.stack.as_str().to_owned())
        .bind(link.name.clone())
        .bind(hash.to_owned())
        .bind(link.created_by.0.as_str().to_owned())
        .bind(link.created_at.0)
        .bind(link.expires_at.0)
        .execute(self.conn())
        .await?;
        self.touch_door(&link.stack);
        Ok(())
    }

    /// Gives a guest link another secret and another end; whoever came with the old one is out.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn rotate_guest_link(&mut self, link: &GuestLinkRow, hash: &str, until: Timestamp) -> Result<()> {
        sqlx::query("UPDATE guest_links SET hash = $2, expires_at = $3 WHERE id = $1")
            .bind(link.id.as_str().to_owned())
            .bind(hash.to_owned())
            .bind(until.0)
            .execute(self.conn())
            .await?;
        self.touch_door(&link.stack);
        Ok(())
    }

    /// Ends a guest link.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revoke_guest_link(&mut self, link: &GuestLinkRow) -> Result<()> {
        let at = self.at();
        sqlx::query("UPDATE guest_links SET revoked_at = $2 WHERE id = $1")
            .bind(link.id.as_str().to_owned())
            .bind(at.0)
            .execute(self.conn())
            .await?;
        self.touch_door(&link.stack);
        Ok(())
    }

    /// Stores a one-time code for a label, for someone who is signed in; drops what has ended.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_pass_code(&mut self, hash: &str, label: &str, session: &str, until: Timestamp) -> Result<()> {
        let at = self.at();
        sqlx::query("DELETE FROM passes WHERE expires_at <= $1")
            .bind(at.0)
            .execute(self.conn())
            .await?;
        sqlx::query("INSERT INTO passes (hash, label, code, session, expires_at) VALUES ($1, $2, 1, $3, $4)")
            .bind(hash.to_owned())
            .bind(label.to_owned())
            .bind(session.to_owned())
            .bind(until.0)
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Makes a pass of a one-time code; false where it was used, is too old, or is for another label.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn use_pass_code(&mut self, code: &str, label: &str, pass: &str, until: Timestamp) -> Result<bool> {
        let at = self.at();
        let done = sqlx::query(
            "UPDATE passes SET hash = $3, code = 0, expires_at = $4 WHERE hash = $1 AND label = $2 AND code = 1 AND expires_at > $5",
        )
        .bind(code.to_owned())
        .bind(label.to_owned())
        .bind(pass.to_owned())
        .bind(until.0)
        .bind(at.0)
        .execute(self.conn())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Writes down when a stack was last used, unless something later is written already.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn mark_stack_used(&mut self, stack: &StackId, at: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT INTO stack_use (stack, last_used_at) VALUES ($1, $2) \
             ON CONFLICT (stack) DO UPDATE SET last_used_at = excluded.last_used_at \
             WHERE stack_use.last_used_at < excluded.last_used_at",
        )
        .bind(stack.as_str().to_owned())
        .bind(at.0)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    fn touch_door(&mut self, stack: &StackId) {
        self.touch(format!("stack:{stack}"));
        self.touch("sharing");
    }
}

fn read_link(row: &AnyRow) -> Result<GuestLinkRow> {
    Ok(GuestLinkRow {
        id: parse("guest link id", row.try_get(0)?)?,
        stack: parse("stack id", row.try_get(1)?)?,
        name: row.try_get(2)?,
        created_by: (parse("user id", row.try_get(3)?)?, row.try_get(4)?),
        created_at: Timestamp(row.try_get(5)?),
        expires_at: Timestamp(row.try_get(6)?),
        revoked_at: row.try_get::<Option<i64>, _>(7)?.map(Timestamp),
    })
}
