//! Stacks as rows. A write is conditional on the row's version, so two people never overwrite each other unseen.

use super::{Result, Store, StoreError, Tx, from_json, parse, to_json};
use crate::model::id::{StackId, UserId};
use crate::model::inventory::stack_document;
use crate::model::name::{AppName, StackName};
use crate::model::stack::{Stack, StackState};
use crate::model::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use std::fmt::Write as _;

macro_rules! columns {
    () => {
        "id, name, owner, provider, state, spec, previous, node, links, fault, run, created_at, ready_at, lease_until, lease_max, stopped_at, purpose, version"
    };
}

const FIRST_APP: usize = 6;

/// Which stacks to list, of those that people see; newest first.
#[derive(Debug, Clone, Default)]
pub struct StackQuery {
    /// Only of this owner.
    pub owner: Option<UserId>,
    /// Also destroyed ones.
    pub ended: bool,
    /// Text in the name, the state or the owner's name.
    pub text: Option<String>,
    /// With the text: or with one of these apps.
    pub apps: Vec<AppName>,
    /// Only ids below this one.
    pub before: Option<StackId>,
    /// At most this many.
    pub limit: i64,
}

impl Store {
    /// A stack by id.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn stack(&self, id: &StackId) -> Result<Option<Stack>> {
        let row = sqlx::query(concat!("SELECT ", columns!(), " FROM stacks WHERE id = $1"))
            .bind(id.as_str().to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The stack that has this name, or the newest that had it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn stack_by_name(&self, name: &StackName) -> Result<Option<Stack>> {
        let row = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM stacks WHERE name = $1 ORDER BY CASE WHEN live_name IS NULL THEN 1 ELSE 0 END, id DESC LIMIT 1"
        ))
        .bind(name.as_str().to_owned())
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Stacks, and how many there are in all.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn stacks(&self, query: &StackQuery) -> Result<(Vec<Stack>, i64)> {
        let owner = query.owner.as_ref().map(|o| o.as_str().to_owned());
        // What LIKE itself means something by is in no name.
        let plain = query.text.as_ref().map(|t| t.to_lowercase().replace(['%', '_', '\\'], ""));
        let text = plain.as_ref().map(|t| format!("%{t}%"));
        let ended = i64::from(query.ended);
        // As a stack's apps are written: a quote within a text is written otherwise.
        let named = |name: &str| format!("%\"app\":\"{name}\"%");
        let mut apps: Vec<String> = query.apps.iter().map(|app| named(app.as_str())).collect();
        // One that is registered no more is found by its whole name.
        apps.extend(plain.map(|text| named(&text)));
        let in_apps: String = (FIRST_APP..).zip(&apps).fold(String::new(), |mut sql, (number, _)| {
            let _ = write!(sql, " OR spec LIKE ${number}");
            sql
        });
        let wanted = format!(
            "(CAST($1 AS TEXT) IS NULL OR owner = $1) AND ($2 = 1 OR state <> 'destroyed') AND purpose IN ('person', 'preview') \
             AND (CAST($3 AS TEXT) IS NULL OR LOWER(name) LIKE $3 OR state LIKE $3 \
                  OR EXISTS (SELECT 1 FROM users u WHERE u.id = s.owner AND LOWER(u.name) LIKE $3){in_apps})"
        );
        let listed = format!(
            "SELECT {} FROM stacks s WHERE {wanted} AND (CAST($4 AS TEXT) IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
            columns!()
        );
        // Placeholders only: every value is bound.
        let mut rows = sqlx::query(AssertSqlSafe(listed))
            .bind(owner.clone())
            .bind(ended)
            .bind(text.clone())
            .bind(query.before.as_ref().map(|b| b.as_str().to_owned()))
            .bind(query.limit);
        // The same numbers, so that both statements are made of the same words.
        let counted = format!("SELECT COUNT(*) FROM stacks s WHERE {wanted} AND CAST($4 AS TEXT) IS NULL AND $5 = 0");
        let mut total = sqlx::query_scalar(AssertSqlSafe(counted))
            .bind(owner)
            .bind(ended)
            .bind(text)
            .bind(None::<String>)
            .bind(0_i64);
        for app in apps {
            rows = rows.bind(app.clone());
            total = total.bind(app);
        }
        let rows = rows.fetch_all(self.pool()).await?;
        let total: i64 = total.fetch_one(self.pool()).await?;
        Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
    }

    /// Live stacks whose lease has ended, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn stacks_past_lease(&self, now: Timestamp) -> Result<Vec<Stack>> {
        let rows = sqlx::query(concat!(
            "SELECT ",
            columns!(),
            " FROM stacks WHERE state NOT IN ('destroying', 'destroyed') AND lease_until <= $1 ORDER BY lease_until LIMIT 50"
        ))
        .bind(now.0)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// A stack by id, as this transaction sees it; its row is locked until the end.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn stack(&mut self, id: &StackId) -> Result<Option<Stack>> {
        let row = sqlx::query(concat!(
            "UPDATE stacks SET version = version WHERE id = $1 RETURNING ",
            columns!()
        ))
        .bind(id.as_str().to_owned())
        .fetch_optional(self.conn())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Stores a new stack.
    ///
    /// # Errors
    /// [`StoreError::Taken`] where a live stack has the name.
    pub async fn insert_stack(&mut self, stack: &Stack) -> Result<()> {
        sqlx::query(
            "INSERT INTO stacks (id, name, live_name, owner, provider, state, spec, previous, node, links, fault, run, created_at, \
             ready_at, lease_until, lease_max, purpose, version) VALUES ($1, $2, $2, $3, $4, $5, $6, NULL, $7, $8, NULL, $9, $10, NULL, $11, $12, $13, 1)",
        )
        .bind(stack.id.as_str().to_owned())
        .bind(stack.name.as_str().to_owned())
        .bind(stack.owner.as_str().to_owned())
        .bind(stack.provider.clone())
        .bind(stack.state.as_str())
        .bind(to_json("stack", &stack.spec)?)
        .bind(stack.node.as_ref().map(|n| n.as_str().to_owned()))
        .bind(to_json("links", &stack.links)?)
        .bind(stack.run.as_ref().map(|r| r.as_str().to_owned()))
        .bind(stack.created_at.0)
        .bind(stack.lease_until.0)
        .bind(stack.lease_max.0)
        .bind(stack.purpose.as_str())
        .execute(self.conn())
        .await
        .map_err(|e| super::taken(e, || format!("the stack name `{}`", stack.name)))?;
        self.index_stack(stack).await?;
        self.touch_stack(&stack.id);
        Ok(())
    }

