//! The reaper: what providers hold under our tag beside what our rows say, and the end of what nobody knows of.
//!
//! Rows are written before anything is made, so what has no row can only be left of a store that was restored, or of a removal
//! that was cut short.

use super::images::{is_it, require_operator};
use super::{Control, Result};
use crate::model::actor::Actor;
use crate::providers::{FencingToken, Observed, Owned, Provider};
use crate::store::nodes::NodeRow;
use crate::wire::images::{HeldImage, HeldServer, HoldingsView, Reaped};
use std::collections::{BTreeMap, BTreeSet};

// Whoever removes what nobody knows of is the last to speak.
const LAST: FencingToken = FencingToken {
    term: i64::MAX,
    epoch: i64::MAX,
};

impl Control {
    /// What providers hold, what they should hold, and the difference. Changes nothing.
    ///
    /// # Errors
    /// `not-allowed` below operator; a provider that cannot be asked is named in the answer.
    pub async fn show_holdings(&self, actor: &Actor) -> Result<HoldingsView> {
        require_operator(actor)?;
        let mut view = HoldingsView {
            servers: Vec::new(),
            images: Vec::new(),
            unanswered: Vec::new(),
            differences: 0,
        };
        for provider in self.providers.all() {
            if let Err(why) = self.compare_servers(provider.as_ref(), &mut view).await? {
                view.unanswered.push(format!("{}: {why}", provider.name()));
            }
            if let Err(why) = self.compare_images(provider.as_ref(), &mut view).await? {
                view.unanswered.push(format!("{}, images: {why}", provider.name()));
            }
        }
        let servers = view.servers.iter().filter(|s| s.difference.is_some()).count();
        view.differences = servers + view.images.iter().filter(|i| i.difference.is_some()).count();
        Ok(view)
    }

    /// Removes what nobody knows of, now rather than within the minute, and says what is there.
    ///
    /// # Errors
    /// As [`Self::show_holdings`].
    pub async fn reap(&self, actor: &Actor) -> Result<Reaped> {
        require_operator(actor)?;
        let removed = self.sweep().await?;
        Ok(Reaped {
            removed,
            holdings: self.show_holdings(actor).await?,
        })
    }

    /// Removes what providers hold under our tag and we have no living row for; returns how many.
    ///
    /// # Errors
    /// Where the store fails; a provider that cannot be asked is passed over.
    pub async fn sweep(&self) -> Result<usize> {
        let mut removed = 0;
        for provider in self.providers.all() {
            let owned = match provider.list_owned().await {
                Ok(owned) => owned,
                Err(error) => {
                    tracing::warn!(provider = provider.name(), %error, "the provider cannot say what it holds");
                    continue;
                }
            };
            // Read after the provider's answer: a row that came meanwhile is then known.
            let known: BTreeSet<_> = self.store.live_nodes().await?.into_iter().map(|node| node.id).collect();
            let strays: BTreeMap<_, _> = owned
                .iter()
                .filter(|owned| !known.contains(&owned.node))
                .map(|owned| (&owned.node, &owned.external_id))
                .collect();
            for (node, external) in strays {
                tracing::error!(%node, external, "found a server that nobody knows of; removing it");
                match provider.destroy(node, LAST).await {
                    Ok(()) => removed += 1,
                    Err(error) => tracing::error!(%node, %error, "it could not be removed"),
                }
            }
            removed += self.sweep_images(provider.as_ref()).await?;
        }
        self.tend_images().await?;
        Ok(removed)
    }

    async fn sweep_images(&self, provider: &dyn Provider) -> Result<usize> {
        let Ok(held) = provider.images().await else { return Ok(0) };
        let rows = self.store.images().await?;
        let mut removed = 0;
        let ours = |image| rows.iter().any(|row| row.provider == provider.name() && is_it(row, image));
        for image in held.iter().filter(|image| !ours(image)) {
            tracing::error!(image = image.external_id, "found an image that nobody knows of; removing it");
            match provider.remove_image(&image.external_id).await {
                Ok(()) => removed += 1,
                Err(error) => tracing::error!(image = image.external_id, %error, "it could not be removed"),
            }
        }
        Ok(removed)
    }

