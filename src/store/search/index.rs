//! Writing the index: only the terms that changed, in the transaction of what they are about.
//!
//! A key's number is known to the whole process once it is committed; making one takes the counter's row first, so two
//! servers never make the same key twice.

use crate::model::inventory::{Object, ObjectKind, app_document};
use crate::model::search::{Term, number_of, spellings, terms};
use crate::store::{Result, Store, Tx, from_json, to_json};
use serde_json::Value;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

// Raised whenever documents or terms of the same things come out differently; every index is then written anew.
const FORMAT: &str = "1";
// Rows of one INSERT, so that there are only two texts of it.
const CHUNK: usize = 40;
// Facts are a part of a node's document that is written at other times than the rest.
const FACTS: &str = "facts.";

/// Numbers of keys by kind and path.
#[derive(Debug, Default)]
pub struct Keys {
    known: Mutex<HashMap<(String, String), i64>>,
}

impl Keys {
    fn get(&self, kind: &str, path: &str) -> Option<i64> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(&(kind.to_owned(), path.to_owned())).copied()
    }

    pub(in crate::store) fn add(&self, keys: impl IntoIterator<Item = ((String, String), i64)>) {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.extend(keys);
    }
}

impl Store {
    // Writes the index anew where this version of the program would write it differently.
    pub(in crate::store) async fn prepare_index(&self) -> Result<()> {
        let format: Option<String> = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'search-index'")
            .fetch_optional(self.pool())
            .await?;
        if format.as_deref() != Some(FORMAT) {
            self.rebuild_index().await?;
        }
        let rows = sqlx::query("SELECT kind, path, id FROM index_keys")
            .fetch_all(self.pool())
            .await?;
        let keys: Result<Vec<_>> = rows
            .iter()
            .map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?)))
            .collect();
        self.inner.keys.add(keys?);
        Ok(())
    }

    async fn rebuild_index(&self) -> Result<()> {
        let mut tx = self.journal().await?;
        for table in ["DELETE FROM index_terms", "DELETE FROM index_documents"] {
            sqlx::query(table).execute(tx.conn()).await?;
        }
        let rows = sqlx::query("SELECT kind, body FROM objects WHERE removed_at IS NULL ORDER BY kind DESC, name")
            .fetch_all(tx.conn())
            .await?;
        for row in rows {
            let kind: String = row.try_get(0)?;
            let kind = ObjectKind::of(&kind).unwrap_or(ObjectKind::Node);
            let object = Object::from_json(kind, row.try_get(1)?).map_err(|e| crate::store::StoreError::Corrupt {
                what: "object",
                why: e.to_string(),
            })?;
            tx.index_object(&object).await?;
        }
        let rows = sqlx::query("SELECT descriptor FROM apps WHERE removed_at IS NULL")
            .fetch_all(tx.conn())
            .await?;
        for row in rows {
            let descriptor = from_json("descriptor", row.try_get(0)?)?;
            let document = app_document(&descriptor);
            tx.index("app", descriptor.name().as_str(), &document).await?;
        }
        tx.index_all_stacks().await?;
        let rows = sqlx::query("SELECT node, body FROM node_facts").fetch_all(tx.conn()).await?;
        for row in rows {
            let facts: Value = from_json("facts", row.try_get(1)?)?;
            let document = crate::model::inventory::node_facts_document(&facts);
            tx.index_part("node", row.try_get(0)?, &document).await?;
        }
        sqlx::query(
            "INSERT INTO settings (name, value) VALUES ('search-index', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(FORMAT)
        .execute(tx.conn())
        .await?;
        tx.commit().await
    }
}

impl Tx {
    /// Makes a thing be found as this document; its facts stay as they are.
    pub(in crate::store) async fn index(&mut self, kind: &str, name: &str, document: &Value) -> Result<()> {
        let body = to_json("document", document)?;
        let id = if let Some(id) = self.document(kind, name).await? {
            sqlx::query("UPDATE index_documents SET body = $1 WHERE id = $2 AND body <> $1")
                .bind(body)
                .bind(id)
                .execute(self.conn())
                .await?;
            id
        } else {
            let id = self.count("document", 1).await?;
            sqlx::query("INSERT INTO index_documents (id, kind, name, body) VALUES ($1, $2, $3, $4)")
                .bind(id)
                .bind(kind.to_owned())
                .bind(name.to_owned())
                .bind(body)
                .execute(self.conn())
                .await?;
            id
        };
        self.write_terms(kind, id, terms(document), |path| !path.starts_with(FACTS))
            .await
    }

    /// Makes a node be found by these facts. Nothing happens where there is no such node.
    pub(in crate::store) async fn index_part(&mut self, kind: &str, name: &str, facts: &Value) -> Result<()> {
        match self.document(kind, name).await? {
            Some(id) => self.write_terms(kind, id, terms(facts), |path| path.starts_with(FACTS)).await,
            None => Ok(()),
        }
    }

