//! Agents of the inventory's nodes: their keys, what they register with, what they should make true and what they said of it;
//! and what the server signs with.
//!
//! Invariant: a token is taken and its node's key stored in one transaction, so no machine uses a token up without being let in.

use super::{Result, Store, Tx, parse, taken, to_json};
use crate::model::configuration::NodeConfiguration;
use crate::model::id::NodeId;
use crate::model::time::Timestamp;
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

const SEED: &str = "settings/signing_seed";
// Reports of a node that are kept.
const KEPT: i64 = 50;

macro_rules! agent_columns {
    () => {
        "node, name, public_key, version, created_at, seen_at, desired, applied, outcome, changed, corrective, reported_at, by_hand"
    };
}

/// An agent of a node of the inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    /// The node's id, which its agent signs with.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
    /// The agent's public key.
    pub public_key: String,
    /// The agent's version.
    pub version: String,
    /// When it registered.
    pub created_at: Timestamp,
    /// When it was last heard of.
    pub seen_at: Option<Timestamp>,
    /// Hash of the configuration it should make true.
    pub desired: Option<String>,
    /// Hash of the one that it reported of last.
    pub applied: Option<String>,
    /// What that came to.
    pub outcome: Option<String>,
    /// How many states it changed.
    pub changed: i64,
    /// How many of those had been changed from outside.
    pub corrective: i64,
    /// When it reported.
    pub reported_at: Option<Timestamp>,
    /// Whether a person assigned what it should make true, rather than its node's roles and apps.
    pub by_hand: bool,
}

/// What machines register with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentTokenRow {
    /// Its id.
    pub id: String,
    /// Names that fit; `*` stands for anything.
    pub pattern: String,
    /// The environment that new nodes belong to.
    pub environment: String,
    /// The datacenter that they stand in.
    pub datacenter: String,
    /// For how many machines it was made.
    pub uses: i64,
    /// For how many it is still good.
    pub uses_left: i64,
    /// Who made it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Since when it is not any more.
    pub revoked_at: Option<Timestamp>,
}

/// The stream of what an agent of the inventory does.
pub fn runs_stream(node: &NodeId) -> String {
    format!("agent/{node}")
}

impl Store {
    /// The seed of the server's signing key, made by whoever asks first and the same for every replica.
    ///
    /// # Errors
    /// Where the database fails, or it was sealed with another key.
    pub async fn signing_seed(&self) -> Result<String> {
        let read = || {
            sqlx::query_scalar::<_, String>("SELECT value FROM settings WHERE name = 'signing_seed'").fetch_optional(self.pool())
        };
        if let Some(found) = read().await? {
            return self.opened_at(SEED, found);
        }
        let mut tx = self.journal().await?;
        sqlx::query("INSERT INTO settings (name, value) VALUES ('signing_seed', $1) ON CONFLICT (name) DO NOTHING")
            .bind(self.sealed_at(SEED, &crate::model::secret::make(""))?)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        self.opened_at(SEED, read().await?.unwrap_or_default())
    }

    /// The agent of a node.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn agent(&self, node: &NodeId) -> Result<Option<AgentRow>> {
        let row = sqlx::query(concat!("SELECT ", agent_columns!(), " FROM agents WHERE node = $1"))
            .bind(node.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read_agent).transpose()
    }

    /// The agent of the node of this name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn agent_named(&self, name: &str) -> Result<Option<AgentRow>> {
        let row = sqlx::query(concat!("SELECT ", agent_columns!(), " FROM agents WHERE name = $1"))
            .bind(name.to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read_agent).transpose()
    }

    /// Agents after this name, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn agents(&self, after: &str, limit: i64) -> Result<Vec<AgentRow>> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            agent_columns!(),
            " FROM agents WHERE name > $1 ORDER BY name LIMIT $2"
        ))
        .bind(after.to_owned())
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read_agent).collect()
    }

    /// How many agents there are.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn count_agents(&self) -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT COUNT(*) FROM agents")
            .fetch_one(self.pool())
            .await?)
    }

    /// The newest reports of an agent, newest first, as JSON with when they came.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn agent_reports(&self, node: &NodeId) -> Result<Vec<(Timestamp, String)>> {
        let rows = sqlx::query("SELECT at, body FROM agent_reports WHERE node = $1 ORDER BY at DESC, id DESC")
            .bind(node.as_str().to_owned())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((Timestamp(row.try_get(0)?), row.try_get(1)?)))
            .collect()
    }

    /// All tokens that machines register with, newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn agent_tokens(&self) -> Result<Vec<AgentTokenRow>> {
        let rows = sqlx::query(
            "SELECT id, pattern, environment, datacenter, uses, uses_left, actor, created_at, expires_at, revoked_at \
             FROM agent_tokens ORDER BY created_at DESC, id DESC",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read_token).collect()
    }

    /// The token of this hash.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn agent_token(&self, hash: &str) -> Result<Option<AgentTokenRow>> {
        let row = sqlx::query(
            "SELECT id, pattern, environment, datacenter, uses, uses_left, actor, created_at, expires_at, revoked_at \
             FROM agent_tokens WHERE hash = $1",
        )
        .bind(hash.to_owned())
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read_token).transpose()
    }
}

