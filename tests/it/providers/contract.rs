//! The contract that every provider keeps, told as behaviours and run over each of them. A new provider adds an [`Arena`].

use super::docker::DockerArena;
use super::sandbox::SandboxArena;
use async_trait::async_trait;
use greenroom::clock::{Ids, SystemIds};
use greenroom::model::id::{NodeId, StackId};
use greenroom::model::stack::Size;
use greenroom::providers::fake::{Fake, Trouble};
use greenroom::providers::{Bootstrap, FencingToken, Image, NodeHandle, NodeSpec, Observed, Provider, ProviderError};
use std::collections::{BTreeMap, BTreeSet};

/// A provider with what a test must be able to do to it.
#[async_trait]
pub trait Arena: Send + Sync {
    fn provider(&self) -> &dyn Provider;
    /// How many points there are at which `ensure` can be cut off.
    fn cuts(&self) -> usize;
    /// Lets the next `ensure` be cut off at this point, as by a kill of the server.
    fn cut(&self, point: usize);
    /// Kills the agent of a node.
    async fn kill_agent(&self, node: &NodeId);
    /// Everything that is left of a node, described.
    fn leftovers(&self, node: &NodeId) -> Vec<String>;
}

pub fn spec(ports: &[&str]) -> NodeSpec {
    NodeSpec {
        node: NodeId::from_bits(SystemIds.next()),
        stack: StackId::from_bits(SystemIds.next()),
        stack_name: "contract".into(),
        size: Size::Small,
        ports: ports.iter().map(|p| (*p).to_owned()).collect(),
        readable: Vec::new(),
        labels: BTreeMap::new(),
        image: None,
        bootstrap: Bootstrap {
            // Nobody listens there: the contract does not need the agent to have a server.
            server_url: "http://127.0.0.1:9".into(),
            token: "one-time".into(),
        },
    }
}

pub fn token(epoch: i64) -> FencingToken {
    FencingToken { term: 1, epoch }
}

async fn owned(arena: &dyn Arena) -> BTreeSet<NodeId> {
    let all = arena.provider().list_owned().await.unwrap();
    all.into_iter().map(|o| o.node).collect()
}

async fn a_node_made_twice_is_one(arena: &dyn Arena) {
    let provider = arena.provider();
    let spec = spec(&["shop/web", "shop/admin"]);
    assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Gone);
    let first = provider.ensure(&spec, token(1)).await.unwrap();
    let second = provider.ensure(&spec, token(1)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first.ports.keys().collect::<Vec<_>>(), ["shop/admin", "shop/web"]);
    assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Running);
    assert_eq!(owned(arena).await, BTreeSet::from([spec.node.clone()]));
    provider.destroy(&spec.node, token(1)).await.unwrap();
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
}

async fn a_call_that_was_cut_off_is_made_up_for(arena: &dyn Arena) {
    let provider = arena.provider();
    for point in 0..arena.cuts() {
        let spec = spec(&["shop/web"]);
        arena.cut(point);
        provider.ensure(&spec, token(1)).await.unwrap_err();
        let made = provider.ensure(&spec, token(2)).await.unwrap();
        assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Running);
        assert_eq!(provider.ensure(&spec, token(2)).await.unwrap(), made);
        assert_eq!(owned(arena).await, BTreeSet::from([spec.node.clone()]), "cut {point}");
        provider.destroy(&spec.node, token(2)).await.unwrap();
        assert_eq!(arena.leftovers(&spec.node), [""; 0], "cut {point}");
    }
}

async fn a_call_that_was_cut_off_can_be_taken_back(arena: &dyn Arena) {
    let provider = arena.provider();
    for point in 0..arena.cuts() {
        let spec = spec(&["shop/web"]);
        arena.cut(point);
        provider.ensure(&spec, token(1)).await.unwrap_err();
        provider.destroy(&spec.node, token(2)).await.unwrap();
        assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Gone, "cut {point}");
        assert_eq!(arena.leftovers(&spec.node), [""; 0], "cut {point}");
        assert!(owned(arena).await.is_empty(), "cut {point}");
    }
}

async fn what_is_not_there_is_destroyed_already(arena: &dyn Arena) {
    let provider = arena.provider();
    let spec = spec(&[]);
    provider.destroy(&spec.node, token(1)).await.unwrap();
    provider.ensure(&spec, token(1)).await.unwrap();
    provider.destroy(&spec.node, token(1)).await.unwrap();
    provider.destroy(&spec.node, token(1)).await.unwrap();
    assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Gone);
    assert_eq!(
        provider.revive(&spec.node).await.unwrap(),
        Observed::Gone,
        "reviving makes nothing"
    );
    assert!(owned(arena).await.is_empty());
}

