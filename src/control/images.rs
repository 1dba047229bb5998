//! Images: baked on request, used by every launch of the same apps, and forgotten when newer ones have taken their place.
//!
//! An image's key is the hash of what may be in an image of the configuration that a launch would compile, so that a launch can
//! tell which image has everything. One that has less, or older, is never wrong: the agent applies what differs.

use super::stacks::Draft;
use super::{Control, ControlError, Result};
use crate::model::actor::{Actor, Role};
use crate::model::id::{NodeId, StackId};
use crate::model::stack::{Purpose, StackSpec};
use crate::plans::{WantedImage, bake_image};
use crate::providers::Image;
use crate::recipes::targets::bakeable;
use crate::store::images::ImageRow;
use crate::wire::images::{Baking, ImageView};
use crate::wire::stacks::LaunchRequest;
use std::collections::BTreeMap;

// How many images of the same apps are kept; the newest is what launches start from, the others what went before.
const KEPT_PER_FAMILY: usize = 2;

impl Control {
    /// Makes an image of what a launch would install, fetch and build; asked again for the same, there is one already.
    ///
    /// # Errors
    /// As a launch; `not-allowed` below operator; `provider-refused` where the provider keeps no images.
    pub async fn bake_image(&self, actor: &Actor, request: &LaunchRequest) -> Result<Baking> {
        require_operator(actor)?;
        let owner = Self::launcher(actor)?;
        let draft = self.draft(request).await?;
        if !draft.provider.capabilities().bakes {
            let name = draft.provider.name();
            let mut error = ControlError::new("provider-refused", format!("The {name} provider keeps no images"));
            error.fault.next = "Choose a provider that does".into();
            return Err(error);
        }
        let wanted = wanted_image(&draft)?;
        let provider = draft.provider.name();
        let mut stack = draft.stack(StackId::from_bits(self.store.next_id()), owner, self.store.now());
        stack.purpose = Purpose::Bake;
        let mut tx = self.store.write(actor, "image.bake", &wanted.key).await?;
        if let Some(found) = tx.image(provider, &wanted.key).await?
            && matches!(found.state.as_str(), "usable" | "planned")
        {
            return Ok(Baking {
                run: found
                    .run
                    .as_ref()
                    .filter(|_| found.state == "planned")
                    .map(ToString::to_string),
                image: view(&found),
            });
        }
        let node = NodeId::from_bits(tx.next_id());
        stack.node = Some(node.clone());
        let plan = bake_image::plan(&stack, &node, &draft.descriptors, &wanted.key);
        let run = tx.insert_run(&plan, actor, None).await?;
        stack.run = Some(run.clone());
        tx.insert_stack(&stack).await?;
        tx.insert_node(&node, &stack.id, &stack.provider).await?;
        let image = ImageRow {
            provider: provider.to_owned(),
            key: wanted.key,
            family: wanted.family,
            state: "planned".into(),
            external_id: None,
            bytes: None,
            spec: stack.spec.clone(),
            stack: stack.id.clone(),
            run: Some(run.clone()),
            created_at: tx.at(),
            used_at: None,
        };
        tx.plan_image(&image).await?;
        tx.detail(plan.title);
        tx.commit().await?;
        Ok(Baking {
            image: view(&image),
            run: Some(run.to_string()),
        })
    }

    /// All images, newest first.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn list_images(&self, _actor: &Actor) -> Result<Vec<ImageView>> {
        Ok(self.store.images().await?.iter().map(view).collect())
    }

    /// Removes an image. Servers that were started from it live on.
    ///
    /// # Errors
    /// `not-found`; `conflict` while it is being made; `not-allowed` below operator.
    pub async fn remove_image(&self, actor: &Actor, provider: &str, key: &str) -> Result<()> {
        require_operator(actor)?;
        let mut tx = self.store.write(actor, "image.remove", key).await?;
        let found = tx.image(provider, key).await?;
        let found = found.ok_or_else(|| ControlError::not_found("image", key))?;
        if found.state == "planned" {
            let mut error = ControlError::new("conflict", "The image is being made");
            error.fault.next = "Cancel the run that makes it first".into();
            return Err(error);
        }
        tx.set_image_removing(provider, key).await?;
        tx.commit().await?;
        self.tend_images().await
    }

    /// Removes images that are to go or that newer ones of the same apps have taken the place of, and notes which ones are gone.
    ///
    /// # Errors
    /// Where the store fails; a provider that cannot be asked is passed over.
    pub async fn tend_images(&self) -> Result<()> {
        let rows = self.store.images().await?;
        let mut newer: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for provider in self.providers.all().iter().filter(|p| p.capabilities().bakes) {
            let held = match provider.images().await {
                Ok(held) => held,
                Err(error) => {
                    tracing::warn!(provider = provider.name(), %error, "the provider cannot say which images it holds");
                    continue;
                }
            };
            for row in rows.iter().filter(|row| row.provider == provider.name()) {
                let there = held.iter().any(|image| is_it(row, image));
                let newer = newer.entry((&row.provider, &row.family)).or_default();
                if row.state == "usable" {
                    *newer += 1;
                }
                let outlived = row.state == "usable" && *newer > KEPT_PER_FAMILY;
                let goes = row.state == "removing" || outlived;
                let failed = row.state == "failed";
                if there && (goes || failed) {
                    let id = row
                        .external_id
                        .clone()
                        .or_else(|| held.iter().find(|i| i.key == row.key).map(|i| i.external_id.clone()));
                    if let Some(id) = id
                        && let Err(error) = provider.remove_image(&id).await
                    {
                        tracing::warn!(provider = provider.name(), image = id, %error, "an image could not be removed");
                        continue;
                    }
                }
                if goes || (row.state == "usable" && !there) {
                    let mut tx = self.store.journal().await?;
                    tx.forget_image(&row.provider, &row.key).await?;
                    tx.commit().await?;
                }
            }
        }
        Ok(())
    }
}

/// What an image should hold to save a launch the most.
pub(super) fn wanted_image(draft: &Draft) -> Result<WantedImage> {
    let part = bakeable(&draft.configuration);
    let key = part
        .hash()
        .map_err(|e| ControlError::new("internal", format!("A configuration cannot be written as JSON: {e}")))?;
    Ok(WantedImage {
        key: key.trim_start_matches("sha256:").chars().take(32).collect(),
        family: family(&draft.spec),
    })
}

/// Whether what a provider holds is what a row speaks of.
pub(super) fn is_it(row: &ImageRow, image: &Image) -> bool {
    row.external_id.as_ref() == Some(&image.external_id) || row.key == image.key
}

fn family(spec: &StackSpec) -> String {
    let mut names: Vec<&str> = spec.apps.iter().map(|app| app.app.as_str()).collect();
    names.sort_unstable();
    names.join(",")
}

fn view(row: &ImageRow) -> ImageView {
    let apps = row.spec.apps.iter();
    ImageView {
        provider: row.provider.clone(),
        key: row.key.clone(),
        apps: apps.map(|app| format!("{}@{}", app.app, app.revision)).collect(),
        state: row.state.clone(),
        external_id: row.external_id.clone(),
        bytes: row.bytes,
        created_at: row.created_at,
        used_at: row.used_at,
        run: row.run.as_ref().map(ToString::to_string),
    }
}

pub(super) fn require_operator(actor: &Actor) -> Result<()> {
    if actor.role() >= Some(Role::Operator) {
        return Ok(());
    }
    Err(ControlError::new("not-allowed", "This takes the role operator"))
}
