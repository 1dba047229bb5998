//! The schema, version by version, inside the binary. Spelled out here rather than by sqlx's macro: the macro's crates would
//! have every build compile both database drivers, SQLite itself among them, a second time.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use std::borrow::Cow;

const ALL: &[(i64, &str, &str)] = &[
    (1, "house", include_str!("../../migrations/0001_house.sql")),
    (2, "engine", include_str!("../../migrations/0002_engine.sql")),
    (3, "inventory", include_str!("../../migrations/0003_inventory.sql")),
    (4, "agents", include_str!("../../migrations/0004_agents.sql")),
    (5, "bundles", include_str!("../../migrations/0005_bundles.sql")),
    (6, "vault", include_str!("../../migrations/0006_vault.sql")),
    (7, "app_history", include_str!("../../migrations/0007_app_history.sql")),
    (8, "boots", include_str!("../../migrations/0008_boots.sql")),
    (9, "agents", include_str!("../../migrations/0009_agents.sql")),
    (10, "named_secrets", include_str!("../../migrations/0010_named_secrets.sql")),
    (11, "sleep", include_str!("../../migrations/0011_sleep.sql")),
    (12, "images", include_str!("../../migrations/0012_images.sql")),
    (13, "doors", include_str!("../../migrations/0013_doors.sql")),
    (14, "presets", include_str!("../../migrations/0014_presets.sql")),
    (15, "previews", include_str!("../../migrations/0015_previews.sql")),
];

/// What brings a database up to date.
pub(super) fn migrator() -> Migrator {
    let one = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(
            *version,
            Cow::Borrowed(*name),
            MigrationType::Simple,
            sqlx::SqlStr::from_static(sql),
            false,
        )
    };
    Migrator::with_migrations(ALL.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_list() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "sql"));
        assert_eq!(files.count(), ALL.len());
    }
}