async fn an_older_controller_changes_nothing(arena: &dyn Arena) {
    let provider = arena.provider();
    let spec = spec(&[]);
    provider.ensure(&spec, token(5)).await.unwrap();
    let fenced =
        |error: ProviderError| matches!(error, ProviderError::Fenced { given, seen } if given == token(4) && seen == token(5));
    assert!(fenced(provider.destroy(&spec.node, token(4)).await.unwrap_err()));
    assert!(fenced(provider.ensure(&spec, token(4)).await.unwrap_err()));
    assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Running);
    provider.destroy(&spec.node, token(5)).await.unwrap();
    // Not even once the node is gone: that would bring it back.
    assert!(fenced(provider.ensure(&spec, token(4)).await.unwrap_err()));
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
    let restored = FencingToken { term: 2, epoch: 0 };
    provider.ensure(&spec, restored).await.unwrap();
    provider.destroy(&spec.node, restored).await.unwrap();
}

async fn a_dead_agent_is_started_again(arena: &dyn Arena) {
    let provider = arena.provider();
    let spec = spec(&["shop/web"]);
    let made = provider.ensure(&spec, token(1)).await.unwrap();
    arena.kill_agent(&spec.node).await;
    assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Stopped);
    assert_eq!(provider.revive(&spec.node).await.unwrap(), Observed::Running);
    assert_eq!(provider.revive(&spec.node).await.unwrap(), Observed::Running);
    assert_eq!(provider.ensure(&spec, token(1)).await.unwrap(), made);
    arena.kill_agent(&spec.node).await;
    provider.destroy(&spec.node, token(1)).await.unwrap();
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
}

async fn a_stopped_node_keeps_what_it_is(arena: &dyn Arena) {
    let provider = arena.provider();
    let spec = spec(&["shop/web"]);
    assert!(matches!(
        provider.stop(&spec.node, token(1)).await,
        Err(ProviderError::Denied { .. })
    ));
    assert!(matches!(
        provider.start(&spec.node, token(1)).await,
        Err(ProviderError::Denied { .. })
    ));
    let made = provider.ensure(&spec, token(2)).await.unwrap();
    for _ in 0..2 {
        provider.stop(&spec.node, token(2)).await.unwrap();
        assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Stopped);
        assert_eq!(owned(arena).await, BTreeSet::from([spec.node.clone()]));
    }
    let older = provider.start(&spec.node, token(1)).await;
    assert!(matches!(older, Err(ProviderError::Fenced { .. })), "{older:?}");
    for _ in 0..2 {
        let started = provider.start(&spec.node, token(2)).await.unwrap();
        assert_eq!(started.external_id, made.external_id);
        assert_eq!(started.ports.keys().collect::<Vec<_>>(), ["shop/web"]);
        assert_eq!(provider.observe(&spec.node).await.unwrap(), Observed::Running);
    }
    provider.stop(&spec.node, token(2)).await.unwrap();
    provider.destroy(&spec.node, token(2)).await.unwrap();
    assert_eq!(arena.leftovers(&spec.node), [""; 0]);
}

async fn an_image_is_kept_by_its_key(arena: &dyn Arena) {
    let provider = arena.provider();
    let kept = |images: Vec<Image>| images.into_iter().filter(|i| i.key == "contract-key").collect::<Vec<_>>();
    let mut first = spec(&["shop/web"]);
    provider.ensure(&first, token(1)).await.unwrap();
    if !provider.capabilities().bakes {
        provider.stop(&first.node, token(1)).await.unwrap();
        let refused = provider.bake(&first.node, "contract-key", token(1)).await;
        assert!(matches!(refused, Err(ProviderError::Denied { .. })), "{refused:?}");
        provider.destroy(&first.node, token(1)).await.unwrap();
        return;
    }
    let running = provider.bake(&first.node, "contract-key", token(1)).await;
    assert!(matches!(running, Err(ProviderError::Denied { .. })), "{running:?}");
    provider.stop(&first.node, token(1)).await.unwrap();
    let image = provider.bake(&first.node, "contract-key", token(1)).await.unwrap();
    assert!(image.usable);
    assert_eq!(provider.bake(&first.node, "contract-key", token(1)).await.unwrap(), image);
    assert_eq!(kept(provider.images().await.unwrap()), std::slice::from_ref(&image));
    provider.destroy(&first.node, token(1)).await.unwrap();
    assert_eq!(
        kept(provider.images().await.unwrap()),
        std::slice::from_ref(&image),
        "it outlives its node"
    );
    first = spec(&["shop/web"]);
    first.image = Some(image.external_id.clone());
    provider.ensure(&first, token(1)).await.unwrap();
    for _ in 0..2 {
        provider.remove_image(&image.external_id).await.unwrap();
    }
    assert_eq!(kept(provider.images().await.unwrap()), []);
    assert_eq!(provider.observe(&first.node).await.unwrap(), Observed::Running);
    // What is no longer there costs time, not the launch.
    let mut second = spec(&["shop/web"]);
    second.image = Some(image.external_id.clone());
    provider.ensure(&second, token(1)).await.unwrap();
    for node in [&first.node, &second.node] {
        provider.destroy(node, token(1)).await.unwrap();
        assert_eq!(arena.leftovers(node), [""; 0]);
    }
}

