//! A provider in memory, for tests of those who use providers: it keeps the contract and fails on demand.

use super::{Capabilities, FencingToken, Image, Layout, NodeHandle, NodeSpec, Observed, Owned, Provider, ProviderError};
use crate::model::id::NodeId;
use async_trait::async_trait;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a call goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It fails and has had no effect.
    Before(ProviderError),
    /// It fails and has had its effect: the answer was lost.
    After(ProviderError),
}

/// How often each verb was called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// `ensure`.
    pub ensure: u32,
    /// Nodes that `ensure` really made.
    pub made: u32,
    /// `destroy`.
    pub destroy: u32,
    /// Nodes that `destroy` really removed.
    pub removed: u32,
    /// `revive`.
    pub revive: u32,
    /// Nodes that `stop` really stopped.
    pub stopped: u32,
    /// Nodes that `start` really started.
    pub started: u32,
}

/// See the module. Clones share the same nodes.
#[derive(Debug, Clone, Default)]
pub struct Fake(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<NodeId, Node>,
    fences: BTreeMap<NodeId, FencingToken>,
    ensure_troubles: VecDeque<Trouble>,
    destroy_troubles: VecDeque<Trouble>,
    images: BTreeMap<String, Image>,
    delay: Duration,
    calls: Calls,
}

#[derive(Debug, Clone)]
struct Node {
    ports: BTreeMap<String, u16>,
    agent: bool,
}

impl Fake {
    /// Lets the next calls of `ensure` go wrong, one trouble each.
    pub fn trouble_ensure(&self, trouble: Trouble) {
        self.state().ensure_troubles.push_back(trouble);
    }

    /// Lets the next calls of `destroy` go wrong, one trouble each.
    pub fn trouble_destroy(&self, trouble: Trouble) {
        self.state().destroy_troubles.push_back(trouble);
    }

    /// Lets `ensure` and `destroy` take this long from now on.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Ends the agent of a node, as a crash would.
    pub fn kill_agent(&self, node: &NodeId) {
        if let Some(node) = self.state().nodes.get_mut(node) {
            node.agent = false;
        }
    }

    /// Lets a newer controller have been here: older tokens are refused from now on.
    pub fn fence(&self, node: &NodeId, token: FencingToken) {
        self.state().fences.insert(node.clone(), token);
    }

