//! Images as rows: written before one is made, so that what a provider holds and nobody knows of is never ours.

use super::{Result, Store, Tx, from_json, parse, to_json};
use crate::model::id::{RunId, StackId};
use crate::model::stack::StackSpec;
use crate::model::time::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

/// An image as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageRow {
    /// Whose it is.
    pub provider: String,
    /// Hash of what it was baked from.
    pub key: String,
    /// The apps in it, whatever their revisions.
    pub family: String,
    /// `planned`, `usable`, `failed` or `removing`.
    pub state: String,
    /// The provider's name for it.
    pub external_id: Option<String>,
    /// How much room it takes, where the provider says.
    pub bytes: Option<i64>,
    /// The apps and revisions that it was baked from.
    pub spec: StackSpec,
    /// The stack whose server it was kept from.
    pub stack: StackId,
    /// The run that made it.
    pub run: Option<RunId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When a server last started from it.
    pub used_at: Option<Timestamp>,
}

macro_rules! columns {
    () => {
        "provider, key, family, state, external_id, bytes, spec, stack, run, created_at, used_at"
    };
}

fn read(row: &AnyRow) -> Result<ImageRow> {
    Ok(ImageRow {
        provider: row.try_get(0)?,
        key: row.try_get(1)?,
        family: row.try_get(2)?,
        state: row.try_get(3)?,
        external_id: row.try_get(4)?,
        bytes: row.try_get(5)?,
        spec: from_json("image", row.try_get(6)?)?,
        stack: parse("stack id", row.try_get(7)?)?,
        run: row
            .try_get::<Option<String>, _>(8)?
            .map(|text| parse("run id", &text))
            .transpose()?,
        created_at: Timestamp(row.try_get(9)?),
        used_at: row.try_get::<Option<i64>, _>(10)?.map(Timestamp),
    })
}

impl Store {
    /// All images, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn images(&self) -> Result<Vec<ImageRow>> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM images ORDER BY created_at DESC, provider, key LIMIT 1000"
        ))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }

    /// The best image to start a server from: the very one, or else the newest with the same apps.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn best_image(&self, provider: &str, key: &str, family: &str) -> Result<Option<ImageRow>> {
        let row = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM images WHERE provider = $1 AND state = 'usable' AND (key = $2 OR family = $3) \
             ORDER BY CASE WHEN key = $2 THEN 0 ELSE 1 END, created_at DESC LIMIT 1"
        ))
        .bind(provider.to_owned())
        .bind(key.to_owned())
        .bind(family.to_owned())
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read).transpose()
    }
}

impl Tx {
    /// An image by its key; its row is locked until the end.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn image(&mut self, provider: &str, key: &str) -> Result<Option<ImageRow>> {
        let row = sqlx::query(concat!(
            "UPDATE images SET state = state WHERE provider = $1 AND key = $2 RETURNING ",
            columns!()
        ))
        .bind(provider.to_owned())
        .bind(key.to_owned())
        .fetch_optional(self.conn())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Stores an image before it is made, in the place of an earlier attempt.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn plan_image(&mut self, image: &ImageRow) -> Result<()> {
        sqlx::query(
            "INSERT INTO images (provider, key, family, state, spec, stack, run, created_at) VALUES ($1, $2, $3, 'planned', $4, $5, $6, $7) \
             ON CONFLICT (provider, key) DO UPDATE SET state = 'planned', stack = excluded.stack, run = excluded.run, \
             created_at = excluded.created_at",
        )
        .bind(image.provider.clone())
        .bind(image.key.clone())
        .bind(image.family.clone())
        .bind(to_json("image", &image.spec)?)
        .bind(image.stack.as_str().to_owned())
        .bind(image.run.as_ref().map(|run| run.as_str().to_owned()))
        .bind(image.created_at.0)
        .execute(self.conn())
        .await?;
        self.touch("images");
        Ok(())
    }

    /// Notes that servers can start from an image.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_image_usable(&mut self, provider: &str, key: &str, external_id: &str, bytes: Option<i64>) -> Result<()> {
        sqlx::query("UPDATE images SET state = 'usable', external_id = $1, bytes = $2 WHERE provider = $3 AND key = $4")
            .bind(external_id.to_owned())
            .bind(bytes)
            .bind(provider.to_owned())
            .bind(key.to_owned())
            .execute(self.conn())
            .await?;
        self.touch("images");
        Ok(())
    }

    /// Notes that the making of an image has failed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_image_failed(&mut self, stack: &StackId) -> Result<()> {
        sqlx::query("UPDATE images SET state = 'failed' WHERE stack = $1 AND state = 'planned'")
            .bind(stack.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.touch("images");
        Ok(())
    }

    /// Notes that an image is being removed: no server starts from it any more.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_image_removing(&mut self, provider: &str, key: &str) -> Result<()> {
        sqlx::query("UPDATE images SET state = 'removing' WHERE provider = $1 AND key = $2")
            .bind(provider.to_owned())
            .bind(key.to_owned())
            .execute(self.conn())
            .await?;
        self.touch("images");
        Ok(())
    }

    /// Notes when a server last started from an image.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_image_used(&mut self, provider: &str, key: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE images SET used_at = $1 WHERE provider = $2 AND key = $3")
            .bind(at)
            .bind(provider.to_owned())
            .bind(key.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Forgets an image that the provider says is gone.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget_image(&mut self, provider: &str, key: &str) -> Result<()> {
        sqlx::query("DELETE FROM images WHERE provider = $1 AND key = $2")
            .bind(provider.to_owned())
            .bind(key.to_owned())
            .execute(self.conn())
            .await?;
        self.touch("images");
        Ok(())
    }
}