async fn nodes_share_nothing(arena: &dyn Arena) {
    let provider = arena.provider();
    let specs = [spec(&["a/web", "a/admin"]), spec(&["a/web", "b/web"]), spec(&["a/web"])];
    let (one, two, three) = tokio::join!(
        provider.ensure(&specs[0], token(1)),
        provider.ensure(&specs[1], token(1)),
        provider.ensure(&specs[2], token(1))
    );
    let handles = [one.unwrap(), two.unwrap(), three.unwrap()];
    let at = |handle: &NodeHandle| -> Vec<(String, u16)> {
        let ports = handle.ports.values();
        ports.map(|port| (handle.address.clone(), *port)).collect()
    };
    let ports: BTreeSet<(String, u16)> = handles.iter().flat_map(at).collect();
    assert_eq!(ports.len(), 5);
    // A folder on a machine of its own may be called as on the next one.
    let machine = |h: &NodeHandle| h.confined_to.is_none().then(|| h.external_id.clone());
    let places: BTreeSet<_> = handles.iter().map(|h| (machine(h), h.layout.apps.as_str())).collect();
    assert_eq!(places.len(), 3);
    assert_eq!(owned(arena).await.len(), 3);
    // A port more keeps the ones that were given.
    let mut more = specs[2].clone();
    more.ports.push("c/web".into());
    let grown = provider.ensure(&more, token(1)).await.unwrap();
    assert_eq!(grown.ports["a/web"], handles[2].ports["a/web"]);
    assert!(!ports.contains(&(grown.address.clone(), grown.ports["c/web"])));
    for spec in &specs {
        provider.destroy(&spec.node, token(1)).await.unwrap();
        assert_eq!(arena.leftovers(&spec.node), [""; 0]);
    }
    assert!(owned(arena).await.is_empty());
}

pub async fn keeps_the_contract(arena: &dyn Arena) {
    a_node_made_twice_is_one(arena).await;
    a_call_that_was_cut_off_is_made_up_for(arena).await;
    a_call_that_was_cut_off_can_be_taken_back(arena).await;
    what_is_not_there_is_destroyed_already(arena).await;
    an_older_controller_changes_nothing(arena).await;
    a_dead_agent_is_started_again(arena).await;
    a_stopped_node_keeps_what_it_is(arena).await;
    an_image_is_kept_by_its_key(arena).await;
    nodes_share_nothing(arena).await;
}

struct FakeArena(Fake);

#[async_trait]
impl Arena for FakeArena {
    fn provider(&self) -> &dyn Provider {
        &self.0
    }

    fn cuts(&self) -> usize {
        2
    }

    fn cut(&self, point: usize) {
        let lost = ProviderError::Retry { why: "cut off".into() };
        self.0.trouble_ensure(if point == 0 {
            Trouble::Before(lost)
        } else {
            Trouble::After(lost)
        });
    }

    async fn kill_agent(&self, node: &NodeId) {
        self.0.kill_agent(node);
    }

    fn leftovers(&self, _node: &NodeId) -> Vec<String> {
        Vec::new()
    }
}

#[tokio::test]
async fn the_fake_keeps_the_contract() {
    keeps_the_contract(&FakeArena(Fake::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_sandboxes_keep_the_contract() {
    keeps_the_contract(&SandboxArena::new("plain")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn walled_sandboxes_keep_the_contract() {
    keeps_the_contract(&SandboxArena::new("bubblewrap")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_keep_the_contract() {
    let Some(arena) = DockerArena::new() else { return };
    keeps_the_contract(&arena).await;
}
