//! The keeper: what has to happen without anyone asking. Leases end, dead agents are started again, and what a provider holds
//! under our tag without a row is removed. Each look is repeatable and changes nothing where nothing is to be done; the server
//! owns the clock, so a stack ends on time whatever happens on its node.

use super::{Control, Result};
use crate::model::actor::Actor;
use crate::model::stack::StackState;
use crate::providers::{FencingToken, Observed};
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
        if let Err(error) = self.tend_previews().await {
            tracing::warn!(%error, "previews could not be looked after");
        }
        if let Err(error) = self.tend_pools().await {
            tracing::warn!(%error, "pools could not be looked after");
        }
        if sweep {
            if let Err(error) = self.stop_sleepers().await {
                tracing::warn!(%error, "stacks that sleep could not be looked after");
            }
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "leftovers could not be looked after");
            }
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

    // A server that runs though its stack sleeps: someone started it as it was being stopped, or behind our back.
    async fn stop_sleepers(&self) -> Result<()> {
        for node in self.store.live_nodes().await? {
            let Some(provider) = self.providers.get(&node.provider).filter(|_| node.state == "stopped") else {
                continue;
            };
            if !matches!(provider.observe(&node.id).await, Ok(Observed::Running)) {
                continue;
            }
            // Read after the provider's answer: it may have been woken meanwhile.
            let stack = self.store.stack(&node.stack).await?;
            if stack.is_none_or(|stack| stack.state != StackState::Stopped) {
                continue;
            }
            tracing::warn!(node = %node.id, "a server runs though its stack sleeps; stopping it");
            let (term, epoch) = self.store.next_token().await?;
            if let Err(error) = provider.stop(&node.id, FencingToken { term, epoch }).await {
                tracing::warn!(node = %node.id, %error, "it could not be stopped");
            }
        }
        Ok(())
    }
}
