//! What nodes of the inventory are built to be: compiled when somebody asks, and again only when something that went into it
//! has changed.
//!
//! Invariant: an answer is always that of the inventory as it is now. What is kept is found by the hash of all that goes into
//! a compile, and by the answers to the searches that it made.

mod explain;
mod fleet;

use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::configuration::NodeConfiguration;
use crate::model::diagnostic::Diagnostic;
use crate::model::inventory::Node;
use crate::model::name::{AppName, CommitId, NodeName, RevisionName};
use crate::plans::fleet::Fleet;
use crate::plans::production::{self, Commits};
use crate::recipes::bundle::Bundle;
use crate::recipes::view::View;
use crate::recipes::{Compiled, Search, answer_hash, compile_with};
use crate::store::inventory::Inventory;
use crate::wire::configurations::{ConfigurationView, SearchedView};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

// Configurations that are kept; of the others only their hash.
const WARM: usize = 512;

// Agents that are read together when the server starts.
const AT_ONCE: i64 = 500;

const SETTLE: Duration = Duration::from_millis(200);

/// What was compiled lately.
#[derive(Default)]
pub(crate) struct Built {
    fleet: Mutex<Option<(Arc<Inventory>, Arc<Fleet>)>>,
    // The hash that each node was last told.
    nodes: Mutex<HashMap<String, String>>,
    warm: Mutex<HashMap<String, Arc<Configuration>>>,
}

impl std::fmt::Debug for Built {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Built").finish_non_exhaustive()
    }
}

/// The configuration of a node, and all that it was made of.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) hash: String,
    pub(crate) bundle: String,
    pub(crate) view: View,
    pub(crate) compiled: Compiled,
}

// All that a compile of one node needs.
struct Ingredients {
    fleet: Arc<Fleet>,
    bundle: Arc<Bundle>,
    bundle_hash: String,
    facts: Value,
}

impl Control {
    /// What a node is built to be.
    ///
    /// # Errors
    /// `not-found`; `recipe-invalid` with findings.
    pub async fn show_configuration(&self, _actor: &Actor, node: &str) -> Result<ConfigurationView> {
        let found = self.configuration(node).await?;
        let view = &found.view;
        let searches = found.compiled.searches.iter();
        Ok(ConfigurationView {
            node: node.to_owned(),
            hash: found.hash.clone(),
            bundle: found.bundle.clone(),
            environment: view.environment.clone(),
            datacenter: view.datacenter.as_ref().map(|dc| dc.name.clone()).unwrap_or_default(),
            roles: view.run_list.roles.clone(),
            expanded_roles: view.run_list.expanded.clone(),
            recipes: view.run_list.recipes.iter().map(|item| item.recipe.clone()).collect(),
            apps: view
                .apps
                .iter()
                .map(|app| (app.descriptor.name().to_string(), app.release.commit.clone()))
                .collect(),
            configuration: found.compiled.configuration.clone(),
            searches: searches
                .map(|searched| SearchedView {
                    kind: searched.kind.clone(),
                    query: searched.query.clone(),
                })
                .collect(),
            warnings: found.compiled.warnings.clone(),
        })
    }

    /// The configuration of a node of the inventory with its hash: what its agent should make true.
    ///
    /// # Errors
    /// `not-found`; `recipe-invalid` with findings.
    pub async fn inventory_configuration(&self, node: &str) -> Result<(String, NodeConfiguration)> {
        let found = self.configuration(node).await?;
        Ok((found.hash.clone(), found.compiled.configuration.clone()))
    }

