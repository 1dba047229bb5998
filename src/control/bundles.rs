//! Bundles of recipes: push, list, show, compare, and promote one to an environment.
//!
//! A promotion moves one pointer and nothing else: the environment's object gets a new version, with who and when, and can be
//! moved back the same way.

use super::{Control, ControlError, Result};
use crate::model::actor::{Actor, Role};
use crate::model::diagnostic::has_errors;
use crate::model::fault::Fault;
use crate::model::inventory::{Environment, Object};
use crate::model::name::EnvironmentName;
use crate::recipes::bundle::{Bundle, MAX_BYTES};
use crate::store::StoreError;
use crate::store::bundles::BundleRow;
use crate::store::inventory::Record;
use crate::wire::bundles::{
    BundleDiffView, BundleFilesView, BundleView, FileDiffView, PointerView, PromoteRequest, PushRequest, PushedView,
};
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const MAX_FILES: usize = 1_000;
// All files together: what a request may carry anyway.
const MAX_TOTAL: usize = 8 * MAX_BYTES;
const SHORTEST: usize = 6;

impl Control {
    /// Keeps recipes as a bundle, once they are without errors. The same files are the same bundle, however often pushed.
    ///
    /// # Errors
    /// `recipe-invalid` with findings; `not-allowed` below operator.
    pub async fn push_bundle(&self, actor: &Actor, request: &PushRequest) -> Result<PushedView> {
        require_operator(actor)?;
        let (hash, files, bundle) = self.candidate(&request.files, request.with_own)?;
        let warnings = bundle.check();
        let note: String = request.note.chars().filter(|c| !c.is_control()).take(200).collect();
        let mut tx = self.store.write(actor, "bundle.push", &hash).await?;
        tx.detail(&note);
        let new = tx.put_bundle(&hash, &files, &note, &actor.to_string()).await?;
        if new {
            tx.commit().await?;
        }
        self.bundles.learn(&files);
        Ok(PushedView {
            bundle: self.bundle_view(&self.find_bundle(&hash).await?),
            new,
            warnings,
        })
    }

