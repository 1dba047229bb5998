//! The fleet as recipes may search it: the inventory of one moment, in memory.
//!
//! Facts are not among what is searched: they change by themselves, and would have every node compiled again all the time.

use crate::model::inventory::{Object, Role, app_document, object_document};
use crate::model::name::RoleName;
use crate::model::search::{INDEXES, Spelling, Term, matches, parse, terms};
use crate::recipes::{Search, answer_hash};
use crate::store::inventory::Inventory;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

struct Document {
    body: Value,
    terms: BTreeSet<Term>,
}

/// One moment of the inventory, searchable. Its documents are made when they are first asked for.
#[derive(Default)]
pub struct Fleet {
    inventory: Inventory,
    documents: [OnceLock<Vec<Document>>; KINDS.len()],
    placement: OnceLock<u64>,
    answers: Mutex<HashMap<(String, String), Option<String>>>,
}

const KINDS: [&str; 5] = ["app", "datacenter", "environment", "node", "role"];

impl Fleet {
    /// The fleet of an inventory.
    pub fn new(inventory: Inventory) -> Self {
        Self {
            inventory,
            ..Self::default()
        }
    }

    /// The inventory.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// A number that changes where an app of some node changes, or where that node is reached.
    pub fn placement(&self) -> u64 {
        *self.placement.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            for app in self.inventory.apps.values() {
                (app.descriptor.name(), app.version, app.updated_at).hash(&mut hasher);
            }
            for record in self.inventory.nodes.values() {
                let node = &record.body;
                if !node.spec.apps.is_empty() {
                    let apps: Vec<_> = node.spec.apps.iter().map(|on| &on.app).collect();
                    (
                        node.name(),
                        &node.spec.environment,
                        &node.spec.datacenter,
                        node.address(),
                        apps,
                    )
                        .hash(&mut hasher);
                }
            }
            hasher.finish()
        })
    }

    /// The hash of what a search finds; nothing where it cannot be asked. Each is asked once.
    pub fn answer(&self, kind: &str, query: &str) -> Option<String> {
        let key = (kind.to_owned(), query.to_owned());
        let kept = |answers: &Mutex<HashMap<_, Option<String>>>| lock(answers).get(&key).cloned();
        if let Some(known) = kept(&self.answers) {
            return known;
        }
        let found = self.search(kind, query).ok().map(|found| answer_hash(&found));
        lock(&self.answers).insert(key, found.clone());
        found
    }

    fn make(&self, kind: &str) -> Vec<Document> {
        let inventory = &self.inventory;
        let role = |name: &RoleName| -> Option<&Role> { inventory.role(name) };
        let object = |object: Object| object_document(&object, &role);
        let bodies: Vec<Value> = match kind {
            "app" => inventory.apps.values().map(|app| app_document(&app.descriptor)).collect(),
            "datacenter" => {
                let all = inventory.datacenters.values();
                all.map(|record| object(Object::Datacenter(record.body.clone()))).collect()
            }
            "environment" => {
                let all = inventory.environments.values();
                all.map(|record| object(Object::Environment(record.body.clone()))).collect()
            }
            "role" => {
                let all = inventory.roles.values();
                all.map(|record| object(Object::Role(record.body.clone()))).collect()
            }
            _ => {
                let all = inventory.nodes.values();
                all.map(|record| object(Object::Node(record.body.clone()))).collect()
            }
        };
        bodies
            .into_iter()
            .map(|body| Document {
                terms: terms(&body),
                body,
            })
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Search for Fleet {
    fn search(&self, kind: &str, query: &str) -> Result<Vec<Value>, String> {
        let Some(index) = KINDS.iter().position(|known| *known == kind) else {
            let why = if INDEXES.contains(&kind) {
                "recipes cannot search stacks"
            } else {
                "there is no such kind"
            };
            return Err(format!("{why}; there are {}", KINDS.join(", ")));
        };
        let query = parse(query).map_err(|error| error.to_string())?;
        let documents = self.documents[index].get_or_init(|| self.make(kind));
        let found = documents
            .iter()
            .filter(|document| matches(&query, &document.terms, Spelling::Strict));
        // The inventory's maps are sorted by name, and so is the answer.
        Ok(found.map(|document| document.body.clone()).collect())
    }
}