impl Tx {
    /// Stores a token by its hash.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn insert_agent_token(&mut self, hash: &str, token: &AgentTokenRow) -> Result<()> {
        sqlx::query(
            "INSERT INTO agent_tokens (id, hash, pattern, environment, datacenter, uses, uses_left, actor, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9)",
        )
        .bind(token.id.clone())
        .bind(hash.to_owned())
        .bind(token.pattern.clone())
        .bind(token.environment.clone())
        .bind(token.datacenter.clone())
        .bind(token.uses)
        .bind(token.actor.clone())
        .bind(token.created_at.0)
        .bind(token.expires_at.0)
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Takes one use of a token; false where it is used up, outdated or revoked.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn use_agent_token(&mut self, id: &str) -> Result<bool> {
        let at = self.at().0;
        let done = sqlx::query(
            "UPDATE agent_tokens SET uses_left = uses_left - 1 \
             WHERE id = $1 AND uses_left > 0 AND expires_at > $2 AND revoked_at IS NULL",
        )
        .bind(id.to_owned())
        .bind(at)
        .execute(self.conn())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Makes a token useless; false where there is none or it already was.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn revoke_agent_token(&mut self, id: &str) -> Result<bool> {
        let at = self.at().0;
        let done = sqlx::query("UPDATE agent_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(at)
            .bind(id.to_owned())
            .execute(self.conn())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stores an agent.
    ///
    /// # Errors
    /// [`super::StoreError::Taken`] where the name has one.
    pub async fn insert_agent(&mut self, node: &NodeId, name: &str, key: &str, token: &str, version: &str) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO agents (node, name, public_key, token, version, created_at, seen_at, changed, corrective) \
             VALUES ($1, $2, $3, $4, $5, $6, $6, 0, 0)",
        )
        .bind(node.as_str().to_owned())
        .bind(name.to_owned())
        .bind(key.to_owned())
        .bind(token.to_owned())
        .bind(version.to_owned())
        .bind(at)
        .execute(self.conn())
        .await
        .map_err(|error| taken(error, || format!("The node name {name}")))?;
        self.touch(format!("node:{node}"));
        Ok(())
    }

    /// Forgets an agent with all that it said; false where there is none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn delete_agent(&mut self, node: &NodeId) -> Result<bool> {
        sqlx::query("DELETE FROM agent_reports WHERE node = $1")
            .bind(node.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.trim_log(&runs_stream(node), 0).await?;
        let done = sqlx::query("DELETE FROM agents WHERE node = $1")
            .bind(node.as_str().to_owned())
            .execute(self.conn())
            .await?;
        self.touch(format!("node:{node}"));
        Ok(done.rows_affected() == 1)
    }

    /// Puts a new public key of an agent in the place of this one; false where it is not this one any more.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn rotate_agent_key(&mut self, node: &NodeId, old: &str, new: &str) -> Result<bool> {
        let done = sqlx::query("UPDATE agents SET public_key = $1 WHERE node = $2 AND public_key = $3")
            .bind(new.to_owned())
            .bind(node.as_str().to_owned())
            .bind(old.to_owned())
            .execute(self.conn())
            .await?;
        self.touch(format!("node:{node}"));
        Ok(done.rows_affected() == 1)
    }

