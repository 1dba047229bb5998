//! What depends on what: along the edges of the apps, and down to the nodes that run them.

use crate::control::{Control, ControlError, Result};
use crate::model::actor::Actor;
use crate::model::inventory::{Node, ObjectKind};
use crate::model::name::{AppName, EnvironmentName};
use crate::model::stack::StackState;
use crate::store::inventory::Inventory;
use crate::store::stacks::StackQuery;
use crate::wire::inventory::{DependenciesView, EdgeView, EndpointView, ImpactView, RunningView, StoppedView};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss<'a> {
    /// One node.
    Node(&'a str),
    /// All nodes of a datacenter.
    Datacenter(&'a str),
}

/// Where apps are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Where<'a> {
    /// Only this app.
    pub app: Option<&'a str>,
    /// Only this environment.
    pub environment: Option<&'a str>,
    /// Only this datacenter; for endpoints: nodes of it first.
    pub datacenter: Option<&'a str>,
}

impl Control {
    /// The apps that an app needs, directly or (`transitive`) through others, and where each is reached in an environment.
    ///
    /// # Errors
    /// `not-found` for an app, environment or datacenter that there is not.
    pub async fn dependencies(&self, _actor: &Actor, app: &str, transitive: bool, place: Where<'_>) -> Result<DependenciesView> {
        let inventory = self.store.inventory();
        let needs = |app: &AppName| -> Vec<(AppName, AppName, bool)> {
            let record = inventory.app(app);
            let edges = record.into_iter().flat_map(|record| &record.descriptor.spec.depends_on);
            edges.map(|edge| (app.clone(), edge.app.clone(), edge.optional)).collect()
        };
        let mut view = walk(&inventory, app, transitive, place, needs, |edge| &edge.1)?;
        if let Some(environment) = place.environment {
            let now = self.now();
            for edge in &mut view.edges {
                let nodes = inventory.nodes.values().map(|node| &node.body);
                let there = nodes.filter(|node| {
                    node.spec.environment.as_str() == environment
                        && node.spec.apps.iter().any(|on| on.app.as_str() == edge.to)
                        && !node.is_in_maintenance(now)
                });
                edge.endpoints = there.map(|node| endpoint(&inventory, node, &edge.to)).collect();
                edge.endpoints
                    .sort_by_key(|endpoint| (Some(endpoint.datacenter.as_str()) != place.datacenter, endpoint.node.clone()));
            }
        }
        Ok(view)
    }

    /// The apps that need an app, directly or (`transitive`) through others.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn dependents(&self, _actor: &Actor, app: &str, transitive: bool) -> Result<DependenciesView> {
        let inventory = self.store.inventory();
        let needed_by = |app: &AppName| -> Vec<(AppName, AppName, bool)> {
            let all = inventory.apps.iter().flat_map(|(name, record)| {
                let edges = record.descriptor.spec.depends_on.iter().filter(|edge| edge.app == *app);
                edges.map(|edge| (name.clone(), app.clone(), edge.optional))
            });
            all.collect()
        };
        walk(&inventory, app, transitive, Where::default(), needed_by, |edge| &edge.0)
    }

    /// What would stop if a node or a datacenter went away: apps that run nowhere else, and the apps that need those.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn impact(&self, _actor: &Actor, loss: Loss<'_>) -> Result<ImpactView> {
        let inventory = self.store.inventory();
        let is_lost = |node: &Node| match loss {
            Loss::Node(name) => node.name().as_str() == name,
            Loss::Datacenter(name) => node.spec.datacenter.as_str() == name,
        };
        match loss {
            Loss::Node(name) if super::view(&inventory, ObjectKind::Node, name).is_none() => {
                return Err(ControlError::not_found("node", name));
            }
            Loss::Datacenter(name) => require(
                &inventory,
                Where {
                    datacenter: Some(name),
                    ..Where::default()
                },
            )?,
            Loss::Node(_) => {}
        }
        let now = self.now();
        let mut view = ImpactView {
            nodes: Vec::new(),
            stops: Vec::new(),
            weakened: Vec::new(),
        };
        // How many nodes run each app in each environment: now, and after the loss.
        let mut counts: BTreeMap<(EnvironmentName, AppName), (usize, usize)> = BTreeMap::new();
        for node in inventory.nodes.values().map(|record| &record.body) {
            let lost = is_lost(node);
            if lost {
                view.nodes.push(node.name().to_string());
            }
            for on in &node.spec.apps {
                let count = counts.entry((node.spec.environment.clone(), on.app.clone())).or_default();
                if !node.is_in_maintenance(now) {
                    count.0 += 1;
                    count.1 += usize::from(!lost);
                }
            }
        }
        let mut stopped: BTreeMap<(EnvironmentName, AppName), String> = BTreeMap::new();
        for ((environment, app), (before, after)) in &counts {
            if after < before && *after == 0 {
                let because = "it runs nowhere else".to_owned();
                stopped.insert((environment.clone(), app.clone()), because);
            }
        }
        // Whoever needs a stopped app stops too, and so on.
        loop {
            let mut more = Vec::new();
            for (environment, app) in counts.keys() {
                let key = (environment.clone(), app.clone());
                if stopped.contains_key(&key) {
                    continue;
                }
                let needs = inventory
                    .app(app)
                    .into_iter()
                    .flat_map(|record| &record.descriptor.spec.depends_on);
                let broken = needs
                    .filter(|edge| !edge.optional)
                    .find(|edge| stopped.contains_key(&(environment.clone(), edge.app.clone())));
                if let Some(edge) = broken {
                    more.push((key, format!("it needs {}, which stops", edge.app)));
                }
            }
            if more.is_empty() {
                break;
            }
            stopped.extend(more);
        }
        for ((environment, app), (before, after)) in counts {
            let because = stopped.get(&(environment.clone(), app.clone()));
            let line = |because: String| StoppedView {
                app: app.to_string(),
                environment: environment.to_string(),
                left: after,
                because,
            };
            match because {
                Some(because) => view.stops.push(line(because.clone())),
                None if after < before => view.weakened.push(line(format!("it runs on {before} nodes now"))),
                None => {}
            }
        }
        Ok(view)
    }

    /// What runs where: on each node the revision that is declared and the one it reports, and the apps of stacks.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn running(&self, _actor: &Actor, place: Where<'_>) -> Result<Vec<RunningView>> {
        let inventory = self.store.inventory();
        let mut observed = self.store.observed_revisions().await?;
        let mut all = Vec::new();
        for node in inventory.nodes.values().map(|record| &record.body) {
            let spec = &node.spec;
            let is_there = place.environment.is_none_or(|name| spec.environment.as_str() == name)
                && place.datacenter.is_none_or(|name| spec.datacenter.as_str() == name);
            if !is_there {
                continue;
            }
            for on in &spec.apps {
                if place.app.is_some_and(|name| on.app.as_str() != name) {
                    continue;
                }
                let declared = declared_revision(&inventory, node, &on.app);
                let observed = observed.remove(&(node.name().to_string(), on.app.to_string()));
                all.push(RunningView {
                    app: on.app.to_string(),
                    node: node.name().to_string(),
                    environment: spec.environment.to_string(),
                    datacenter: spec.datacenter.to_string(),
                    drifted: observed.as_ref().map(|observed| *observed != declared),
                    declared,
                    observed,
                });
            }
        }
        if place.datacenter.is_none() && place.environment.is_none_or(|name| name == "staging") {
            let query = StackQuery {
                limit: 1_000,
                ..StackQuery::default()
            };
            for stack in self.store.stacks(&query).await?.0 {
                for app in stack
                    .spec
                    .apps
                    .iter()
                    .filter(|app| place.app.is_none_or(|name| app.app.as_str() == name))
                {
                    let settled = stack.state == StackState::Ready;
                    all.push(RunningView {
                        app: app.app.to_string(),
                        node: stack.name.to_string(),
                        environment: "staging".to_owned(),
                        datacenter: String::new(),
                        declared: app.revision.clone(),
                        observed: settled.then(|| app.revision.clone()),
                        drifted: settled.then_some(false),
                    });
                }
            }
        }
        all.sort_by(|a, b| {
            (&a.app, &a.environment, &a.datacenter, &a.node).cmp(&(&b.app, &b.environment, &b.datacenter, &b.node))
        });
        Ok(all)
    }
}