    /// Makes a thing be found no more.
    pub(in crate::store) async fn unindex(&mut self, kind: &str, name: &str) -> Result<()> {
        let Some(id) = self.document(kind, name).await? else {
            return Ok(());
        };
        for statement in [
            "DELETE FROM index_terms WHERE document = $1",
            "DELETE FROM index_documents WHERE id = $1",
        ] {
            sqlx::query(statement).bind(id).execute(self.conn()).await?;
        }
        Ok(())
    }

    async fn document(&mut self, kind: &str, name: &str) -> Result<Option<i64>> {
        Ok(
            sqlx::query_scalar("SELECT CAST(id AS BIGINT) FROM index_documents WHERE kind = $1 AND name = $2")
                .bind(kind.to_owned())
                .bind(name.to_owned())
                .fetch_optional(self.conn())
                .await?,
        )
    }

    async fn write_terms(
        &mut self,
        kind: &str,
        document: i64,
        wanted: BTreeSet<Term>,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let rows = sqlx::query(
            "SELECT CAST(t.key_id AS BIGINT), k.path, t.value FROM index_terms t JOIN index_keys k ON k.id = t.key_id WHERE t.document = $1",
        )
        .bind(document)
        .fetch_all(self.conn())
        .await?;
        let mut present = BTreeMap::new();
        for row in rows {
            let path: String = row.try_get(1)?;
            if is_ours(&path) {
                let value = row.try_get(2)?;
                present.insert(Term { path, value }, row.try_get::<i64, _>(0)?);
            }
        }
        for (term, key) in &present {
            if !wanted.contains(term) {
                sqlx::query("DELETE FROM index_terms WHERE key_id = $1 AND value = $2 AND document = $3")
                    .bind(*key)
                    .bind(term.value.clone())
                    .bind(document)
                    .execute(self.conn())
                    .await?;
            }
        }
        let added: Vec<Term> = wanted.into_iter().filter(|term| !present.contains_key(term)).collect();
        let keys = self.keys(kind, added.iter().map(|term| term.path.as_str()).collect()).await?;
        let mut rows: Vec<(i64, String)> = added
            .into_iter()
            .filter_map(|term| Some((*keys.get(&term.path)?, term.value)))
            .collect();
        rows.sort_unstable();
        for chunk in rows.chunks(CHUNK) {
            if chunk.len() == CHUNK {
                self.insert_terms(document, chunk).await?;
            } else {
                for row in chunk {
                    self.insert_terms(document, std::slice::from_ref(row)).await?;
                }
            }
        }
        Ok(())
    }

    async fn insert_terms(&mut self, document: i64, rows: &[(i64, String)]) -> Result<()> {
        let places: Vec<String> = (0..rows.len())
            .map(|row| {
                let at = row * 4;
                format!(
                    "(${}, ${}, ${}, CAST(CAST(${} AS TEXT) AS DOUBLE PRECISION))",
                    at + 1,
                    at + 2,
                    at + 3,
                    at + 4
                )
            })
            .collect();
        let text = format!(
            "INSERT INTO index_terms (key_id, value, document, number) VALUES {}",
            places.join(", ")
        );
        // Nothing but placeholders is put together here. A number goes as text, because PostgreSQL takes the type of a
        // parameter from its first value, which may be none.
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for (key, value) in rows {
            let number = number_of(value).map(|number| number.to_string());
            query = query.bind(*key).bind(value.clone()).bind(document).bind(number);
        }
        query.execute(self.conn()).await?;
        Ok(())
    }

    // The numbers of these keys; new ones are made.
    async fn keys(&mut self, kind: &str, paths: BTreeSet<&str>) -> Result<HashMap<String, i64>> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for path in paths {
            match self.store.inner.keys.get(kind, path) {
                Some(id) => {
                    found.insert(path.to_owned(), id);
                }
                None => missing.push(path.to_owned()),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let mut next = self.count("key", 0).await?;
        let rows = sqlx::query("SELECT path, CAST(id AS BIGINT) FROM index_keys WHERE kind = $1")
            .bind(kind.to_owned())
            .fetch_all(self.conn())
            .await?;
        let mut known = HashMap::new();
        for row in rows {
            known.insert(row.try_get::<String, _>(0)?, row.try_get::<i64, _>(1)?);
        }
        let before = next;
        for path in missing {
            let id = if let Some(id) = known.get(&path) {
                *id
            } else {
                next += 1;
                let (joined, leaf) = spellings(&path);
                sqlx::query("INSERT INTO index_keys (id, kind, path, joined, leaf) VALUES ($1, $2, $3, $4, $5)")
                    .bind(next)
                    .bind(kind.to_owned())
                    .bind(path.clone())
                    .bind(joined)
                    .bind(leaf)
                    .execute(self.conn())
                    .await?;
                next
            };
            self.new_keys.push(((kind.to_owned(), path.clone()), id));
            found.insert(path, id);
        }
        self.count("key", next - before).await?;
        Ok(found)
    }

    // Counts up and gives the new value; the counter's row is locked until the end.
    async fn count(&mut self, counter: &str, by: i64) -> Result<i64> {
        Ok(
            sqlx::query_scalar("UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value")
                .bind(by)
                .bind(counter.to_owned())
                .fetch_one(self.conn())
                .await?,
        )
    }
}