    /// Compiles again what was asked for before, where something that went into it has changed, and wakes those who wait for
    /// the nodes whose configuration is another one now: topic `configuration:NODE`. Gives their names.
    ///
    /// # Errors
    /// The store's.
    pub async fn refresh_configurations(&self) -> Result<Vec<String>> {
        let known: Vec<(String, String)> = lock(&self.built.nodes).clone().into_iter().collect();
        let mut changed = Vec::new();
        for (node, hash) in known {
            match self.configuration(&node).await {
                Ok(now) if now.hash == hash => {}
                // A node that is gone or does not compile any more keeps what it has.
                Err(error) if error.fault.code != "recipe-invalid" && error.fault.code != "not-found" => return Err(error),
                Err(_) => {
                    lock(&self.built.nodes).remove(&node);
                }
                Ok(_) => changed.push(node),
            }
            tokio::task::yield_now().await;
        }
        if !changed.is_empty() {
            let mut tx = self.store.journal().await?;
            for node in &changed {
                tx.touch(format!("configuration:{node}"));
            }
            tx.commit().await?;
        }
        Ok(changed)
    }

    /// Makes what a node's roles and apps say the wish that its agent is told. A node without an agent, or whose roles and apps
    /// say nothing, keeps what it has: that may be what someone assigned by hand.
    ///
    /// # Errors
    /// `recipe-invalid` with findings, or the store's; the agent then keeps what it has.
    pub async fn deliver_configuration(&self, node: &str) -> Result<()> {
        let Some(agent) = self.store.agent_named(node).await? else {
            return Ok(());
        };
        let found = self.configuration(node).await?;
        let wanted = &found.compiled.configuration;
        if wanted.states.is_empty() || agent.desired.as_ref() == Some(&found.hash) {
            return Ok(());
        }
        let mut tx = self.store.journal().await?;
        tx.set_agent_desired(&agent.node, &found.hash, wanted).await?;
        tx.commit().await?;
        Ok(())
    }

    /// As [`Self::deliver_configuration`], where nobody waits for the answer.
    pub(crate) async fn try_deliver(&self, node: &str) {
        if let Err(error) = self.deliver_configuration(node).await {
            tracing::warn!(node, %error, "the node's agent keeps the configuration it has");
        }
    }

    async fn deliver_all(&self) -> Result<()> {
        let mut after = String::new();
        loop {
            let agents = self.store.agents(&after, AT_ONCE).await?;
            let Some(last) = agents.last() else { return Ok(()) };
            last.name.clone_into(&mut after);
            for agent in &agents {
                self.try_deliver(&agent.name).await;
            }
        }
    }

