//! Objects of the inventory as rows: what each is now, every version there was, and the facts of nodes.
//!
//! Invariant: the search index is written in the transaction of what it is about, so what is saved is found.

use super::{Result, Store, StoreError, Tx, from_json, to_json};
use crate::model::inventory::{FactsFormat, Object, ObjectKind, Role, node_facts_document, object_document};
use crate::model::name::RoleName;
use crate::model::time::Timestamp;
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A version of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectVersion {
    /// From 1.
    pub version: i64,
    /// The audit's revision that made it.
    pub revision: i64,
    /// The object; nothing where this version is its removal.
    pub body: Option<Object>,
    /// Who saved it.
    pub actor: String,
    /// How: `restored from version 3`; mostly nothing.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

/// What a node last reported of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct FactsRow {
    /// Who wrote them.
    pub format: String,
    /// Hash of them, for `If-None-Match`.
    pub hash: String,
    /// The facts.
    pub body: Value,
    /// When they last changed.
    pub at: Timestamp,
}

impl Store {
    /// Every version of an object, newest first, also of one that was removed.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn object_versions(&self, kind: ObjectKind, name: &str) -> Result<Vec<ObjectVersion>> {
        let rows = sqlx::query(
            "SELECT version, revision, body, actor, note, at FROM object_versions WHERE kind = $1 AND name = $2 ORDER BY version DESC",
        )
        .bind(kind.as_str())
        .bind(name.to_owned())
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|row| read(kind, row)).collect()
    }

    /// One version of an object.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn object_version(&self, kind: ObjectKind, name: &str, version: i64) -> Result<Option<ObjectVersion>> {
        let row = sqlx::query(
            "SELECT version, revision, body, actor, note, at FROM object_versions WHERE kind = $1 AND name = $2 AND version = $3",
        )
        .bind(kind.as_str())
        .bind(name.to_owned())
        .bind(version)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(|row| read(kind, row)).transpose()
    }

    /// An object as it was right after the write of this revision of the audit.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn object_at(&self, kind: ObjectKind, name: &str, revision: i64) -> Result<Option<ObjectVersion>> {
        let row = sqlx::query(
            "SELECT version, revision, body, actor, note, at FROM object_versions \
             WHERE kind = $1 AND name = $2 AND revision <= $3 ORDER BY version DESC LIMIT 1",
        )
        .bind(kind.as_str())
        .bind(name.to_owned())
        .bind(revision)
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(|row| read(kind, row)).transpose()
    }

    /// The facts of a node, where it ever reported any.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn facts(&self, node: &str) -> Result<Option<FactsRow>> {
        let row = sqlx::query("SELECT format, hash, body, at FROM node_facts WHERE node = $1")
            .bind(node.to_owned())
            .fetch_optional(self.pool())
            .await?;
        row.map(|row| {
            Ok(FactsRow {
                format: row.try_get(0)?,
                hash: row.try_get(1)?,
                body: from_json("facts", row.try_get(2)?)?,
                at: Timestamp(row.try_get(3)?),
            })
        })
        .transpose()
    }

    /// The revision that each node reports of each app, by node and app: the facts `apps.APP` or `apps.APP.revision`.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn observed_revisions(&self) -> Result<BTreeMap<(String, String), String>> {
        let rows = sqlx::query(
            "SELECT d.name, k.path, t.value FROM index_keys k JOIN index_terms t ON t.key_id = k.id \
             JOIN index_documents d ON d.id = t.document WHERE k.kind = 'node' AND k.path LIKE 'facts.apps.%'",
        )
        .fetch_all(self.pool())
        .await?;
        let mut observed = BTreeMap::new();
        for row in rows {
            let path: &str = row.try_get(1)?;
            let app = path.trim_start_matches("facts.apps.");
            let app = app.strip_suffix(".revision").unwrap_or(app);
            if !app.contains('.') {
                observed.insert((row.try_get(0)?, app.to_owned()), row.try_get(2)?);
            }
        }
        Ok(observed)
    }
}

