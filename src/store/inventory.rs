//! The inventory in memory: an immutable picture of what should be true, swapped after each commit that changed it.

use super::{Result, Store, from_json, parse};
use crate::model::descriptor::Descriptor;
use crate::model::name::AppName;
use crate::model::time::Timestamp;
use sqlx::Row;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All apps as of one commit.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// By name; removed apps are not here.
    pub apps: BTreeMap<AppName, Arc<AppRecord>>,
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

impl Inventory {
    pub(super) async fn read(store: &Store) -> Result<Self> {
        let rows = sqlx::query("SELECT name, version, descriptor, created_at, updated_at FROM apps WHERE removed_at IS NULL")
            .fetch_all(store.pool())
            .await?;
        let mut apps = BTreeMap::new();
        for row in rows {
            let name: String = row.try_get(0)?;
            let record = AppRecord {
                version: row.try_get(1)?,
                descriptor: from_json("descriptor", row.try_get(2)?)?,
                created_at: Timestamp(row.try_get(3)?),
                updated_at: Timestamp(row.try_get(4)?),
            };
            apps.insert(parse("app name", &name)?, Arc::new(record));
        }
        Ok(Self { apps })
    }

    /// The app of this name.
    pub fn app(&self, name: &AppName) -> Option<&Arc<AppRecord>> {
        self.apps.get(name)
    }
}
