//! The networks of nodes. Each node is alone on a network from which nothing leads on: the engine drops whatever would leave it,
//! and this machine reaches the node at its address. While it may reach the outside, the node is on a second network besides,
//! whose members cannot see each other.

use super::engine::{Engine, found, is_conflict, is_missing, message};
use super::subnet::{Pool, Subnet};
use super::tags::{self, Labels};
use super::{NodeSpec, ProviderError};
use crate::model::id::NodeId;
use bollard::errors::Error;
use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, Network, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest,
};
use bollard::query_parameters::{InspectContainerOptions, ListNetworksOptionsBuilder};
use std::collections::HashMap;

/// The network that leads outside; one for all servers on an engine.
const OUTSIDE: &str = "greenroom-outside";
// How often another network is tried where one is taken by others.
const TRIES: u32 = 64;

/// The networks with these labels.
pub(super) async fn listed(engine: &Engine, label: &str, value: &str) -> Result<Vec<Network>, ProviderError> {
    let options = ListNetworksOptionsBuilder::new().filters(&tags::filter(label, value)).build();
    let all = engine.client().await?.list_networks(Some(options)).await;
    all.map_err(|e| engine.failed("the networks cannot be listed", &e))
}

/// Makes sure of a node's network: the one that is there, one of these addresses where given, or a new one.
pub(super) async fn ensure(
    engine: &Engine,
    pool: Pool,
    spec: &NodeSpec,
    server: &str,
    before: Option<Subnet>,
) -> Result<Subnet, ProviderError> {
    for network in listed(engine, tags::NODE, spec.node.as_str()).await? {
        if let Some(subnet) = addresses_of(&network) {
            return Ok(subnet);
        }
    }
    let labels = tags::of_node(spec, server);
    make(engine, pool, &tags::name(&spec.node), labels, before).await
}

/// Makes a network of this name.
pub(super) async fn make(
    engine: &Engine,
    pool: Pool,
    name: &str,
    labels: Labels,
    before: Option<Subnet>,
) -> Result<Subnet, ProviderError> {
    let client = engine.client().await?;
    let mut number = rand::random_range(0..pool.stacks());
    let mut subnet = before.unwrap_or_else(|| pool.stack(number));
    for _ in 0..TRIES {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            internal: Some(true),
            enable_ipv6: Some(false),
            ipam: Some(addresses(&subnet.to_string(), &subnet.gateway().to_string())),
            options: Some(HashMap::from([(
                "com.docker.network.bridge.name".to_owned(),
                subnet.bridge(),
            )])),
            labels: Some(labels.clone()),
            ..NetworkCreateRequest::default()
        };
        match client.create_network(request).await {
            Ok(_) => return Ok(subnet),
            Err(error) if is_taken(&error) => {
                number += 1;
                subnet = pool.stack(number);
            }
            Err(error) => return Err(engine.failed("the node's network cannot be made", &error)),
        }
    }
    Err(ProviderError::Quota {
        why: "no network of `docker.networks` is free: each running stack has one; widen it, or destroy stacks".to_owned(),
    })
}

/// Removes everything of a node's networks.
pub(super) async fn remove(engine: &Engine, node: &NodeId) -> Result<(), ProviderError> {
    let client = engine.client().await?;
    for network in listed(engine, tags::NODE, node.as_str()).await? {
        let Some(id) = network.id else { continue };
        // What somebody else put on it does not keep it.
        let there = found(client.inspect_network(&id, None).await);
        let there = there.map_err(|e| engine.failed("the node's network cannot be looked at", &e))?;
        for container in there.and_then(|n| n.containers).unwrap_or_default().into_keys() {
            let _ = client.disconnect_network(&id, leave(&container)).await;
        }
        if let Err(error) = client.remove_network(&id).await
            && !is_missing(&error)
        {
            return Err(engine.failed("the node's network cannot be removed", &error));
        }
    }
    Ok(())
}