impl Tx {
    /// The latest version of an object, and whether it is removed. Locks the row where there is one.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn object_version(&mut self, kind: ObjectKind, name: &str) -> Result<Option<(i64, bool)>> {
        let row = sqlx::query("UPDATE objects SET version = version WHERE kind = $1 AND name = $2 RETURNING version, removed_at")
            .bind(kind.as_str())
            .bind(name.to_owned())
            .fetch_optional(self.conn())
            .await?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get::<Option<i64>, _>(1)?.is_some())))
            .transpose()
    }

    /// Saves a new version of an object and what searches find of it; the caller has checked that `version` follows the
    /// present one.
    ///
    /// # Errors
    /// [`StoreError::Taken`] where someone saved that version meanwhile.
    pub async fn put_object(&mut self, object: &Object, version: i64, actor: &str, note: &str) -> Result<()> {
        let at = self.at().0;
        let (kind, name) = (object.kind(), object.name().to_owned());
        let body = object.to_value().map_err(|e| StoreError::Corrupt {
            what: "object",
            why: e.to_string(),
        })?;
        let text = body.to_string();
        self.add_version(kind, &name, version, Some(text.clone()), actor, note)
            .await?;
        sqlx::query(
            "INSERT INTO objects (kind, name, version, body, created_at, updated_at, removed_at) VALUES ($1, $2, $3, $4, $5, $5, NULL) \
             ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version, body = excluded.body, \
             updated_at = excluded.updated_at, removed_at = NULL",
        )
        .bind(kind.as_str())
        .bind(name.clone())
        .bind(version)
        .bind(text)
        .bind(at)
        .execute(self.conn())
        .await?;
        self.index_object(object).await?;
        if let Object::Role(_) = object {
            self.index_nodes_with_role(&name).await?;
        }
        self.touch_object(kind, &name);
        Ok(())
    }

    /// Takes an object out of the inventory; its versions stay, and its removal is one more.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn remove_object(&mut self, kind: ObjectKind, name: &str, version: i64, actor: &str) -> Result<()> {
        let at = self.at().0;
        self.add_version(kind, name, version, None, actor, "").await?;
        sqlx::query("UPDATE objects SET version = $1, updated_at = $2, removed_at = $2 WHERE kind = $3 AND name = $4")
            .bind(version)
            .bind(at)
            .bind(kind.as_str())
            .bind(name.to_owned())
            .execute(self.conn())
            .await?;
        self.unindex(kind.as_str(), name).await?;
        if kind == ObjectKind::Node {
            self.forget_facts(name).await?;
        }
        if kind == ObjectKind::Role {
            self.roles = None;
            self.index_nodes_with_role(name).await?;
        }
        self.touch_object(kind, name);
        Ok(())
    }

    /// Stores what a node reports of itself. True where it differs from what it reported before.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn put_facts(&mut self, node: &str, facts: &Value, format: FactsFormat) -> Result<bool> {
        let at = self.at().0;
        let body = to_json("facts", facts)?;
        let hash = crate::model::secret::hash(&body);
        let done = sqlx::query(
            "INSERT INTO node_facts (node, format, hash, body, at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (node) DO UPDATE SET format = excluded.format, hash = excluded.hash, body = excluded.body, at = excluded.at \
             WHERE node_facts.hash <> excluded.hash",
        )
        .bind(node.to_owned())
        .bind(format.as_str())
        .bind(hash)
        .bind(body)
        .bind(at)
        .execute(self.conn())
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.index_part("node", node, &node_facts_document(facts)).await?;
        self.touch(format!("facts:{node}"));
        self.touch("facts");
        Ok(true)
    }

    pub(super) async fn forget_facts(&mut self, node: &str) -> Result<()> {
        sqlx::query("DELETE FROM node_facts WHERE node = $1")
            .bind(node.to_owned())
            .execute(self.conn())
            .await?;
        Ok(())
    }

    async fn add_version(
        &mut self,
        kind: ObjectKind,
        name: &str,
        version: i64,
        body: Option<String>,
        actor: &str,
        note: &str,
    ) -> Result<()> {
        let at = self.at().0;
        sqlx::query(
            "INSERT INTO object_versions (kind, name, version, body, actor, note, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(kind.as_str())
        .bind(name.to_owned())
        .bind(version)
        .bind(body)
        .bind(actor.to_owned())
        .bind(note.to_owned())
        .bind(at)
        .execute(self.conn())
        .await
        .map_err(|e| super::taken(e, || format!("version {version} of {kind} {name}")))?;
        self.versions = true;
        Ok(())
    }

    pub(super) async fn index_object(&mut self, object: &Object) -> Result<()> {
        if let Object::Role(_) = object {
            self.roles = None;
        }
        let roles = self.roles().await?;
        let document = object_document(object, &|name| roles.get(name));
        self.index(object.kind().as_str(), object.name(), &document).await
    }

    // A role's nodes are found under the roles that it includes, so a change of it is one of theirs.
    async fn index_nodes_with_role(&mut self, role: &str) -> Result<()> {
        let rows = sqlx::query(
            "SELECT o.body FROM index_keys k JOIN index_terms t ON t.key_id = k.id JOIN index_documents d ON d.id = t.document \
             JOIN objects o ON o.kind = 'node' AND o.name = d.name AND o.removed_at IS NULL \
             WHERE k.kind = 'node' AND k.path = 'roles' AND t.value = $1 ORDER BY d.name",
        )
        .bind(role.to_owned())
        .fetch_all(self.conn())
        .await?;
        for row in rows {
            let node = Object::Node(from_json("node", row.try_get(0)?)?);
            self.index_object(&node).await?;
        }
        Ok(())
    }

    async fn roles(&mut self) -> Result<Arc<BTreeMap<RoleName, Role>>> {
        if let Some(roles) = &self.roles {
            return Ok(Arc::clone(roles));
        }
        let rows = sqlx::query("SELECT body FROM objects WHERE kind = 'role' AND removed_at IS NULL")
            .fetch_all(self.conn())
            .await?;
        let mut roles = BTreeMap::new();
        for row in rows {
            let role: Role = from_json("role", row.try_get(0)?)?;
            roles.insert(role.name().clone(), role);
        }
        let roles = Arc::new(roles);
        self.roles = Some(Arc::clone(&roles));
        Ok(roles)
    }

    fn touch_object(&mut self, kind: ObjectKind, name: &str) {
        self.inventory.objects.insert((kind, name.to_owned()));
        self.touch("inventory");
        self.touch(kind.plural());
        self.touch(format!("{kind}:{name}"));
    }
}

fn read(kind: ObjectKind, row: &AnyRow) -> Result<ObjectVersion> {
    let body: Option<String> = row.try_get(2)?;
    let body = body.map(|text| Object::from_json(kind, &text)).transpose();
    Ok(ObjectVersion {
        version: row.try_get(0)?,
        revision: row.try_get::<Option<i64>, _>(1)?.unwrap_or_default(),
        body: body.map_err(|e| StoreError::Corrupt {
            what: "object",
            why: e.to_string(),
        })?,
        actor: row.try_get(3)?,
        note: row.try_get(4)?,
        at: Timestamp(row.try_get(5)?),
    })
}