    /// Stores a changed stack over the version it was read at, and counts that up. The name is freed once it is being
    /// destroyed.
    ///
    /// # Errors
    /// [`StoreError::Taken`] where someone changed it meanwhile; only possible if it was read outside this transaction.
    pub async fn update_stack(&mut self, stack: &mut Stack) -> Result<()> {
        let live =
            (!matches!(stack.state, StackState::Destroying | StackState::Destroyed)).then(|| stack.name.as_str().to_owned());
        let done = sqlx::query(
            "UPDATE stacks SET live_name = $1, state = $2, spec = $3, previous = $4, node = $5, links = $6, fault = $7, run = $8, \
             ready_at = $9, lease_until = $10, stopped_at = $11, purpose = $12, version = version + 1 WHERE id = $13 AND version = $14",
        )
        .bind(live)
        .bind(stack.state.as_str())
        .bind(to_json("stack", &stack.spec)?)
        .bind(stack.previous.as_ref().map(|p| to_json("stack", p)).transpose()?)
        .bind(stack.node.as_ref().map(|n| n.as_str().to_owned()))
        .bind(to_json("links", &stack.links)?)
        .bind(stack.fault.as_ref().map(|f| to_json("fault", f)).transpose()?)
        .bind(stack.run.as_ref().map(|r| r.as_str().to_owned()))
        .bind(stack.ready_at.map(|t| t.0))
        .bind(stack.lease_until.0)
        .bind(stack.stopped_at.map(|t| t.0))
        .bind(stack.purpose.as_str())
        .bind(stack.id.as_str().to_owned())
        .bind(stack.version)
        .execute(self.conn())
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::Taken(format!(
                "version {} of stack {}",
                stack.version + 1,
                stack.id
            )));
        }
        stack.version += 1;
        self.index_stack(stack).await?;
        self.touch_stack(&stack.id);
        Ok(())
    }

    // A stack is found by its id, because its name is free again before it is gone.
    async fn index_stack(&mut self, stack: &Stack) -> Result<()> {
        if stack.state == StackState::Destroyed {
            return self.unindex("stack", stack.id.as_str()).await;
        }
        let owner: Option<String> = sqlx::query_scalar("SELECT name FROM users WHERE id = $1")
            .bind(stack.owner.as_str().to_owned())
            .fetch_optional(self.conn())
            .await?;
        let document = stack_document(stack, &owner.unwrap_or_default());
        self.index("stack", stack.id.as_str(), &document).await
    }

    // What `rebuild_index` writes of stacks and their nodes.
    pub(super) async fn index_all_stacks(&mut self) -> Result<()> {
        let rows = sqlx::query(concat!("SELECT ", columns!(), " FROM stacks WHERE state <> 'destroyed'"))
            .fetch_all(self.conn())
            .await?;
        for row in &rows {
            self.index_stack(&read(row)?).await?;
        }
        self.index_all_stack_nodes().await
    }

    fn touch_stack(&mut self, id: &StackId) {
        self.touch(format!("stack:{id}"));
        self.touch("stacks");
    }
}

fn read(row: &AnyRow) -> Result<Stack> {
    Ok(Stack {
        id: parse("stack id", row.try_get(0)?)?,
        name: parse("stack name", row.try_get(1)?)?,
        owner: parse("user id", row.try_get(2)?)?,
        provider: row.try_get(3)?,
        state: parse("stack state", row.try_get(4)?)?,
        spec: from_json("stack", row.try_get(5)?)?,
        previous: row
            .try_get::<Option<String>, _>(6)?
            .map(|t| from_json("stack", &t))
            .transpose()?,
        node: row
            .try_get::<Option<String>, _>(7)?
            .map(|t| parse("node id", &t))
            .transpose()?,
        links: from_json("links", row.try_get(8)?)?,
        fault: row
            .try_get::<Option<String>, _>(9)?
            .map(|t| from_json("fault", &t))
            .transpose()?,
        run: row
            .try_get::<Option<String>, _>(10)?
            .map(|t| parse("run id", &t))
            .transpose()?,
        created_at: Timestamp(row.try_get(11)?),
        ready_at: row.try_get::<Option<i64>, _>(12)?.map(Timestamp),
        lease_until: Timestamp(row.try_get(13)?),
        lease_max: Timestamp(row.try_get(14)?),
        stopped_at: row.try_get::<Option<i64>, _>(15)?.map(Timestamp),
        purpose: parse("purpose", row.try_get(16)?)?,
        version: row.try_get(17)?,
    })
}