fn walk(
    inventory: &Inventory,
    app: &str,
    transitive: bool,
    place: Where<'_>,
    edges_of: impl Fn(&AppName) -> Vec<(AppName, AppName, bool)>,
    next: impl Fn(&(AppName, AppName, bool)) -> &AppName,
) -> Result<DependenciesView> {
    let name: AppName = app.parse().map_err(|_| ControlError::not_found("app", app))?;
    inventory.app(&name).ok_or_else(|| ControlError::not_found("app", app))?;
    require(inventory, place)?;
    let mut edges = Vec::new();
    let mut seen = BTreeSet::from([name.clone()]);
    let mut open = VecDeque::from([(name, 1)]);
    while let Some((at, distance)) = open.pop_front() {
        for edge in edges_of(&at) {
            let further = next(&edge).clone();
            edges.push(EdgeView {
                from: edge.0.to_string(),
                to: edge.1.to_string(),
                optional: edge.2,
                distance,
                endpoints: Vec::new(),
            });
            if transitive && seen.insert(further.clone()) {
                open.push_back((further, distance + 1));
            }
        }
    }
    Ok(DependenciesView {
        app: app.to_owned(),
        environment: place.environment.map(str::to_owned),
        datacenter: place.datacenter.map(str::to_owned),
        edges,
    })
}

/// The revision that an app should have on a node: the node's, else the environment's, else the app's default.
pub fn declared_revision(inventory: &Inventory, node: &Node, app: &AppName) -> String {
    let on = node.spec.apps.iter().find(|on| on.app == *app);
    let own = on.and_then(|on| on.revision.as_ref());
    let environment = inventory.environments.get(&node.spec.environment);
    let theirs = environment.and_then(|e| e.body.spec.apps.get(app)?.revision.as_ref());
    own.or(theirs)
        .map(ToString::to_string)
        .or_else(|| Some(inventory.app(app)?.descriptor.spec.default_ref.clone()))
        .unwrap_or_default()
}

fn endpoint(inventory: &Inventory, node: &Node, app: &str) -> EndpointView {
    let ports = app
        .parse()
        .ok()
        .and_then(|app| inventory.app(&app))
        .into_iter()
        .flat_map(|record| &record.descriptor.spec.ports)
        .filter_map(|(name, port)| Some((name.clone(), port.port?)))
        .collect();
    EndpointView {
        node: node.name().to_string(),
        datacenter: node.spec.datacenter.to_string(),
        address: node.address().to_owned(),
        ports,
    }
}

fn require(inventory: &Inventory, place: Where<'_>) -> Result<()> {
    for (kind, name) in [
        (ObjectKind::Environment, place.environment),
        (ObjectKind::Datacenter, place.datacenter),
    ] {
        if let Some(name) = name
            && super::view(inventory, kind, name).is_none()
        {
            return Err(ControlError::not_found(kind.as_str(), name));
        }
    }
    Ok(())
}
