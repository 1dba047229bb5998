//! Presets as rows, and the members of their pools.

use super::{Result, Store, Tx, from_json, parse, to_json};
use crate::model::id::{RunId, StackId, UserId};
use crate::model::stack::{Purpose, Stack};
use crate::model::time::Timestamp;
use crate::wire::presets::PresetBody;
use sqlx::Row;
use sqlx::any::AnyRow;

/// A preset as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetRow {
    /// Its name.
    pub name: String,
    /// Counts up with each change.
    pub version: i64,
    /// What it says.
    pub body: PresetBody,
    /// Who changed it last; members of its pool are theirs until they are taken.
    pub owner: UserId,
    /// When.
    pub updated_at: Timestamp,
    /// Whether its pool is paused.
    pub paused: bool,
    /// How often members failed in a row.
    pub failures: i64,
    /// Why the last one failed.
    pub last_failure: Option<String>,
    /// When the next may be made.
    pub retry_at: Option<Timestamp>,
}

macro_rules! columns {
    () => {
        "name, version, body, owner, updated_at, paused, failures, last_failure, retry_at"
    };
}

fn read(row: &AnyRow) -> Result<PresetRow> {
    Ok(PresetRow {
        name: row.try_get(0)?,
        version: row.try_get(1)?,
        body: from_json("preset", row.try_get(2)?)?,
        owner: parse("user id", row.try_get(3)?)?,
        updated_at: Timestamp(row.try_get(4)?),
        paused: row.try_get::<i32, _>(5)? != 0,
        failures: row.try_get(6)?,
        last_failure: row.try_get(7)?,
        retry_at: row.try_get::<Option<i64>, _>(8)?.map(Timestamp),
    })
}

impl Store {
    /// All presets by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn presets(&self) -> Result<Vec<PresetRow>> {
        let rows = sqlx::query(concat!("SELECT ", columns!(), " FROM presets ORDER BY name"))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(read).collect()
    }

    /// A preset.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn preset(&self, name: &str) -> Result<Option<PresetRow>> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM presets WHERE name = $1"))
            .bind(name.to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The stacks that wait in a preset's pool, with the version of the preset that each was made for; oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn pool_members(&self, preset: &str) -> Result<Vec<(Stack, i64)>> {
        let rows = sqlx::query(
            "SELECT id, preset_version FROM stacks WHERE preset = $1 AND purpose = 'pool' AND state <> 'destroyed' ORDER BY id",
        )
        .bind(preset.to_owned())
        .fetch_all(self.pool())
        .await?;
        let mut members = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: StackId = parse("stack id", row.try_get(0)?)?;
            let version: Option<i64> = row.try_get(1)?;
            if let Some(stack) = self.stack(&id).await?
                && stack.purpose == Purpose::Pool
            {
                members.push((stack, version.unwrap_or_default()));
            }
        }
        Ok(members)
    }

    /// Names of presets whose pools still have members, though they may be gone themselves.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn pools_in_use(&self) -> Result<Vec<String>> {
        let rows: Vec<Option<String>> = sqlx::query_scalar(
            "SELECT DISTINCT preset FROM stacks WHERE purpose = 'pool' AND state NOT IN ('destroyed', 'destroying')",
        )
        .fetch_all(self.pool())
        .await?;
        Ok(rows.into_iter().flatten().collect())
    }

    /// The stack that an earlier launch with this key made or took from a pool, and its run.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn launched_before(&self, key: &str) -> Result<Option<(StackId, RunId)>> {
        let row = sqlx::query(
            "SELECT subject, id FROM runs WHERE idem_key = $1 \
             UNION ALL SELECT id, run FROM stacks WHERE claim_key = $1 AND run IS NOT NULL LIMIT 1",
        )
        .bind(key.to_owned())
        .fetch_optional(self.pool())
        .await?;
        row.map(|row| Ok((parse("stack id", row.try_get(0)?)?, parse("run id", row.try_get(1)?)?)))
            .transpose()
    }

    /// How many people wait for a launch now.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn people_waiting(&self) -> Result<i64> {
        let count =
            sqlx::query_scalar("SELECT COUNT(*) FROM stacks WHERE state = 'building' AND purpose IN ('person', 'preview')");
        Ok(count.fetch_one(self.pool()).await?)
    }
}