    async fn compare_servers(&self, provider: &dyn Provider, view: &mut HoldingsView) -> Result<Result<(), String>> {
        let owned = match provider.list_owned().await {
            Ok(owned) => owned,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut rows: BTreeMap<_, NodeRow> = self
            .store
            .live_nodes()
            .await?
            .into_iter()
            .filter(|row| row.provider == provider.name())
            .map(|row| (row.id.clone(), row))
            .collect();
        for held in &owned {
            let row = rows.remove(&held.node);
            view.servers.push(self.held(provider.name(), Some(held), row.as_ref()).await?);
        }
        // Several things of one node are listed as one each; the row belongs to the first.
        let seen: BTreeSet<_> = owned.iter().map(|held| &held.node).collect();
        for row in rows.values().filter(|row| !seen.contains(&row.id)) {
            view.servers.push(self.held(provider.name(), None, Some(row)).await?);
        }
        Ok(Ok(()))
    }

    async fn held(&self, provider: &str, held: Option<&Owned>, row: Option<&NodeRow>) -> Result<HeldServer> {
        let observed = held.map_or(Observed::Gone, |held| held.observed);
        let row = match (held, row) {
            (Some(held), None) => self.store.node(&held.node).await?.filter(|row| row.state != "gone"),
            (_, row) => row.cloned(),
        };
        let stack = match &row {
            Some(row) => self.store.stack(&row.stack).await?,
            None => None,
        };
        let expected = row.as_ref().map_or("", |row| row.state.as_str());
        let node = held.map(|held| &held.node).or(row.as_ref().map(|row| &row.id));
        Ok(HeldServer {
            provider: provider.to_owned(),
            node: node.map(ToString::to_string).unwrap_or_default(),
            external_id: held.map(|held| held.external_id.clone()).unwrap_or_default(),
            observed: said(observed).to_owned(),
            expected: expected.to_owned(),
            difference: difference(observed, expected).map(str::to_owned),
            stack: stack.as_ref().map(|stack| stack.name.to_string()),
            stack_state: stack.map(|stack| stack.state),
        })
    }

    async fn compare_images(&self, provider: &dyn Provider, view: &mut HoldingsView) -> Result<Result<(), String>> {
        let held = match provider.images().await {
            Ok(held) => held,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let rows = self.store.images().await?;
        let rows: Vec<_> = rows.iter().filter(|row| row.provider == provider.name()).collect();
        for image in &held {
            let known = rows.iter().any(|row| is_it(row, image));
            view.images.push(HeldImage {
                provider: provider.name().to_owned(),
                key: image.key.clone(),
                external_id: image.external_id.clone(),
                difference: (!known).then(|| "nobody knows of it: it is removed within a minute".to_owned()),
            });
        }
        for row in rows
            .iter()
            .filter(|row| row.state == "usable" && !held.iter().any(|image| is_it(row, image)))
        {
            view.images.push(HeldImage {
                provider: provider.name().to_owned(),
                key: row.key.clone(),
                external_id: String::new(),
                difference: Some("the provider has it no more: launches start without it".to_owned()),
            });
        }
        Ok(Ok(()))
    }
}

fn said(observed: Observed) -> &'static str {
    match observed {
        Observed::Running => "running",
        Observed::Stopped => "stopped",
        Observed::Gone => "gone",
    }
}

// What a provider says beside what our row says. What is being made or stopped may be either.
fn difference(observed: Observed, expected: &str) -> Option<&'static str> {
    match (observed, expected) {
        (Observed::Running | Observed::Stopped, "") => Some("nobody knows of it: it is removed within a minute"),
        (Observed::Gone, "created" | "stopped") => Some("it is gone, and nobody asked for that: destroy or rebuild its stack"),
        (Observed::Running, "stopped") => Some("it runs though its stack sleeps: it is stopped again within a minute"),
        (Observed::Stopped, "created") => Some("its agent does not run: it is started again within seconds"),
        _ => None,
    }
}
