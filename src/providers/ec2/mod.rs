//! The EC2 provider: a node is an instance, found again by its tags.
//!
//! Instances are EC2's and outlive everything of ours, so nothing here trusts memory: each verb begins with what EC2 lists under our
//! tag. Listings are shared ([`look`]), launches carry a token ([`launch`]), and what was asked for is on disk before it is asked
//! ([`record`]). The invariant: at most one instance of a node lives, and `destroy` says that nothing is left only once EC2 has
//! had the time to show what was launched last.

mod account;
mod beside;
mod check;
mod errors;
mod images;
mod launch;
mod life;
mod look;
mod options;
mod record;
mod tags;

pub use options::{Ec2Options, FirstStart, Pace, Reach};

use super::{
    Capabilities, FencingToken, Finding, Image, Inside, Layout, NodeHandle, NodeSpec, Observed, Owned, Provider, ProviderError,
    failed, fences,
};
use crate::clock::{Clock, SystemClock};
use crate::model::id::NodeId;
use account::Account;
use async_trait::async_trait;
use aws_sdk_ec2::Client;
use look::{Fleet, Lookout, Seen};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::Instant;

// Launches at once: EC2 counts them, and each of them is several calls.
const LAUNCHES: usize = 8;

/// See the module.
#[derive(Debug, Clone)]
pub struct Ec2(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: Ec2Options,
    root: PathBuf,
    account: Account,
    lookout: Lookout,
    launches: Semaphore,
    bases: images::Bases,
    // Calls about one node come one after the other.
    busy: Mutex<HashMap<NodeId, Arc<Turn<()>>>>,
    // When we last changed a node: what was seen before that is not how it is.
    changed: Mutex<HashMap<NodeId, Instant>>,
}

impl Ec2 {
    /// A provider of instances with these settings. The account is found out now; whether it may do what is needed is for `check`.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub async fn new(options: Ec2Options) -> Result<Self, ProviderError> {
        let root = options.folder.clone();
        std::fs::create_dir_all(root.join(fences::FOLDER))
            .map_err(|e| failed("the folder of the EC2 provider cannot be made", &e))?;
        let account = account::find(&options).await;
        Ok(Self(Arc::new(Inner {
            lookout: Lookout::new(&options.owner, options.pace.spacing),
            root,
            account,
            launches: Semaphore::new(LAUNCHES),
            bases: images::Bases::default(),
            busy: Mutex::default(),
            changed: Mutex::default(),
            options,
        })))
    }

    // In a task of its own, so that a caller who goes away leaves it to come to its end.
    async fn with_node<T, F, W>(&self, node: &NodeId, work: W) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ProviderError>> + Send,
        W: FnOnce(Arc<Inner>) -> F + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let turn = {
            let mut busy = inner.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(busy.entry(node.clone()).or_default())
        };
        let node = node.clone();
        let done = tokio::spawn(async move {
            let _turn = turn.lock().await;
            let done = work(Arc::clone(&inner)).await;
            inner.touch(&node);
            done
        });
        done.await.unwrap_or_else(|error| {
            Err(ProviderError::Retry {
                why: format!("the EC2 provider failed: {error}"),
            })
        })
    }
}

impl Inner {
    fn client(&self) -> &Client {
        &self.account.client
    }

    fn point(&self, name: &str) -> Result<(), ProviderError> {
        match &self.options.interrupt {
            Some(interrupt) if interrupt(name) => Err(ProviderError::Retry {
                why: format!("interrupted at {name}"),
            }),
            _ => Ok(()),
        }
    }

