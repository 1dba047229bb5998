//! The fleet as recipes may search it: the inventory of one moment, in memory.
//!
//! Facts are not among what is searched: they change by themselves, and would have every node compiled again all the time.

use crate::model::inventory::{Object, Role, app_document, object_document};
use crate::model::name::RoleName;
use crate::model::search::{INDEXES, Spelling, Term, matches, parse, terms};
use crate::recipes::Search;
use crate::store::inventory::Inventory;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::OnceLock;

struct Document {
    body: Value,
    terms: BTreeSet<Term>,
}

/// One moment of the inventory, searchable. Its documents are made when they are first asked for.
#[derive(Default)]
pub struct Fleet {
    inventory: Inventory,
    documents: [OnceLock<Vec<Document>>; KINDS.len()],
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