    /// Stores a configuration and makes it the one that an agent should make true; its agent is woken. False where it
    /// already was.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_agent_desired(
        &mut self,
        node: &NodeId,
        hash: &str,
        body: &NodeConfiguration,
        by_hand: bool,
    ) -> Result<bool> {
        let at = self.at().0;
        sqlx::query("INSERT INTO configurations (hash, body, created_at) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING")
            .bind(hash.to_owned())
            .bind(to_json("configuration", body)?)
            .bind(at)
            .execute(self.conn())
            .await?;
        let done = sqlx::query("UPDATE agents SET desired = $1, by_hand = $3 WHERE node = $2 AND (desired IS NULL OR desired <> $1 OR by_hand <> $3)")
            .bind(hash.to_owned())
            .bind(node.as_str().to_owned())
            .bind(i64::from(by_hand))
            .execute(self.conn())
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.touch(format!("node:{node}"));
        Ok(true)
    }

    /// Notes that these agents were heard of.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn set_agent_seen(&mut self, node: &NodeId) -> Result<()> {
        let at = self.at().0;
        sqlx::query("UPDATE agents SET seen_at = $1 WHERE node = $2")
            .bind(at)
            .bind(node.as_str().to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    /// Stores a report of an agent, once, and forgets its oldest ones.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn save_agent_report(
        &mut self,
        agent: &AgentRow,
        (id, configuration, outcome): (&str, &str, &str),
        (changed, corrective): (i64, i64),
        body: &Value,
    ) -> Result<()> {
        let at = self.at().0;
        let node = agent.node.as_str().to_owned();
        let new = sqlx::query(
            "INSERT INTO agent_reports (node, id, configuration, outcome, body, at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (node, id) DO NOTHING",
        )
        .bind(node.clone())
        .bind(id.to_owned())
        .bind(configuration.to_owned())
        .bind(outcome.to_owned())
        .bind(to_json("report", body)?)
        .bind(at)
        .execute(self.conn())
        .await?;
        if new.rows_affected() == 0 {
            return Ok(());
        }
        sqlx::query(
            "DELETE FROM agent_reports WHERE node = $1 AND id NOT IN \
             (SELECT id FROM agent_reports WHERE node = $1 ORDER BY at DESC, id DESC LIMIT $2)",
        )
        .bind(node.clone())
        .bind(KEPT)
        .execute(self.conn())
        .await?;
        sqlx::query(
            "UPDATE agents SET applied = $1, outcome = $2, changed = $3, corrective = $4, reported_at = $5, seen_at = $5 WHERE node = $6",
        )
        .bind(configuration.to_owned())
        .bind(outcome.to_owned())
        .bind(changed)
        .bind(corrective)
        .bind(at)
        .bind(node)
        .execute(self.conn())
        .await?;
        self.touch(format!("agent:{}", agent.name));
        Ok(())
    }
}

fn read_agent(row: &AnyRow) -> Result<AgentRow> {
    Ok(AgentRow {
        node: parse("node id", row.try_get(0)?)?,
        name: row.try_get(1)?,
        public_key: row.try_get(2)?,
        version: row.try_get(3)?,
        created_at: Timestamp(row.try_get(4)?),
        seen_at: row.try_get::<Option<i64>, _>(5)?.map(Timestamp),
        desired: row.try_get(6)?,
        applied: row.try_get(7)?,
        outcome: row.try_get(8)?,
        changed: row.try_get(9)?,
        corrective: row.try_get(10)?,
        reported_at: row.try_get::<Option<i64>, _>(11)?.map(Timestamp),
        by_hand: row.try_get::<i64, _>(12)? != 0,
    })
}

fn read_token(row: &AnyRow) -> Result<AgentTokenRow> {
    Ok(AgentTokenRow {
        id: row.try_get(0)?,
        pattern: row.try_get(1)?,
        environment: row.try_get(2)?,
        datacenter: row.try_get(3)?,
        uses: row.try_get(4)?,
        uses_left: row.try_get(5)?,
        actor: row.try_get(6)?,
        created_at: Timestamp(row.try_get(7)?),
        expires_at: Timestamp(row.try_get(8)?),
        revoked_at: row.try_get::<Option<i64>, _>(9)?.map(Timestamp),
    })
}
