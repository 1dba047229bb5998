//! Removing a node, and finding what is left of nodes.

use super::engine::{is_conflict, is_missing};
use super::{Inner, Observed, Owned, PATIENCE, ProviderError, failed, images, networks, tags};
use crate::machine::files;
use crate::model::id::NodeId;
use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{
    KillContainerOptions, ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptionsBuilder,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl Inner {
    /// Removes everything of a node; returns once the engine has none of it.
    pub(super) async fn remove(&self, node: &NodeId) -> Result<(), ProviderError> {
        let client = self.engine.client().await?;
        let name = tags::name(node);
        let began = Instant::now();
        // Whatever it served is dead from here on; all the rest takes longer.
        let _ = client.kill_container(&name, None::<KillContainerOptions>).await;
        loop {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            match client.remove_container(&name, Some(options)).await {
                Err(error) if is_missing(&error) => break,
                Err(error) if !is_conflict(&error) || began.elapsed() > PATIENCE => {
                    return Err(self.engine.failed("the container cannot be removed", &error));
                }
                // Until the engine says itself that there is none.
                Ok(()) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        self.point("container-gone")?;
        networks::remove(&self.engine, node).await?;
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        if let Err(error) = client.remove_volume(&name, Some(options)).await
            && !is_missing(&error)
        {
            return Err(self.engine.failed("the volume cannot be removed", &error));
        }
        networks::tidy(&self.engine).await;
        images::tidy(&self.engine, &self.server).await;
        let folder = self.folder(node);
        files::remove_all(&folder).map_err(|e| failed(&format!("the folder {} cannot be removed", folder.display()), &e))?;
        Ok(())
    }

    /// Everything that is ours on the engine, by node.
    pub(super) async fn list_owned(&self) -> Result<Vec<Owned>, ProviderError> {
        let client = self.engine.client().await?;
        let mut all: BTreeMap<NodeId, Observed> = BTreeMap::new();
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&tags::filter(tags::SERVER, &self.server))
            .build();
        let containers = client.list_containers(Some(options)).await;
        for container in containers.map_err(|e| self.engine.failed("the containers cannot be listed", &e))? {
            if let Some(node) = container.labels.as_ref().and_then(tags::node_of) {
                let running = container.state == Some(ContainerSummaryStateEnum::RUNNING);
                all.insert(node, if running { Observed::Running } else { Observed::Stopped });
            }
        }
        let networks = networks::listed(&self.engine, tags::SERVER, &self.server).await?;
        let networks = networks.iter().filter_map(|n| n.labels.as_ref().and_then(tags::node_of));
        let options = ListVolumesOptionsBuilder::new()
            .filters(&tags::filter(tags::SERVER, &self.server))
            .build();
        let volumes = client.list_volumes(Some(options)).await;
        let volumes = volumes.map_err(|e| self.engine.failed("the volumes cannot be listed", &e))?;
        let volumes = volumes.volumes.unwrap_or_default();
        let volumes = volumes.iter().filter_map(|v| tags::node_of(&v.labels));
        let folders = std::fs::read_dir(&self.root).map_err(|e| failed("what is written down of nodes cannot be listed", &e))?;
        let folders = folders.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        for node in networks.chain(volumes).chain(folders) {
            all.entry(node).or_insert(Observed::Stopped);
        }
        Ok(all
            .into_iter()
            .map(|(node, observed)| Owned {
                external_id: tags::name(&node),
                observed,
                node,
            })
            .collect())
    }
}