    /// All bundles, newest first.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_bundles(&self, _actor: &Actor) -> Result<Vec<BundleView>> {
        let rows = self.store.bundles().await?;
        Ok(rows.iter().map(|row| self.bundle_view(row)).collect())
    }

    /// A bundle with its files.
    ///
    /// # Errors
    /// `not-found`; `invalid-request` where several start like that.
    pub async fn show_bundle(&self, _actor: &Actor, hash: &str) -> Result<BundleFilesView> {
        let row = self.find_bundle(hash).await?;
        Ok(BundleFilesView {
            files: self.bundle_files(&row.hash).await?,
            bundle: self.bundle_view(&row),
        })
    }

    /// What differs between two bundles, file by file.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn diff_bundles(&self, _actor: &Actor, from: &str, to: &str) -> Result<BundleDiffView> {
        let (from, to) = (self.find_bundle(from).await?.hash, self.find_bundle(to).await?.hash);
        let (before, after) = (self.bundle_files(&from).await?, self.bundle_files(&to).await?);
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let nothing = String::new();
        let mut files = Vec::new();
        for name in names {
            let change = match (before.get(name), after.get(name)) {
                (None, _) => "added",
                (_, None) => "removed",
                (one, other) if one == other => continue,
                _ => "changed",
            };
            let (one, other) = (before.get(name).unwrap_or(&nothing), after.get(name).unwrap_or(&nothing));
            files.push(FileDiffView {
                file: name.clone(),
                change: change.to_owned(),
                diff: TextDiff::from_lines(one.as_str(), other.as_str())
                    .unified_diff()
                    .header(&format!("a/{name}"), &format!("b/{name}"))
                    .to_string(),
            });
        }
        Ok(BundleDiffView { from, to, files })
    }

    /// Which bundle an environment is built from.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn show_pointer(&self, _actor: &Actor, environment: &str) -> Result<PointerView> {
        let record = self.find_environment(environment)?;
        let pointer = record.body.spec.bundle.clone();
        Ok(PointerView {
            environment: environment.to_owned(),
            pinned: pointer.is_some(),
            bundle: pointer.unwrap_or_else(|| self.bundles.own_hash().to_owned()),
            version: record.version,
        })
    }

    /// Points an environment at a bundle: from then on its nodes are built from that one. `if_match` is the environment's
    /// version that the decision was made on.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `version-required`, `changed-meanwhile`.
    pub async fn promote_bundle(
        &self,
        actor: &Actor,
        environment: &str,
        request: &PromoteRequest,
        if_match: Option<i64>,
    ) -> Result<PointerView> {
        require_operator(actor)?;
        let record = self.find_environment(environment)?;
        let row = self.find_bundle(&request.bundle).await?;
        let Some(edited) = if_match else {
            let what = format!("Say on which version of {environment} you decided");
            return Err(ControlError::new("version-required", what));
        };
        let mut tx = self.store.write(actor, "environment.promote", environment).await?;
        let kind = crate::model::inventory::ObjectKind::Environment;
        let present = tx.object_version(kind, environment).await?;
        let (version, removed) = present.ok_or_else(|| ControlError::not_found("environment", environment))?;
        if removed || version != edited || record.version != version {
            let mut error = ControlError::new("changed-meanwhile", format!("{environment} was not changed"));
            error.fault.why = format!("you decided on version {edited}; now it is {version}");
            error.changed = Some((version, String::new()));
            return Err(error);
        }
        let mut wanted: Environment = record.body.clone();
        let before = wanted.spec.bundle.replace(row.hash.clone());
        let before = before.as_deref().unwrap_or("the server's own");
        let note = format!("bundle {} after {}", short(&row.hash), short(before));
        tx.detail(format!("version {}, {note}", version + 1));
        let object = Object::Environment(wanted);
        match tx.put_object(&object, version + 1, &actor.to_string(), &note).await {
            Ok(()) => tx.commit().await?,
            Err(StoreError::Taken(_)) => {
                return Err(ControlError::new(
                    "changed-meanwhile",
                    format!("{environment} was changed in the same moment"),
                ));
            }
            Err(error) => return Err(error.into()),
        }
        self.show_pointer(actor, environment).await
    }

    /// The bundle that these files would be, with the server's own recipes added or not.
    pub(super) fn candidate(
        &self,
        files: &BTreeMap<String, String>,
        with_own: bool,
    ) -> Result<(String, BTreeMap<String, String>, Bundle)> {
        check_names(files)?;
        let mut all = if with_own {
            self.bundles.own().files()
        } else {
            BTreeMap::new()
        };
        all.extend(files.iter().map(|(name, text)| (name.clone(), text.clone())));
        let bundle = Bundle::of_files(&all);
        let found = bundle.check();
        if has_errors(&found) {
            let mut error = ControlError::new("recipe-invalid", "The recipes have errors");
            error.fault.why = found.first().map(|d| d.message.clone()).unwrap_or_default();
            error.diagnostics = found;
            return Err(error);
        }
        Ok((Bundle::hash_of(&all), all, bundle))
    }

    /// The one bundle whose hash starts like this, with or without `sha256:`.
    pub(super) async fn find_bundle(&self, hash: &str) -> Result<BundleRow> {
        let digits = hash.trim().trim_start_matches("sha256:");
        if digits.len() < SHORTEST {
            return Err(ControlError::field(
                "bundle",
                format!("give at least {SHORTEST} digits of the hash"),
            ));
        }
        let mut found = self.store.bundles_like(&format!("sha256:{digits}")).await?;
        if found.len() > 1 {
            return Err(ControlError::field(
                "bundle",
                "several bundles start like that; give more of the hash",
            ));
        }
        found.pop().ok_or_else(|| ControlError::not_found("bundle", hash))
    }

    async fn bundle_files(&self, hash: &str) -> Result<BTreeMap<String, String>> {
        let files = self.store.bundle_files(hash).await?;
        files.ok_or_else(|| ControlError::not_found("bundle", hash))
    }

    fn find_environment(&self, name: &str) -> Result<Arc<Record<Environment>>> {
        let missing = || ControlError::not_found("environment", name);
        let parsed: EnvironmentName = name.parse().map_err(|_| missing())?;
        self.store.inventory().environments.get(&parsed).cloned().ok_or_else(missing)
    }

    fn bundle_view(&self, row: &BundleRow) -> BundleView {
        let inventory = self.store.inventory();
        let points = |record: &Arc<Record<Environment>>| record.body.spec.bundle.as_deref() == Some(row.hash.as_str());
        let environments = inventory.environments.iter().filter(|(_, record)| points(record));
        BundleView {
            hash: row.hash.clone(),
            file_count: row.file_count,
            bytes: row.bytes,
            note: row.note.clone(),
            actor: row.actor.clone(),
            created_at: row.created_at,
            environments: environments.map(|(name, _)| name.as_str().to_owned()).collect(),
            own: row.hash == self.bundles.own_hash(),
        }
    }
}

// Names are what a folder of recipes may hold; anything else would be dropped in silence.
fn check_names(files: &BTreeMap<String, String>) -> Result<()> {
    if files.is_empty() {
        return Err(ControlError::field("files", "at least one file is needed"));
    }
    if files.len() > MAX_FILES || files.values().map(String::len).sum::<usize>() > MAX_TOTAL {
        let why = format!("at most {MAX_FILES} files of {MAX_TOTAL} bytes together are taken");
        return Err(Fault::new("too-large", "The bundle is too large").why(why).into());
    }
    for name in files.keys() {
        let path = std::path::Path::new(name);
        let known = path.extension().is_some_and(|e| e == "yaml" || e == "j2");
        if !known || name.contains('/') || name.starts_with('.') || name.len() > 100 || name.contains(char::is_control) {
            let why = "a file of a bundle is called like `nginx.yaml` or `nginx.conf.j2`, without folders";
            return Err(ControlError::field(format!("files.{name}"), why));
        }
    }
    Ok(())
}

/// A hash as people read it.
fn short(hash: &str) -> &str {
    hash.get(..19).unwrap_or(hash)
}

fn require_operator(actor: &Actor) -> Result<()> {
    if actor.role() >= Some(Role::Operator) {
        Ok(())
    } else {
        Err(ControlError::new("not-allowed", "Changing recipes takes the role operator"))
    }
}
