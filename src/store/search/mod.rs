//! The search index: written with what it is about, read by queries.
//!
//! Invariant: the total and the rows of one answer are of one moment, and every row counted is reachable.

mod compile;
mod index;

pub(super) use index::Keys;

use super::{Result, Store, from_json};
use crate::model::search::{Query, Spelling};
use serde_json::Value;
use sqlx::Row;

// The most terms that the leaves of one query may look at.
const BUDGET: i64 = 3_000_000;

/// What to find.
#[derive(Debug, Clone)]
pub struct Search<'a> {
    /// In which index: `node`, `app`, ...
    pub kind: &'a str,
    /// What.
    pub query: &'a Query,
    /// Which spellings of keys count.
    pub spelling: Spelling,
    /// Only names after this one.
    pub after: Option<&'a str>,
    /// How many of these to pass over.
    pub start: i64,
    /// The most rows.
    pub rows: i64,
    /// Whether facts of nodes are wanted too.
    pub facts: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// How many there are in all.
    pub total: i64,
    /// The rows of the page, by name.
    pub rows: Vec<FoundRow>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRow {
    /// Its name; the id of stacks and their nodes.
    pub name: String,
    /// What can be found of it.
    pub document: Value,
}

/// The query would look at too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooWide;

impl Store {
    /// Finds documents.
    ///
    /// # Errors
    /// Where the database fails; the inner error where the query would look at too much.
    pub async fn search(&self, search: &Search<'_>) -> Result<Result<Found, TooWide>> {
        let condition = compile::compile(search.kind, search.query, search.spelling);
        if condition.wide > 0 && self.cost(search.kind).await? * i64::try_from(condition.wide).unwrap_or(i64::MAX) > BUDGET {
            return Ok(Err(TooWide));
        }
        let mut binds = condition.binds;
        let mut bind = |value: String| {
            binds.push(value);
            format!("${}", binds.len())
        };
        let after = search.after.map(|after| format!("WHERE m.name > {}", bind(after.to_owned())));
        // Where a leaf lists all there is to find, looking at every document of the kind is not the way.
        let kind = if condition.is_selective { "d.kind || ''" } else { "d.kind" };
        let facts = if search.facts { "f.body" } else { "NULL" };
        let text = format!(
            "WITH m AS MATERIALIZED (SELECT d.id, d.name FROM index_documents d WHERE {kind} = $1 AND ({where_})) \
             SELECT t.total, p.name, b.body, {facts} FROM (SELECT COUNT(*) AS total FROM m) t \
             LEFT JOIN (SELECT m.id, m.name FROM m {after} ORDER BY m.name LIMIT {rows} OFFSET {start}) p ON 1 = 1 \
             LEFT JOIN index_documents b ON b.id = p.id \
             LEFT JOIN node_facts f ON b.kind = 'node' AND f.node = b.name ORDER BY p.name",
            where_ = condition.text,
            after = after.unwrap_or_default(),
            rows = search.rows.max(0),
            start = search.start.max(0),
        );
        // Only operators, numbers and placeholders are put together; what people wrote is bound.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text)).persistent(false);
        for value in binds {
            query = query.bind(value);
        }
        let rows = query.fetch_all(self.pool()).await?;
        let mut found = Found {
            total: 0,
            rows: Vec::with_capacity(rows.len()),
        };
        for row in rows {
            found.total = row.try_get(0)?;
            let Some(name) = row.try_get::<Option<String>, _>(1)? else {
                continue;
            };
            let mut document: Value = from_json("document", row.try_get(2)?)?;
            if let Some(facts) = row.try_get::<Option<String>, _>(3)? {
                document["facts"] = from_json("facts", &facts)?;
            }
            found.rows.push(FoundRow { name, document });
        }
        Ok(Ok(found))
    }

    // How many terms there are of a kind at most.
    async fn cost(&self, kind: &str) -> Result<i64> {
        Ok(sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM index_documents WHERE kind = $1) * (SELECT COUNT(*) FROM index_keys WHERE kind = $1)",
        )
        .bind(kind.to_owned())
        .fetch_one(self.pool())
        .await?)
    }
}