    fn touch(&self, node: &NodeId) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = self.options.pace.fresh;
        changed.retain(|_, at| at.elapsed() <= fresh);
        changed.insert(node.clone(), Instant::now());
    }

    // The fleet as it is now.
    async fn look(&self) -> Result<Arc<Fleet>, ProviderError> {
        self.lookout.since(self.client(), Instant::now()).await
    }

    async fn see(&self, node: &NodeId) -> Result<Vec<Seen>, ProviderError> {
        Ok(self.look().await?.get(node).cloned().unwrap_or_default())
    }

    // The fleet as it was a moment ago, unless that is before we changed this node.
    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        let now = Instant::now();
        let recently = now.checked_sub(self.options.pace.fresh).unwrap_or(now);
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied();
        let earliest = changed.map_or(recently, |changed| changed.max(recently));
        let fleet = self.lookout.since(self.client(), earliest).await?;
        let instances = fleet.get(node).map(Vec::as_slice).unwrap_or_default();
        Ok(instances
            .iter()
            .map(|seen| seen.state.observed())
            .max_by_key(|observed| *observed == Observed::Running)
            .unwrap_or(Observed::Gone))
    }

    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        fences::raise(&self.root, &spec.node, token)?;
        let seen = self.one_of(&spec.node).await?;
        self.point("looked")?;
        let found = seen.is_some();
        let (id, ports) = if let Some(seen) = seen {
            let ports = self.give_ports(&seen.ports, &spec.ports)?;
            if ports != seen.ports {
                self.keep_ports(&seen.id, &ports).await?;
            }
            (seen.id, ports)
        } else {
            let ports = self.give_ports(&BTreeMap::new(), &spec.ports)?;
            (self.launch(spec, &ports).await?, ports)
        };
        let seen = match self.up(&spec.node, &id).await {
            // EC2 gave back what this node had before it was destroyed; the next token is another.
            Err(ProviderError::Known { fault, .. }) if !found && fault.code == "ec2-instance-lost" => {
                let id = self.launch(spec, &ports).await?;
                self.up(&spec.node, &id).await?
            }
            up => up?,
        };
        self.point("running")?;
        let ports = ports.into_iter().filter(|(name, _)| spec.ports.contains(name)).collect();
        self.handle(&seen, ports).await
    }

    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let seen = self.one_of(node).await?.ok_or_else(|| nowhere(node))?;
        fences::raise(&self.root, node, token)?;
        let seen = self.up(node, &seen.id).await?;
        let ports = seen.ports.clone();
        self.handle(&seen, ports).await
    }

    // Ports that were given stay; a new one gets the first that is free.
    fn give_ports(&self, given: &BTreeMap<String, u16>, wanted: &[String]) -> Result<BTreeMap<String, u16>, ProviderError> {
        let mut ports = given.clone();
        for name in wanted {
            if !ports.contains_key(name) {
                let free = (self.options.first_port..u16::MAX).find(|port| !ports.values().any(|taken| taken == port));
                let port = free.ok_or_else(|| ProviderError::Quota {
                    why: format!("there is no port after {}", self.options.first_port),
                })?;
                ports.insert(name.clone(), port);
            }
        }
        Ok(ports)
    }

    async fn handle(&self, seen: &Seen, ports: BTreeMap<String, u16>) -> Result<NodeHandle, ProviderError> {
        let address = match self.options.reach {
            Reach::Public => seen.public.clone(),
            Reach::Private => seen.private.clone(),
            Reach::Elastic => Some(self.elastic_address(seen).await?),
        };
        let address = address.ok_or_else(|| ProviderError::Denied {
            why: format!(
                "{} has no {:?} address: the subnet gives none, so set ec2.address to another kind",
                seen.id, self.options.reach
            ),
        })?;
        let inside = seen.private.clone().filter(|private| *private != address);
        Ok(NodeHandle {
            external_id: seen.id.clone(),
            inside: inside.map(|address| Inside {
                address,
                ports: ports.clone(),
            }),
            address,
            ports,
            layout: Layout::of_servers(),
            confined_to: None,
            isolation: ISOLATION.to_owned(),
        })
    }
}

const ISOLATION: &str = "EC2: a virtual machine of its own; its security groups say what reaches it and what it reaches";

fn now() -> i64 {
    SystemClock.now().0
}

fn nowhere(node: &NodeId) -> ProviderError {
    ProviderError::Denied {
        why: format!("there is no instance of the node {node}"),
    }
}

#[async_trait]
impl Provider for Ec2 {
    fn name(&self) -> &'static str {
        "ec2"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            installs_packages: true,
            whole_machine: true,
            bakes: true,
            isolation: ISOLATION.to_owned(),
        }
    }

    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let wanted = spec.clone();
        self.with_node(&spec.node, move |inner| async move { inner.ensure(&wanted, token).await })
            .await
    }

    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        self.0.observe(node).await
    }

    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| async move {
            let Some(seen) = inner.one_of(&wanted).await? else {
                return Ok(Observed::Gone);
            };
            Ok(inner.up(&wanted, &seen.id).await?.state.observed())
        })
        .await
    }

    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| async move { inner.stop(&wanted, token).await })
            .await
    }

    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| async move { inner.start(&wanted, token).await })
            .await
    }

    async fn bake(&self, node: &NodeId, key: &str, token: FencingToken) -> Result<Image, ProviderError> {
        let (wanted, key) = (node.clone(), key.to_owned());
        self.with_node(node, move |inner| async move { inner.bake(&wanted, &key, token).await })
            .await
    }

    async fn images(&self) -> Result<Vec<Image>, ProviderError> {
        self.0.images().await
    }

    async fn remove_image(&self, external_id: &str) -> Result<(), ProviderError> {
        self.0.remove_image(external_id).await
    }

    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        let wanted = node.clone();
        self.with_node(node, move |inner| async move {
            fences::raise(&inner.root, &wanted, token)?;
            inner.point("fenced")?;
            inner.end(&wanted).await?;
            inner.point("removed")?;
            record::forget(&inner.root, &wanted)?;
            fences::prune(&inner.root, std::time::SystemTime::now());
            Ok(())
        })
        .await
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        let fleet = self.0.look().await?;
        let mut all: Vec<Owned> = Vec::new();
        for seen in fleet.values().flatten() {
            all.push(Owned {
                node: seen.node.clone(),
                external_id: seen.id.clone(),
                observed: seen.state.observed(),
            });
        }
        for (node, external_id) in self.0.beside().await? {
            if !fleet.contains_key(&node) {
                all.push(Owned {
                    node,
                    external_id,
                    observed: Observed::Stopped,
                });
            }
        }
        Ok(all)
    }

    async fn check(&self) -> Vec<Finding> {
        self.0.check().await
    }
}
