//! Images: the one that nodes start from, and those that nodes were kept as.

use super::super::{FencingToken, Image, ProviderError, fences};
use super::launch::Base;
use super::look::State;
use super::{Inner, errors, nowhere, tags};
use crate::model::fault::Fault;
use crate::model::id::NodeId;
use crate::model::secret;
use aws_sdk_ec2::types::{Filter, ImageState, ResourceType};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

// Newer ones of a name come every few weeks, and asking takes as long as a launch.
const KNOWN: Duration = Duration::from_mins(10);

/// The images that were looked up.
pub(super) type Bases = Mutex<HashMap<String, (Instant, Base)>>;

impl Inner {
    /// The image to start from: this one, or the plain one where it is not there (any more).
    pub(super) async fn base(&self, wanted: Option<&str>) -> Result<Base, ProviderError> {
        if let Some(id) = wanted
            && let Some(image) = self.find_image(id).await?
            && image.state() == Some(&ImageState::Available)
        {
            return Ok(base_of(&image));
        }
        let named = &self.options.image;
        let known = {
            let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
            bases
                .get(named)
                .filter(|(at, _)| at.elapsed() < KNOWN)
                .map(|(_, base)| base.clone())
        };
        if let Some(base) = known {
            return Ok(base);
        }
        let image = self.find_image(named).await?.ok_or_else(|| {
            let fault = Fault::new("ec2-setting", format!("There is no image {named} in this region"));
            ProviderError::Known {
                fault: Box::new(fault.next("Set ec2.image to an image's id, or to OWNER/NAME with stars in the name")),
                again: false,
            }
        })?;
        let base = base_of(&image);
        let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        bases.insert(named.clone(), (Instant::now(), base.clone()));
        Ok(base)
    }

