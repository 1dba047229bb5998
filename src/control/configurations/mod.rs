//! What nodes of the inventory are built to be: compiled when somebody asks, and again only when something that went into it
//! has changed.
//!
//! Invariant: an answer is always that of the inventory as it is now. What is kept is found by the hash of all that goes into
//! a compile, and by the answers to the searches that it made.

mod explain;
mod fleet;
mod render;

pub(in crate::control) use fleet::{put, put_app, take};
pub use render::RenderOptions;

use super::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::configuration::NodeConfiguration;
use crate::model::diagnostic::Diagnostic;
use crate::model::id::NodeId;
use crate::model::inventory::Node;
use crate::model::name::{AppName, CommitId, NodeName, RevisionName};
use crate::plans::basis;
use crate::plans::fleet::Fleet;
use crate::plans::production::{self, Commits};
use crate::recipes::bundle::Bundle;
use crate::recipes::view::View;
use crate::recipes::{Compiled, Search, Searched, compile_with};
use crate::store::inventory::{Inventory, Record};
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

// Agents that are told of their configurations in one commit.
const DELIVERED_TOGETHER: usize = 100;

const SETTLE: Duration = Duration::from_millis(200);

/// What was compiled lately.
#[derive(Default)]
pub(crate) struct Built {
    fleet: Mutex<Option<(Arc<Inventory>, Arc<Fleet>)>>,
    // Nothing for a node that did not compile.
    nodes: Mutex<HashMap<String, Option<Known>>>,
    warm: Mutex<HashMap<String, Arc<Configuration>>>,
}

// What was last said of a node.
#[derive(Clone)]
struct Known {
    hash: String,
    basis: u64,
    searches: Arc<[Searched]>,
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
        let known = lock(&self.built.nodes).clone();
        let fleet = self.fleet_now();
        let of = |node: &str| Some(fleet.inventory().node(&node.parse().ok()?)?.clone());
        let there: Vec<Arc<Record<Node>>> = known.keys().filter_map(|node| of(node)).collect();
        let commits = self.commits(fleet.inventory(), there.iter().map(|record| &record.body)).await;
        let mut changed = Vec::new();
        for (node, known) in known {
            if let (Some(known), Some(record)) = (&known, of(&node))
                && basis::of_node(&fleet, &record, &commits, &known.searches) == known.basis
            {
                continue;
            }
            match self.configuration(&node).await {
                Ok(now) if known.is_some_and(|known| known.hash == now.hash) => {}
                Ok(_) => changed.push(node),
                Err(error) if error.fault.code == "not-found" => {
                    lock(&self.built.nodes).remove(&node);
                }
                // A node that does not compile keeps what it has, until it does.
                Err(error) if error.fault.code == "recipe-invalid" => {}
                Err(error) => return Err(error),
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

    /// Makes what a node's roles and apps say the wish that its agent is told: nothing, where they say nothing any more. A node
    /// without an agent, or that never had roles or apps which say anything, keeps what someone assigned by hand.
    ///
    /// # Errors
    /// `recipe-invalid` with findings, or the store's; the agent then keeps what it has.
    pub async fn deliver_configuration(&self, node: &str) -> Result<()> {
        match self.undelivered(node).await? {
            Some(wish) => self.deliver(&[wish]).await,
            None => Ok(()),
        }
    }

    // Whose agent is to be told of which configuration, where it is not told of it already.
    async fn undelivered(&self, node: &str) -> Result<Option<(NodeId, Arc<Configuration>)>> {
        let Some(agent) = self.store.agent_named(node).await? else {
            return Ok(None);
        };
        let found = self.configuration(node).await?;
        let is_kept = agent.by_hand || agent.desired.is_none();
        let told = match found.compiled.configuration.states.as_slice() {
            [] if is_kept => true,
            _ => !agent.by_hand && agent.desired.as_ref() == Some(&found.hash),
        };
        Ok((!told).then_some((agent.node, found)))
    }

    async fn deliver(&self, wishes: &[(NodeId, Arc<Configuration>)]) -> Result<()> {
        let mut tx = self.store.journal().await?;
        for (agent, found) in wishes {
            tx.set_agent_desired(agent, &found.hash, &found.compiled.configuration, false)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    // As `deliver_configuration` for many, in few commits and where nobody waits for the answer.
    async fn deliver_to(&self, nodes: &[String]) {
        for some in nodes.chunks(DELIVERED_TOGETHER) {
            let mut wishes = Vec::new();
            for node in some {
                match self.undelivered(node).await {
                    Ok(wish) => wishes.extend(wish),
                    Err(error) => tracing::warn!(node, %error, "the node's agent keeps the configuration it has"),
                }
            }
            if wishes.is_empty() {
                continue;
            }
            if let Err(error) = self.deliver(&wishes).await {
                tracing::warn!(%error, "{} agents keep the configurations they have", wishes.len());
            }
        }
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
            let names: Vec<String> = agents.into_iter().map(|agent| agent.name).collect();
            self.deliver_to(&names).await;
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
                Ok(changed) => self.deliver_to(&changed).await,
            }
        }
    }

    /// The configuration of a node as the inventory is now.
    pub(crate) async fn configuration(&self, node: &str) -> Result<Arc<Configuration>> {
        let fleet = self.fleet_now();
        let record = find_node(fleet.inventory(), node)?;
        let object = &record.body;
        let commits = self.commits(fleet.inventory(), [object]).await;
        let pointer = production::bundle(fleet.inventory(), object);
        let bundle = self.bundles.get(pointer).await?;
        let ingredients = Ingredients {
            bundle_hash: pointer.unwrap_or(self.bundles.own_hash()).to_owned(),
            facts: self.facts_of(node).await?,
            bundle,
            fleet,
        };
        let built = self.build(&ingredients, object, &commits);
        let known = match &built {
            Ok(built) => Some(Known {
                hash: built.hash.clone(),
                basis: basis::of_node(&ingredients.fleet, &record, &commits, &built.compiled.searches),
                searches: built.compiled.searches.as_slice().into(),
            }),
            Err(_) => None,
        };
        lock(&self.built.nodes).insert(node.to_owned(), known);
        built.map_err(|found| does_not_compile(node, found))
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
                let answer = with.fleet.answer(&searched.kind, &searched.query);
                answer.as_ref() == Some(&searched.answer)
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

pub(super) fn find_node(inventory: &Inventory, name: &str) -> Result<Arc<Record<Node>>> {
    let missing = || ControlError::not_found("node", name);
    let parsed: NodeName = name.parse().map_err(|_| missing())?;
    inventory.node(&parsed).cloned().ok_or_else(missing)
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
