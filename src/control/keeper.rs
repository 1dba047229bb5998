//! The keeper: what has to happen without anyone asking. Leases end, dead agents are started again, and what a provider holds
//! under our tag without a row is removed. Each look is repeatable and changes nothing where nothing is to be done; the server
//! owns the clock, so a stack ends on time whatever happens on its node.

use super::{Control, Result};
use crate::model::actor::Actor;
use crate::providers::{FencingToken, Observed};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_secs(2);
const SWEEP_EVERY: u32 = 30;

impl Control {
    /// Looks after leases, agents and leftovers until told to stop.
    pub async fn keep(&self, cancel: CancellationToken) {
        let mut rounds: u32 = 0;
        loop {
            self.look_after(rounds.is_multiple_of(SWEEP_EVERY)).await;
            rounds = rounds.wrapping_add(1);
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// One look: ended leases, dead agents, and, where `sweep`, leftovers.
    pub async fn look_after(&self, sweep: bool) {
        if let Err(error) = self.end_leases().await {
            tracing::warn!(%error, "ended leases could not be looked after");
        }
        if let Err(error) = self.revive_agents().await {
            tracing::warn!(%error, "agents could not be looked after");
        }
        if sweep && let Err(error) = self.sweep().await {
            tracing::warn!(%error, "leftovers could not be looked after");
        }
    }

    async fn end_leases(&self) -> Result<()> {
        for stack in self.store.stacks_past_lease(self.store.now()).await? {
            tracing::info!(stack = %stack.id, "the lease of {} has ended", stack.name);
            self.destroy_stack(&Actor::system("lease"), stack.id.as_str()).await?;
        }
        Ok(())
    }

    async fn revive_agents(&self) -> Result<()> {
        for node in self.store.live_nodes().await? {
            // One that was never created is the launch's business, and one that is stopped is meant to be.
            if node.state != "created" {
                continue;
            }
            let Some(provider) = self.providers.get(&node.provider) else {
                continue;
            };
            if matches!(provider.observe(&node.id).await, Ok(Observed::Stopped)) {
                match provider.revive(&node.id).await {
                    Ok(Observed::Running) => tracing::info!(node = %node.id, "started a dead agent again"),
                    // It was being destroyed.
                    Ok(_) => {}
                    Err(error) => tracing::warn!(node = %node.id, %error, "a dead agent could not be started again"),
                }
            }
        }
        Ok(())
    }

    /// Removes what providers hold under our tag and we have no living row for; returns how many. Rows are written before
    /// anything is made, so such a thing can only be left of a store that was restored, or of a removal that was cut short.
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
            for stray in owned.iter().filter(|owned| !known.contains(&owned.node)) {
                tracing::error!(node = %stray.node, external = stray.external_id, "found a server that nobody knows of; removing it");
                match provider
                    .destroy(
                        &stray.node,
                        FencingToken {
                            term: i64::MAX,
                            epoch: i64::MAX,
                        },
                    )
                    .await
                {
                    Ok(()) => removed += 1,
                    Err(error) => tracing::error!(node = %stray.node, %error, "it could not be removed"),
                }
            }
        }
        Ok(removed)
    }
}
