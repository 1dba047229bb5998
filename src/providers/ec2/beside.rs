//! What a node has beside its instance: an elastic address, and volumes that outlived an instance.

use super::super::ProviderError;
use super::look::Seen;
use super::{Inner, errors, tags};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use aws_sdk_ec2::types::{Address, DomainType, Filter, ResourceType, Volume, VolumeState};
use tokio::time::Instant;

impl Inner {
    /// The elastic address of an instance's node; made and given to it where it has none.
    pub(super) async fn elastic_address(&self, seen: &Seen) -> Result<String, ProviderError> {
        let found = self.addresses(Some(&seen.node)).await?.into_iter().next();
        let (id, address, at) = if let Some(found) = found {
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let at = found.instance_id().map(str::to_owned);
            (text(found.allocation_id()), text(found.public_ip()), at)
        } else {
            let owned = [
                tags::tag(tags::OWNER, &self.options.owner),
                tags::tag(tags::NODE, seen.node.as_str()),
            ];
            let asked = self.client().allocate_address().domain(DomainType::Vpc);
            let asked = asked.set_tag_specifications(Some(tags::on(&[ResourceType::ElasticIp], &owned)));
            let made = asked.send().await.map_err(|e| errors::failed("get an elastic address", &e))?;
            self.point("address")?;
            let (id, address) = (made.allocation_id().unwrap_or_default(), made.public_ip().unwrap_or_default());
            (id.to_owned(), address.to_owned(), None)
        };
        if at.as_deref() != Some(seen.id.as_str()) {
            let given = self.client().associate_address().allocation_id(&id).instance_id(&seen.id);
            given
                .send()
                .await
                .map_err(|e| errors::failed("give the instance its address", &e))?;
        }
        Ok(address)
    }

    /// Removes what a node has beside its instance, which is gone.
    pub(super) async fn remove_beside(&self, node: &NodeId, deadline: Instant) -> Result<(), ProviderError> {
        for address in self.addresses(Some(node)).await? {
            let Some(id) = address.allocation_id() else { continue };
            let released = self.client().release_address().allocation_id(id).send().await;
            match released.map_err(|e| errors::failed("release the elastic address", &e)) {
                Err(failed) if !failed.is_not_found() => return Err(failed.into()),
                _ => {}
            }
        }
        loop {
            let volumes = self.volumes(Some(node)).await?;
            if volumes.is_empty() {
                return Ok(());
            }
            for volume in &volumes {
                // One that is still being let go of by its instance comes next time.
                let (Some(VolumeState::Available | VolumeState::Error), Some(id)) = (volume.state(), volume.volume_id()) else {
                    continue;
                };
                let deleted = self.client().delete_volume().volume_id(id).send().await;
                match deleted.map_err(|e| errors::failed("delete the volume", &e)) {
                    Err(failed) if !failed.is_not_found() => return Err(failed.into()),
                    _ => {}
                }
            }
            if Instant::now() >= deadline {
                let fault = Fault::new("timed-out", format!("EC2 could not delete the volumes of {node}"));
                return Err(ProviderError::Known {
                    fault: Box::new(fault.why(format!("{} are left", volumes.len()))),
                    again: true,
                });
            }
            tokio::time::sleep(self.options.pace.spacing).await;
        }
    }

    /// Everything of ours that is no instance and no image, by its node.
    pub(super) async fn beside(&self) -> Result<Vec<(NodeId, String)>, ProviderError> {
        let addresses = self.addresses(None).await?;
        let volumes = self.volumes(None).await?;
        let addresses = addresses.iter().map(|a| (a.tags(), a.allocation_id()));
        let volumes = volumes.iter().map(|v| (v.tags(), v.volume_id()));
        let of = |(tags, id): (&[aws_sdk_ec2::types::Tag], Option<&str>)| {
            Some((tags::value(tags, tags::NODE)?.parse().ok()?, id?.to_owned()))
        };
        Ok(addresses.chain(volumes).filter_map(of).collect())
    }

    fn ours(&self, node: Option<&NodeId>) -> Vec<Filter> {
        let mut filters = vec![tags::by(tags::OWNER, &self.options.owner)];
        filters.extend(node.map(|node| tags::by(tags::NODE, node.as_str())));
        filters
    }

    async fn addresses(&self, node: Option<&NodeId>) -> Result<Vec<Address>, ProviderError> {
        let asked = self.client().describe_addresses().set_filters(Some(self.ours(node)));
        let found = asked
            .send()
            .await
            .map_err(|e| errors::failed("list the elastic addresses", &e))?;
        Ok(found.addresses.unwrap_or_default())
    }

    async fn volumes(&self, node: Option<&NodeId>) -> Result<Vec<Volume>, ProviderError> {
        let asked = self.client().describe_volumes().set_filters(Some(self.ours(node)));
        let mut pages = asked.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| errors::failed("list the volumes", &e))?;
            all.extend(page.volumes.unwrap_or_default());
        }
        Ok(all)
    }
}