    /// How often each verb was called.
    pub fn calls(&self) -> Calls {
        self.state().calls
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self) {
        let delay = self.state().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

impl State {
    fn raise(&mut self, node: &NodeId, given: FencingToken) -> Result<(), ProviderError> {
        match self.fences.get(node) {
            Some(&seen) if given < seen => Err(ProviderError::Fenced { given, seen }),
            _ => {
                self.fences.insert(node.clone(), given);
                Ok(())
            }
        }
    }

    fn ensure(&mut self, spec: &NodeSpec) -> Result<NodeHandle, ProviderError> {
        let mut used: Vec<u16> = self.nodes.values().flat_map(|n| n.ports.values().copied()).collect();
        let calls = &mut self.calls;
        let node = self.nodes.entry(spec.node.clone()).or_insert_with(|| {
            calls.made += 1;
            Node {
                ports: BTreeMap::new(),
                agent: true,
            }
        });
        node.agent = true;
        for name in &spec.ports {
            if !node.ports.contains_key(name) {
                let free = (30_000..31_000).find(|port| !used.contains(port));
                let port = free.ok_or_else(|| ProviderError::Quota {
                    why: "all ports are taken".to_owned(),
                })?;
                used.push(port);
                node.ports.insert(name.clone(), port);
            }
        }
        let ports = node.ports.iter().filter(|(name, _)| spec.ports.contains(name));
        Ok(handle(&spec.node, ports.map(|(name, port)| (name.clone(), *port)).collect()))
    }

    fn found(&mut self, id: &NodeId) -> Result<&mut Node, ProviderError> {
        self.nodes.get_mut(id).ok_or_else(|| ProviderError::Denied {
            why: format!("there is no node {id}"),
        })
    }

    fn observe(&self, node: &NodeId) -> Observed {
        match self.nodes.get(node) {
            None => Observed::Gone,
            Some(node) if node.agent => Observed::Running,
            Some(_) => Observed::Stopped,
        }
    }
}

fn handle(node: &NodeId, ports: BTreeMap<String, u16>) -> NodeHandle {
    let place = |name: &str| format!("/fake/{node}/{name}");
    NodeHandle {
        external_id: format!("fake/{node}"),
        address: "127.0.0.1".to_owned(),
        ports,
        inside: None,
        layout: Layout {
            apps: place("apps"),
            data: place("data"),
            config: place("config"),
            logs: place("logs"),
        },
        confined_to: Some(format!("/fake/{node}")),
        isolation: "fake: nothing runs".to_owned(),
    }
}

#[async_trait]
impl Provider for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            installs_packages: false,
            whole_machine: false,
            bakes: true,
            isolation: "fake: nothing runs".to_owned(),
        }
    }

    async fn ensure(&self, spec: &NodeSpec, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        self.wait().await;
        let mut state = self.state();
        state.calls.ensure += 1;
        state.raise(&spec.node, token)?;
        match state.ensure_troubles.pop_front() {
            Some(Trouble::Before(error)) => Err(error),
            Some(Trouble::After(error)) => {
                state.ensure(spec)?;
                Err(error)
            }
            None => state.ensure(spec),
        }
    }

    async fn observe(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        Ok(self.state().observe(node))
    }

    async fn revive(&self, node: &NodeId) -> Result<Observed, ProviderError> {
        let mut state = self.state();
        state.calls.revive += 1;
        if let Some(node) = state.nodes.get_mut(node) {
            node.agent = true;
        }
        Ok(state.observe(node))
    }

    async fn stop(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.wait().await;
        let mut state = self.state();
        state.raise(node, token)?;
        if std::mem::take(&mut state.found(node)?.agent) {
            state.calls.stopped += 1;
        }
        Ok(())
    }

    async fn start(&self, node: &NodeId, token: FencingToken) -> Result<NodeHandle, ProviderError> {
        self.wait().await;
        let mut state = self.state();
        state.raise(node, token)?;
        let found = state.found(node)?;
        let ports = found.ports.clone();
        if !std::mem::replace(&mut found.agent, true) {
            state.calls.started += 1;
        }
        Ok(handle(node, ports))
    }

    async fn bake(&self, node: &NodeId, key: &str, token: FencingToken) -> Result<Image, ProviderError> {
        self.wait().await;
        let mut state = self.state();
        state.raise(node, token)?;
        if state.found(node)?.agent {
            return Err(ProviderError::Denied {
                why: format!("the node {node} runs"),
            });
        }
        let image = state.images.entry(key.to_owned()).or_insert_with(|| Image {
            key: key.to_owned(),
            external_id: format!("fake-image/{key}"),
            usable: true,
            bytes: Some(0),
        });
        Ok(image.clone())
    }

    async fn images(&self) -> Result<Vec<Image>, ProviderError> {
        Ok(self.state().images.values().cloned().collect())
    }

    async fn remove_image(&self, external_id: &str) -> Result<(), ProviderError> {
        self.state().images.retain(|_, image| image.external_id != external_id);
        Ok(())
    }

    async fn destroy(&self, node: &NodeId, token: FencingToken) -> Result<(), ProviderError> {
        self.wait().await;
        let mut state = self.state();
        state.calls.destroy += 1;
        state.raise(node, token)?;
        let trouble = state.destroy_troubles.pop_front();
        if let Some(Trouble::Before(error)) = trouble {
            return Err(error);
        }
        if state.nodes.remove(node).is_some() {
            state.calls.removed += 1;
        }
        match trouble {
            Some(Trouble::After(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        let state = self.state();
        Ok(state
            .nodes
            .keys()
            .map(|node| Owned {
                node: node.clone(),
                external_id: format!("fake/{node}"),
                observed: state.observe(node),
            })
            .collect())
    }
}
