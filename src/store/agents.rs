//! What the server signs with.

use super::{Result, Store};

impl Store {
    /// The seed of the server's signing key, made by whoever asks first and the same for every replica.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn signing_seed(&self) -> Result<String> {
        let read = || {
            sqlx::query_scalar::<_, String>("SELECT value FROM settings WHERE name = 'signing_seed'").fetch_optional(self.pool())
        };
        if let Some(found) = read().await? {
            return Ok(found);
        }
        let mut tx = self.journal().await?;
        sqlx::query("INSERT INTO settings (name, value) VALUES ('signing_seed', $1) ON CONFLICT (name) DO NOTHING")
            .bind(crate::model::secret::make(""))
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        Ok(read().await?.unwrap_or_default())
    }
}
