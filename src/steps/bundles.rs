//! Bundles by hash: the server's own, which is at hand, and every other that is stored, read once and kept.
//!
//! The invariant: what a hash gives never changes, so a stack or environment that names one is built the same for ever.

use crate::model::actor::Actor;
use crate::model::fault::Fault;
use crate::recipes::bundle::{Bundle, VALUES};
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

// A bundle is well below a megabyte; more than these are not in use at one time.
const KEPT: usize = 32;

/// Bundles by hash. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bundles {
    store: Store,
    own: Arc<Bundle>,
    own_hash: Arc<str>,
    kept: Arc<Mutex<BTreeMap<String, Arc<Bundle>>>>,
    recipes: Arc<Mutex<BTreeSet<String>>>,
}

impl Bundles {
    /// Stores the server's own bundle, its recipes as they are now, and takes it as the one for whatever names none.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn open(store: Store, recipes: &Bundle, note: &str) -> Result<Self, Fault> {
        let files = recipes.files();
        let hash = Bundle::hash_of(&files);
        if store.bundle_files(&hash).await?.is_none() {
            // Nobody asked for it, so it is no audited write; the row says what it is.
            let mut tx = store.journal().await?;
            tx.put_bundle(&hash, &files, note, &Actor::System { part: "server" }.to_string())
                .await?;
            tx.commit().await?;
        }
        let mut recipes = recipe_names(&files);
        for row in store.bundles().await?.iter().take(KEPT) {
            if let Some(files) = store.bundle_files(&row.hash).await? {
                recipes.append(&mut recipe_names(&files));
            }
        }
        Ok(Self {
            recipes: Arc::new(Mutex::new(recipes)),
            store,
            // Read back from its files, so that findings and origins are the same for whoever reads it from the store.
            own: Arc::new(Bundle::of_files(&files)),
            own_hash: hash.into(),
            kept: Arc::default(),
        })
    }

    /// The server's own bundle.
    pub fn own(&self) -> &Arc<Bundle> {
        &self.own
    }

    /// The hash of the server's own bundle.
    pub fn own_hash(&self) -> &str {
        &self.own_hash
    }

    /// Names of the recipes of all bundles that are in use: what roles and apps may name.
    pub fn recipe_names(&self) -> BTreeSet<String> {
        self.recipes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the recipes of a bundle that was pushed.
    pub fn learn(&self, files: &BTreeMap<String, String>) {
        let mut names = recipe_names(files);
        self.recipes.lock().unwrap_or_else(PoisonError::into_inner).append(&mut names);
    }

    /// The bundle of this hash; the server's own where none is given.
    ///
    /// # Errors
    /// `not-found` where it is not stored.
    pub async fn get(&self, hash: Option<&str>) -> Result<Arc<Bundle>, Fault> {
        let Some(hash) = hash.filter(|hash| *hash != &*self.own_hash) else {
            return Ok(Arc::clone(&self.own));
        };
        if let Some(found) = self.kept().get(hash) {
            return Ok(Arc::clone(found));
        }
        let files = self.store.bundle_files(hash).await?;
        let files = files.ok_or_else(|| Fault::new("not-found", format!("There is no bundle `{hash}`")))?;
        self.learn(&files);
        let bundle = Arc::new(Bundle::of_files(&files));
        let mut kept = self.kept();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(hash.to_owned(), Arc::clone(&bundle));
        Ok(bundle)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Bundle>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn recipe_names(files: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = files.keys().filter(|file| *file != VALUES);
    names
        .filter_map(|file| file.strip_suffix(".yaml"))
        .map(str::to_owned)
        .collect()
}
