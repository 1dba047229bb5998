//! Branches with a pull request as rows: what a forge said last, and what was made of it.

use super::{Result, Store, Tx, parse};
use crate::model::id::StackId;
use crate::model::time::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;

/// A preview as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewRow {
    /// Its id.
    pub id: String,
    /// Whose webhook told of it.
    pub forge: String,
    /// The forge's address.
    pub site: String,
    /// The project there.
    pub project: String,
    /// The branch.
    pub branch: String,
    /// Where the branch's repository is, written in the one way.
    pub repository: String,
    /// The pull request's number.
    pub number: Option<i64>,
    /// The commit that it should show.
    pub wanted: String,
    /// `open`, `closed` or `gone`.
    pub state: String,
    /// The stack that shows it.
    pub stack: Option<StackId>,
    /// The commit that was last built, or tried to.
    pub built: Option<String>,
    /// Why it could not even be begun.
    pub fault: Option<String>,
    /// The comment that its link was posted as.
    pub comment_id: Option<String>,
    /// What the comment says.
    pub posted: Option<String>,
    /// When posting is tried again, where it failed.
    pub post_at: Timestamp,
    /// When the forge last told of it.
    pub updated_at: Timestamp,
}

macro_rules! columns {
    () => {
        "id, forge, site, project, branch, repository, number, wanted, state, stack, built, fault, comment_id, posted, post_at, updated_at"
    };
}

fn read(row: &AnyRow) -> Result<PreviewRow> {
    Ok(PreviewRow {
        id: row.try_get(0)?,
        forge: row.try_get(1)?,
        site: row.try_get(2)?,
        project: row.try_get(3)?,
        branch: row.try_get(4)?,
        repository: row.try_get(5)?,
        number: row.try_get(6)?,
        wanted: row.try_get(7)?,
        state: row.try_get(8)?,
        stack: row
            .try_get::<Option<String>, _>(9)?
            .map(|text| parse("stack id", &text))
            .transpose()?,
        built: row.try_get(10)?,
        fault: row.try_get(11)?,
        comment_id: row.try_get(12)?,
        posted: row.try_get(13)?,
        post_at: Timestamp(row.try_get(14)?),
        updated_at: Timestamp(row.try_get(15)?),
    })
}

impl Store {
    /// All previews, the last changed first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn previews(&self) -> Result<Vec<PreviewRow>> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM previews ORDER BY updated_at DESC, id LIMIT 1000"
        ))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }

    /// A preview by its id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn preview(&self, id: &str) -> Result<Option<PreviewRow>> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM previews WHERE id = $1"))
            .bind(id.to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }
}

impl Tx {
    /// Stores what a forge says of a branch; what was made of it stays.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn put_preview(&mut self, preview: &PreviewRow) -> Result<()> {
        sqlx::query(
            "INSERT INTO previews (id, forge, site, project, branch, repository, number, wanted, state, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (site, project, branch) DO UPDATE SET \
             number = COALESCE(excluded.number, previews.number), wanted = excluded.wanted, state = excluded.state, \
             repository = excluded.repository, updated_at = excluded.updated_at",
        )
        .bind(preview.id.clone())
        .bind(preview.forge.clone())
        .bind(preview.site.clone())
        .bind(preview.project.clone())
        .bind(preview.branch.clone())
        .bind(preview.repository.clone())
        .bind(preview.number)
        .bind(preview.wanted.clone())
        .bind(preview.state.clone())
        .bind(preview.updated_at.0)
        .execute(self.conn())
        .await?;
        self.touch("previews");
        Ok(())
    }

    /// Notes that a branch's pull request is closed or the branch gone; whether there is a preview of it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn end_preview(&mut self, site: &str, project: &str, branch: &str, state: &str) -> Result<bool> {
        let at = self.at().0;
        let done = sqlx::query(
            "UPDATE previews SET state = $1, updated_at = $2 WHERE site = $3 AND project = $4 AND branch = $5 AND state <> 'gone'",
        )
        .bind(state.to_owned())
        .bind(at)
        .bind(site.to_owned())
        .bind(project.to_owned())
        .bind(branch.to_owned())
        .execute(self.conn())
        .await?;
        self.touch("previews");
        Ok(done.rows_affected() == 1)
    }

    /// Makes whoever asks the one who looks after a preview until then; whether nobody else is.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tend_preview(&mut self, id: &str, until: Timestamp) -> Result<bool> {
        let now = self.at().0;
        let done = sqlx::query("UPDATE previews SET tended_until = $1 WHERE id = $2 AND tended_until <= $3")
            .bind(until.0)
            .bind(id.to_owned())
            .bind(now)
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stores what was made of a preview, and lets the next one look after it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn leave_preview(&mut self, preview: &PreviewRow) -> Result<()> {
        sqlx::query(
            "UPDATE previews SET stack = $1, built = $2, fault = $3, comment_id = $4, posted = $5, post_at = $6, tended_until = 0 \
             WHERE id = $7",
        )
        .bind(preview.stack.as_ref().map(|stack| stack.as_str().to_owned()))
        .bind(preview.built.clone())
        .bind(preview.fault.clone())
        .bind(preview.comment_id.clone())
        .bind(preview.posted.clone())
        .bind(preview.post_at.0)
        .bind(preview.id.clone())
        .execute(self.conn())
        .await?;
        self.touch("previews");
        Ok(())
    }

    /// Forgets a preview.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn delete_preview(&mut self, id: &str) -> Result<()> {
        sqlx::query("DELETE FROM previews WHERE id = $1")
            .bind(id.to_owned())
            .execute(self.conn())
            .await?;
        self.touch("previews");
        Ok(())
    }
}