    /// Refreshes and delivers whenever the inventory has changed, until it is told to stop.
    pub async fn keep_configurations(&self, stop: CancellationToken) {
        let mut changes = self.changes();
        if let Err(error) = self.deliver_all().await {
            tracing::warn!(%error, "configurations could not be looked at when the server started");
        }
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                change = changes.recv() => change,
            };
            let concerns = match changed {
                Ok(change) => change.topics.iter().any(|topic| topic == "inventory" || topic == "*"),
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            };
            if !concerns {
                continue;
            }
            // What changes together, such as files that are applied, is looked at once.
            tokio::time::sleep(SETTLE).await;
            changes = changes.resubscribe();
            match self.refresh_configurations().await {
                Err(error) => tracing::warn!(%error, "configurations could not be refreshed"),
                Ok(changed) => {
                    for node in &changed {
                        self.try_deliver(node).await;
                    }
                }
            }
        }
    }

    /// The configuration of a node as the inventory is now.
    pub(crate) async fn configuration(&self, node: &str) -> Result<Arc<Configuration>> {
        let fleet = self.fleet_now();
        let object = find_node(fleet.inventory(), node)?;
        let commits = self.commits(fleet.inventory(), [&object]).await;
        let pointer = production::bundle(fleet.inventory(), &object);
        let bundle = self.bundles.get(pointer).await?;
        let ingredients = Ingredients {
            bundle_hash: pointer.unwrap_or(self.bundles.own_hash()).to_owned(),
            facts: self.facts_of(node).await?,
            bundle,
            fleet,
        };
        let built = self
            .build(&ingredients, &object, &commits)
            .map_err(|found| does_not_compile(node, found))?;
        lock(&self.built.nodes).insert(node.to_owned(), built.hash.clone());
        Ok(built)
    }

    /// The fleet as it is now.
    pub(super) fn fleet_now(&self) -> Arc<Fleet> {
        let now = self.store.inventory();
        let mut kept = lock(&self.built.fleet);
        if let Some((inventory, fleet)) = &*kept
            && Arc::ptr_eq(inventory, &now)
        {
            return Arc::clone(fleet);
        }
        let fleet = Arc::new(Fleet::new((*now).clone()));
        *kept = Some((now, Arc::clone(&fleet)));
        fleet
    }

    async fn facts_of(&self, node: &str) -> Result<Value> {
        Ok(self.store.facts(node).await?.map_or_else(|| json!({}), |facts| facts.body))
    }

    /// The commits of the revisions that these nodes' apps should be at, each asked for once.
    async fn commits<'n>(&self, inventory: &Inventory, nodes: impl IntoIterator<Item = &'n Node>) -> Commits {
        let wanted: BTreeSet<(AppName, String)> = nodes
            .into_iter()
            .flat_map(|node| production::revisions(inventory, node))
            .collect();
        let mut commits = Commits::new();
        for (app, revision) in wanted {
            let commit = self.commit(inventory, &app, &revision).await;
            commits.insert((app, revision), commit);
        }
        commits
    }

    async fn commit(&self, inventory: &Inventory, app: &AppName, revision: &str) -> std::result::Result<String, String> {
        if let Ok(commit) = revision.parse::<CommitId>() {
            return Ok(commit.as_str().to_owned());
        }
        let record = inventory.app(app).ok_or_else(|| "the app is not registered".to_owned())?;
        let name: RevisionName = revision.parse().map_err(|e| format!("{e}"))?;
        let repository = &record.descriptor.spec.repository;
        let found = self.mirrors.resolve(repository, &name, false).await;
        found
            .map(|found| found.commit.as_str().to_owned())
            .map_err(|fault| fault.to_string())
    }

    // What is kept where nothing that goes into it has changed; compiled anew otherwise.
    fn build(
        &self,
        with: &Ingredients,
        node: &Node,
        commits: &Commits,
    ) -> std::result::Result<Arc<Configuration>, Vec<Diagnostic>> {
        let view = production::of_node(with.fleet.inventory(), node, with.facts.clone(), commits)?;
        let input = input_hash(&with.bundle_hash, &view);
        let same = |kept: &Arc<Configuration>| {
            kept.compiled.searches.iter().all(|searched| {
                let answer = with.fleet.search(&searched.kind, &searched.query);
                answer.is_ok_and(|found| answer_hash(&found) == searched.answer)
            })
        };
        let kept = lock(&self.built.warm).get(&input).cloned();
        if let Some(kept) = kept.filter(same) {
            return Ok(kept);
        }
        let search: Arc<dyn Search> = Arc::<Fleet>::clone(&with.fleet);
        let compiled = compile_with(&with.bundle, &view, search)?;
        let built = Arc::new(Configuration {
            hash: compiled.configuration.hash().unwrap_or_default(),
            bundle: with.bundle_hash.clone(),
            view,
            compiled,
        });
        let mut warm = lock(&self.built.warm);
        if warm.len() >= WARM {
            warm.clear();
        }
        warm.insert(input, Arc::clone(&built));
        drop(warm);
        Ok(built)
    }
}

fn find_node(inventory: &Inventory, name: &str) -> Result<Node> {
    let missing = || ControlError::not_found("node", name);
    let parsed: NodeName = name.parse().map_err(|_| missing())?;
    inventory.node(&parsed).map(|record| record.body.clone()).ok_or_else(missing)
}

fn does_not_compile(node: &str, found: Vec<Diagnostic>) -> ControlError {
    let mut error = ControlError::new("recipe-invalid", format!("The recipes do not compile for {node}"));
    error.fault.why = found.first().map(|d| d.message.clone()).unwrap_or_default();
    error.diagnostics = found;
    error
}

fn input_hash(bundle: &str, view: &View) -> String {
    let mut hash = Sha256::new();
    hash.update(bundle.as_bytes());
    hash.update(serde_json::to_vec(view).unwrap_or_default());
    crate::model::secret::hex("", &hash.finalize())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