/// Puts a container back on its own network, made again where somebody removed it while the container was stopped.
pub(super) async fn mend(
    engine: &Engine,
    pool: Pool,
    container: &str,
    labels: Labels,
    before: Subnet,
) -> Result<(), ProviderError> {
    let client = engine.client().await?;
    let options = InspectContainerOptions::default();
    let there = client.inspect_container(container, Some(options)).await;
    let there = there.map_err(|e| engine.failed("the container cannot be looked at", &e))?;
    let on = there.network_settings.and_then(|n| n.networks).unwrap_or_default();
    for name in on.keys() {
        let _ = client.disconnect_network(name, leave(container)).await;
    }
    let subnet = match there.config.and_then(|c| c.labels).as_ref().and_then(tags::node_of) {
        Some(node) => match listed(engine, tags::NODE, node.as_str()).await?.iter().find_map(addresses_of) {
            Some(subnet) => subnet,
            None => make(engine, pool, container, labels, Some(before)).await?,
        },
        None => before,
    };
    let join = NetworkConnectRequest {
        container: container.to_owned(),
        endpoint_config: Some(endpoint(subnet)),
    };
    let joined = client.connect_network(container, join).await;
    joined.map_err(|e| engine.failed("the container cannot be put on its network again", &e))
}

/// Lets a container reach the outside.
pub(super) async fn open(engine: &Engine, pool: Pool, container: &str) -> Result<(), ProviderError> {
    let client = engine.client().await?;
    for _ in 0..TRIES {
        let join = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: None,
        };
        match client.connect_network(OUTSIDE, join).await {
            Ok(()) => return Ok(()),
            Err(error) if message(&error).contains("already exists in network") => return Ok(()),
            // The last one may have taken it away a moment ago.
            Err(error) if is_missing(&error) && message(&error).contains(OUTSIDE) => {
                if let Err(error) = client.create_network(outside(pool)).await
                    && !is_conflict(&error)
                    && !is_taken(&error)
                {
                    return Err(engine.failed("the network that leads outside cannot be made", &error));
                }
            }
            Err(error) => return Err(engine.failed("the node cannot be let outside", &error)),
        }
    }
    Err(ProviderError::Retry {
        why: format!(
            "the network {OUTSIDE} cannot be made: its addresses {} are taken by another",
            pool.outside()
        ),
    })
}

/// Cuts a container off from the outside.
pub(super) async fn cut(engine: &Engine, container: &str) -> Result<(), ProviderError> {
    let client = engine.client().await?;
    match client.disconnect_network(OUTSIDE, leave(container)).await {
        Ok(()) => Ok(()),
        Err(error) if is_missing(&error) || message(&error).contains("is not connected") => Ok(()),
        Err(error) => Err(engine.failed("the node cannot be cut off from the outside", &error)),
    }
}

/// Removes the network that leads outside unless someone is on it.
pub(super) async fn tidy(engine: &Engine) {
    if let Ok(client) = engine.client().await {
        let _ = client.remove_network(OUTSIDE).await;
    }
}

/// The node's place on its own network.
pub(super) fn endpoint(subnet: Subnet) -> EndpointSettings {
    EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(subnet.node().to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    }
}

fn outside(pool: Pool) -> NetworkCreateRequest {
    let option = |name: &str, value: &str| (format!("com.docker.network.bridge.{name}"), value.to_owned());
    NetworkCreateRequest {
        name: OUTSIDE.to_owned(),
        driver: Some("bridge".to_owned()),
        enable_ipv6: Some(false),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(pool.outside()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        options: Some(HashMap::from([option("name", "gr-outside"), option("enable_icc", "false")])),
        labels: Some(HashMap::from([("greenroom.shared".to_owned(), "outside".to_owned())])),
        ..NetworkCreateRequest::default()
    }
}

fn addresses(subnet: &str, gateway: &str) -> Ipam {
    Ipam {
        config: Some(vec![IpamConfig {
            subnet: Some(subnet.to_owned()),
            gateway: Some(gateway.to_owned()),
            ..IpamConfig::default()
        }]),
        ..Ipam::default()
    }
}

fn addresses_of(network: &Network) -> Option<Subnet> {
    let config = network.ipam.as_ref()?.config.as_ref()?.first()?;
    Subnet::try_from(config.subnet.clone()?).ok()
}

fn leave(container: &str) -> NetworkDisconnectRequest {
    NetworkDisconnectRequest {
        container: container.to_owned(),
        force: Some(true),
    }
}

fn is_taken(error: &Error) -> bool {
    let said = message(error);
    said.contains("overlaps")
        || said.contains("conflicts with network")
        || said.contains("is already in use")
        || said.contains("bridge name")
}
