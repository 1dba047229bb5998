//! The inventory in memory: an immutable picture of what should be true, swapped after each commit that changed it.
//!
//! Readers never wait and never see half a commit. What a commit touched is read again and put into a copy of the picture;
//! the copy shares everything else. Facts are not here: they are large, and few questions need them.

use super::{Result, Store, from_json, parse};
use crate::model::descriptor::Descriptor;
use crate::model::inventory::{Datacenter, Environment, Node, ObjectKind, Role};
use crate::model::name::{AppName, DatacenterName, EnvironmentName, NodeName, RoleName};
use crate::model::time::Timestamp;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Apps, nodes, datacenters, environments and roles as of one commit. What is removed is not here.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Apps by name.
    pub apps: Arc<BTreeMap<AppName, Arc<AppRecord>>>,
    /// Nodes by name; those of stacks are not among them.
    pub nodes: Arc<BTreeMap<NodeName, Arc<Record<Node>>>>,
    /// Datacenters by name.
    pub datacenters: Arc<BTreeMap<DatacenterName, Arc<Record<Datacenter>>>>,
    /// Environments by name.
    pub environments: Arc<BTreeMap<EnvironmentName, Arc<Record<Environment>>>>,
    /// Roles by name.
    pub roles: Arc<BTreeMap<RoleName, Arc<Record<Role>>>>,
    /// The audit's revision that this is at least as new as.
    pub revision: i64,
}

/// The current version of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<T> {
    /// The object.
    pub body: T,
    /// Its version, from 1.
    pub version: i64,
    /// When it was first saved.
    pub created_at: Timestamp,
    /// When this version was saved.
    pub updated_at: Timestamp,
}

/// The current version of an app.
#[derive(Debug, Clone)]
pub struct AppRecord {
    /// The descriptor.
    pub descriptor: Descriptor,
    /// Its version, from 1.
    pub version: i64,
    /// When the app was first registered.
    pub created_at: Timestamp,
    /// When this version was accepted.
    pub updated_at: Timestamp,
}

// What a commit touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) apps: bool,
    pub(super) objects: BTreeSet<(ObjectKind, String)>,
}

// More than this many objects are quicker read all at once.
const ONE_BY_ONE: usize = 100;

impl Touched {
    pub(super) fn is_empty(&self) -> bool {
        !self.apps && self.objects.is_empty()
    }

    // What another server's commit touched, told by its topics; nothing where everything may be.
    pub(super) fn by_topics(topics: &[String]) -> Option<Self> {
        let mut touched = Self::default();
        for topic in topics {
            match topic.split_once(':') {
                _ if topic == "*" => return None,
                Some(("app", _)) => touched.apps = true,
                Some((word, name)) => {
                    if let Some(kind) = ObjectKind::of(word) {
                        touched.objects.insert((kind, name.to_owned()));
                    }
                }
                None => {}
            }
        }
        Some(touched)
    }
}

impl Inventory {
    pub(super) async fn read(store: &Store) -> Result<Self> {
        let mut inventory = Self {
            revision: revision(store).await?,
            apps: Arc::new(read_apps(store).await?),
            ..Self::default()
        };
        let rows = sqlx::query(
            "SELECT kind, name, version, body, created_at, updated_at FROM objects WHERE removed_at IS NULL ORDER BY kind, name",
        )
        .fetch_all(store.pool())
        .await?;
        for row in &rows {
            inventory.insert(row)?;
        }
        Ok(inventory)
    }

    // A copy in which what was touched is as the database has it now.
    pub(super) async fn refreshed(&self, store: &Store, touched: &Touched) -> Result<Self> {
        if touched.objects.len() > ONE_BY_ONE {
            return Self::read(store).await;
        }
        let mut inventory = self.clone();
        inventory.revision = revision(store).await?;
        if touched.apps {
            inventory.apps = Arc::new(read_apps(store).await?);
        }
        for (kind, name) in &touched.objects {
            let row = sqlx::query(
                "SELECT kind, name, version, body, created_at, updated_at FROM objects WHERE kind = $1 AND name = $2 AND removed_at IS NULL",
            )
            .bind(kind.as_str())
            .bind(name.clone())
            .fetch_optional(store.pool())
            .await?;
            match row {
                Some(row) => inventory.insert(&row)?,
                None => inventory.remove(*kind, name),
            }
        }
        Ok(inventory)
    }