impl Tx {
    /// Stores a preset; its version afterwards.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn put_preset(&mut self, name: &str, body: &PresetBody, owner: &UserId) -> Result<i64> {
        let at = self.at().0;
        let version = sqlx::query_scalar(
            "INSERT INTO presets (name, version, body, owner, updated_at) VALUES ($1, 1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET version = presets.version + 1, body = excluded.body, owner = excluded.owner, \
             updated_at = excluded.updated_at, failures = 0, last_failure = NULL, retry_at = NULL RETURNING version",
        )
        .bind(name.to_owned())
        .bind(to_json("preset", body)?)
        .bind(owner.as_str().to_owned())
        .bind(at)
        .fetch_one(self.conn())
        .await?;
        self.touch("presets");
        Ok(version)
    }

    /// Forgets a preset; whether there was one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn delete_preset(&mut self, name: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM presets WHERE name = $1")
            .bind(name.to_owned())
            .execute(self.conn())
            .await?;
        self.touch("presets");
        Ok(done.rows_affected() == 1)
    }

    /// Pauses a preset's pool or lets it go on, as if it had never failed; whether there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn pause_pool(&mut self, name: &str, paused: bool) -> Result<bool> {
        let done =
            sqlx::query("UPDATE presets SET paused = $1, failures = 0, last_failure = NULL, retry_at = NULL WHERE name = $2")
                .bind(i32::from(paused))
                .bind(name.to_owned())
                .execute(self.conn())
                .await?;
        self.touch("presets");
        Ok(done.rows_affected() == 1)
    }

    /// Notes how a pool is doing: failures in a row, why, and until when it is left alone.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_pool_failures(
        &mut self,
        name: &str,
        failures: i64,
        why: Option<&str>,
        retry_at: Option<Timestamp>,
    ) -> Result<()> {
        sqlx::query("UPDATE presets SET failures = $1, last_failure = $2, retry_at = $3 WHERE name = $4")
            .bind(failures)
            .bind(why.map(str::to_owned))
            .bind(retry_at.map(|at| at.0))
            .bind(name.to_owned())
            .execute(self.conn())
            .await?;
        self.touch("presets");
        Ok(())
    }

    /// Makes whoever asks the one who looks after a pool until then; whether nobody else is.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tend_pool(&mut self, name: &str, until: Timestamp) -> Result<bool> {
        let now = self.at().0;
        let done = sqlx::query("UPDATE presets SET tended_until = $1 WHERE name = $2 AND tended_until <= $3")
            .bind(until.0)
            .bind(name.to_owned())
            .bind(now)
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Lets the next one look after a pool.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn leave_pool(&mut self, name: &str) -> Result<()> {
        sqlx::query("UPDATE presets SET tended_until = 0 WHERE name = $1")
            .bind(name.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Puts a stack into a preset's pool.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_pool_member(&mut self, stack: &StackId, preset: &str, version: i64) -> Result<()> {
        sqlx::query("UPDATE stacks SET preset = $1, preset_version = $2 WHERE id = $3")
            .bind(preset.to_owned())
            .bind(version)
            .bind(stack.as_str().to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Gives a member of a pool to someone: its owner, its name and its lease, and the key of the call. To be stored with the rest of the stack.
    ///
    /// # Errors
    /// [`super::StoreError::Taken`] where a live stack has the name.
    pub async fn give_stack(&mut self, stack: &Stack, key: Option<&str>) -> Result<()> {
        sqlx::query(
            "UPDATE stacks SET name = $1, live_name = $1, owner = $2, lease_until = $3, lease_max = $4, created_at = $5, \
             claim_key = $6 WHERE id = $7",
        )
        .bind(stack.name.as_str().to_owned())
        .bind(stack.owner.as_str().to_owned())
        .bind(stack.lease_until.0)
        .bind(stack.lease_max.0)
        .bind(stack.created_at.0)
        .bind(key.map(str::to_owned))
        .bind(stack.id.as_str().to_owned())
        .execute(self.conn())
        .await
        .map_err(|e| super::taken(e, || format!("the stack name `{}`", stack.name)))?;
        Ok(())
    }
}