    /// The image of this id, or the newest of `OWNER/NAME`.
    pub(super) async fn find_image(&self, named: &str) -> Result<Option<aws_sdk_ec2::types::Image>, ProviderError> {
        let asked = self.client().describe_images();
        let asked = match named.split_once('/') {
            None => asked.image_ids(named),
            Some((owner, name)) => {
                let filter = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
                asked
                    .owners(owner)
                    .filters(filter("name", name))
                    .filters(filter("state", "available"))
            }
        };
        match asked.send().await.map_err(|e| errors::failed("look up the image", &e)) {
            Ok(found) => {
                let newest = |image: &aws_sdk_ec2::types::Image| image.creation_date().map(str::to_owned);
                Ok(found.images.unwrap_or_default().into_iter().max_by_key(newest))
            }
            Err(failed) if failed.is_not_found() => Ok(None),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Keeps a stopped node as an image.
    pub(super) async fn bake(&self, node: &NodeId, key: &str, token: FencingToken) -> Result<Image, ProviderError> {
        let seen = self.one_of(node).await?.ok_or_else(|| nowhere(node))?;
        fences::raise(&self.root, node, token)?;
        if seen.state != State::Stopped {
            return Err(ProviderError::Denied {
                why: format!("{} is not stopped: what is written meanwhile would be torn", seen.id),
            });
        }
        let deadline = Instant::now() + self.options.pace.baking;
        loop {
            match self.kept(Some(key)).await?.into_iter().next() {
                Some((image, _)) if image.usable => return Ok(image),
                Some((image, true)) => {
                    // It will never be one, and is in the way of the next.
                    self.remove_image(&image.external_id).await?;
                }
                Some(_) => {
                    if Instant::now() >= deadline {
                        let fault = Fault::new("timed-out", format!("EC2 could not make an image of {}", seen.id));
                        return Err(ProviderError::Known {
                            fault: Box::new(fault.why(format!("it was not there after {:.0?}", self.options.pace.baking))),
                            again: true,
                        });
                    }
                    tokio::time::sleep(self.options.pace.spacing * 2).await;
                }
                None => self.make_image(&seen.id, key).await?,
            }
        }
    }

    async fn make_image(&self, instance: &str, key: &str) -> Result<(), ProviderError> {
        let owned = [
            tags::tag("Name", &format!("{} image", self.options.owner)),
            tags::tag(tags::OWNER, &self.options.owner),
            tags::tag(tags::KEY, key),
        ];
        let kinds = [ResourceType::Image, ResourceType::Snapshot];
        // A name is there once in an account, which makes of two calls one image.
        let name = format!("{}-{}", self.options.owner, &secret::hash(key)[..32]);
        let made = self
            .client()
            .create_image()
            .instance_id(instance)
            .name(name)
            .description(format!("What {instance} was, kept by Greenroom"))
            .set_tag_specifications(Some(tags::on(&kinds, &owned)))
            .send()
            .await;
        match made.map_err(|e| errors::failed("make an image of the instance", &e)) {
            Err(failed) if failed.code != "InvalidAMIName.Duplicate" => return Err(failed.into()),
            _ => {}
        }
        self.point("imaged")?;
        tokio::time::sleep(self.options.pace.spacing).await;
        Ok(())
    }

    /// All images under our tag.
    pub(super) async fn images(&self) -> Result<Vec<Image>, ProviderError> {
        Ok(self.kept(None).await?.into_iter().map(|(image, _)| image).collect())
    }

    // Images, and whether each has failed for good.
    async fn kept(&self, key: Option<&str>) -> Result<Vec<(Image, bool)>, ProviderError> {
        let mut filters = vec![tags::by(tags::OWNER, &self.options.owner)];
        filters.extend(key.map(|key| tags::by(tags::KEY, key)));
        let asked = self.client().describe_images().owners("self").set_filters(Some(filters));
        let mut pages = asked.into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| errors::failed("list the images", &e))?;
            for image in page.images() {
                let (Some(key), Some(id)) = (tags::value(image.tags(), tags::KEY), image.image_id()) else {
                    continue;
                };
                let failed = matches!(
                    image.state(),
                    Some(ImageState::Failed | ImageState::Error | ImageState::Invalid)
                );
                let gib = |size: i32| u64::try_from(size).unwrap_or(0) << 30;
                let volumes = image.block_device_mappings().iter().filter_map(|device| device.ebs());
                let sizes: Vec<u64> = volumes.filter_map(|ebs| ebs.volume_size().map(gib)).collect();
                let kept = Image {
                    key: key.to_owned(),
                    external_id: id.to_owned(),
                    usable: image.state() == Some(&ImageState::Available),
                    bytes: (!sizes.is_empty()).then(|| sizes.iter().sum()),
                };
                all.push((kept, failed));
            }
        }
        Ok(all)
    }

    /// Removes an image of ours and the snapshots that it is made of.
    pub(super) async fn remove_image(&self, id: &str) -> Result<(), ProviderError> {
        let Some(image) = self.find_image(id).await? else {
            return Ok(());
        };
        if tags::value(image.tags(), tags::OWNER) != Some(self.options.owner.as_str()) {
            return Err(ProviderError::Denied {
                why: format!("{id} is no image of ours"),
            });
        }
        let gone = self.client().deregister_image().image_id(id).send().await;
        match gone.map_err(|e| errors::failed("remove the image", &e)) {
            Err(failed) if !failed.is_not_found() => return Err(failed.into()),
            _ => {}
        }
        self.point("deregistered")?;
        let snapshots = image
            .block_device_mappings()
            .iter()
            .filter_map(|device| device.ebs()?.snapshot_id());
        for snapshot in snapshots {
            let gone = self.client().delete_snapshot().snapshot_id(snapshot).send().await;
            match gone.map_err(|e| errors::failed("remove the image's snapshot", &e)) {
                Err(failed) if !failed.is_not_found() => return Err(failed.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn base_of(image: &aws_sdk_ec2::types::Image) -> Base {
    Base {
        id: image.image_id().unwrap_or_default().to_owned(),
        root_device: image.root_device_name().unwrap_or("/dev/xvda").to_owned(),
    }
}
