//! What machines are told when they start for the first time: a token is good for the data of one node, and no longer than it
//! lets that node register.

use super::{Result, Store, Tx};
use crate::model::time::Timestamp;
use sqlx::Row;

/// What a machine that starts with a token is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootRow {
    /// The id of its token.
    pub token: String,
    /// The node that it is.
    pub node: String,
    /// The server's address as it reaches it.
    pub server: String,
    /// What its user-data is made from: `agent` or `whole`.
    pub user_data: String,
}

impl Store {
    /// What the token of this hash is good for at this time; nothing where it is outdated or revoked.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn boot(&self, hash: &str, at: Timestamp) -> Result<Option<BootRow>> {
        let row = sqlx::query(
            "SELECT b.token, b.node, b.server, b.user_data FROM boots b JOIN agent_tokens t ON t.id = b.token \
             WHERE t.hash = $1 AND t.expires_at > $2 AND t.revoked_at IS NULL",
        )
        .bind(hash.to_owned())
        .bind(at.0)
        .fetch_optional(self.pool())
        .await?;
        let read = |row: sqlx::any::AnyRow| -> Result<BootRow> {
            Ok(BootRow {
                token: row.try_get(0)?,
                node: row.try_get(1)?,
                server: row.try_get(2)?,
                user_data: row.try_get(3)?,
            })
        };
        row.map(read).transpose()
    }
}

impl Tx {
    /// Stores what a token's machine is told.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_boot(&mut self, boot: &BootRow) -> Result<()> {
        sqlx::query("INSERT INTO boots (token, node, server, user_data) VALUES ($1, $2, $3, $4)")
            .bind(boot.token.clone())
            .bind(boot.node.clone())
            .bind(boot.server.clone())
            .bind(boot.user_data.clone())
            .execute(self.conn())
            .await?;
        Ok(())
    }
}