    fn insert(&mut self, row: &AnyRow) -> Result<()> {
        fn record<T: serde::de::DeserializeOwned>(row: &AnyRow) -> Result<Arc<Record<T>>> {
            Ok(Arc::new(Record {
                body: from_json("object", row.try_get(3)?)?,
                version: row.try_get(2)?,
                created_at: Timestamp(row.try_get(4)?),
                updated_at: Timestamp(row.try_get(5)?),
            }))
        }
        let kind: String = row.try_get(0)?;
        let name: &str = row.try_get(1)?;
        match ObjectKind::of(&kind) {
            Some(ObjectKind::Node) => {
                Arc::make_mut(&mut self.nodes).insert(parse("node name", name)?, record(row)?);
            }
            Some(ObjectKind::Datacenter) => {
                Arc::make_mut(&mut self.datacenters).insert(parse("datacenter name", name)?, record(row)?);
            }
            Some(ObjectKind::Environment) => {
                Arc::make_mut(&mut self.environments).insert(parse("environment name", name)?, record(row)?);
            }
            Some(ObjectKind::Role) => {
                Arc::make_mut(&mut self.roles).insert(parse("role name", name)?, record(row)?);
            }
            None => {
                return Err(super::StoreError::Corrupt {
                    what: "object",
                    why: format!("there is no kind {kind}"),
                });
            }
        }
        Ok(())
    }

    fn remove(&mut self, kind: ObjectKind, name: &str) {
        fn out<K: Ord + Clone + std::str::FromStr, V: Clone>(map: &mut Arc<BTreeMap<K, V>>, name: &str) {
            if let Ok(name) = name.parse::<K>()
                && map.contains_key(&name)
            {
                Arc::make_mut(map).remove(&name);
            }
        }
        match kind {
            ObjectKind::Node => out(&mut self.nodes, name),
            ObjectKind::Datacenter => out(&mut self.datacenters, name),
            ObjectKind::Environment => out(&mut self.environments, name),
            ObjectKind::Role => out(&mut self.roles, name),
        }
    }

    /// The app of this name.
    pub fn app(&self, name: &AppName) -> Option<&Arc<AppRecord>> {
        self.apps.get(name)
    }

    /// The node of this name.
    pub fn node(&self, name: &NodeName) -> Option<&Arc<Record<Node>>> {
        self.nodes.get(name)
    }

    /// The role of this name.
    pub fn role(&self, name: &RoleName) -> Option<&Role> {
        self.roles.get(name).map(|record| &record.body)
    }
}

impl Store {
    /// The inventory as it was right after the write of this revision of the audit.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn inventory_at(&self, revision: i64) -> Result<Inventory> {
        let mut inventory = Inventory {
            revision,
            ..Inventory::default()
        };
        let rows = sqlx::query(
            "SELECT v.kind, v.name, v.version, v.body, f.at, v.at FROM object_versions v \
             JOIN (SELECT kind, name, MAX(version) AS version FROM object_versions WHERE revision <= $1 GROUP BY kind, name) m \
             ON m.kind = v.kind AND m.name = v.name AND m.version = v.version \
             JOIN object_versions f ON f.kind = v.kind AND f.name = v.name AND f.version = 1 \
             WHERE v.body IS NOT NULL",
        )
        .bind(revision)
        .fetch_all(self.pool())
        .await?;
        for row in &rows {
            inventory.insert(row)?;
        }
        let rows = sqlx::query(
            "SELECT v.name, v.version, v.source, a.created_at, v.at FROM app_versions v JOIN apps a ON a.name = v.name \
             JOIN (SELECT name, MAX(version) AS version FROM app_versions WHERE revision <= $1 GROUP BY name) m \
             ON m.name = v.name AND m.version = v.version \
             WHERE v.source <> ''",
        )
        .bind(revision)
        .fetch_all(self.pool())
        .await?;
        let apps: Result<BTreeMap<_, _>> = rows.iter().map(app).collect();
        inventory.apps = Arc::new(apps?);
        Ok(inventory)
    }
}

async fn revision(store: &Store) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT value FROM counters WHERE name = 'revision'")
        .fetch_one(store.pool())
        .await?)
}

async fn read_apps(store: &Store) -> Result<BTreeMap<AppName, Arc<AppRecord>>> {
    let rows = sqlx::query("SELECT name, version, descriptor, created_at, updated_at FROM apps WHERE removed_at IS NULL")
        .fetch_all(store.pool())
        .await?;
    rows.iter().map(app).collect()
}

fn app(row: &AnyRow) -> Result<(AppName, Arc<AppRecord>)> {
    let record = AppRecord {
        version: row.try_get(1)?,
        descriptor: from_json("descriptor", row.try_get(2)?)?,
        created_at: Timestamp(row.try_get(3)?),
        updated_at: Timestamp(row.try_get(4)?),
    };
    Ok((parse("app name", row.try_get(0)?)?, Arc::new(record)))
}
