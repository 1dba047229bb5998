//! Pools: what keeps presets ready. Members are ordinary stacks without a name that anyone knows; whoever takes one gives it a
//! name, an owner and a lease, and nothing on its server changes.

use super::stacks::Draft;
use super::{Control, Result};
use crate::model::actor::Actor;
use crate::model::id::{StackId, UserId};
use crate::model::pool::{Action, Member, decide, pause_ms};
use crate::model::stack::{Purpose, Stack, StackSpec, StackState};
use crate::model::time::Timestamp;
use crate::plans::{start_stack, view};
use crate::store::presets::PresetRow;
use crate::store::{StoreError, Tx};
use crate::wire::stacks::Accepted;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

// Nobody takes longer to look after a pool than this, unless they were killed.
const TEND_MS: i64 = 120_000;
// How long it counts what a preset's branches were found to be.
const LOOK_AGAIN_MS: i64 = 60_000;

/// What a launch of each preset would give, as of a moment ago.
#[derive(Debug, Default)]
pub struct Wanted(Mutex<HashMap<(String, i64), (Timestamp, StackSpec)>>);

impl Control {
    /// Looks after all pools: what is missing is made, what is too much, too old or out of date goes.
    ///
    /// # Errors
    /// Where the store fails. A pool that cannot be looked after does not keep the others from it.
    pub async fn tend_pools(&self) -> Result<()> {
        let presets = self.store.presets().await?;
        for preset in presets.iter().filter(|preset| preset.body.pool.is_some()) {
            // Two at once would make everything twice.
            let mut tx = self.store.journal().await?;
            let mine = tx.tend_pool(&preset.name, self.store.now().plus(TEND_MS)).await?;
            tx.commit().await?;
            if !mine {
                continue;
            }
            // Read again: someone else may just have been here.
            let Some(preset) = self.store.preset(&preset.name).await? else {
                continue;
            };
            if let Err(error) = self.tend_pool(&preset).await {
                tracing::warn!(preset = preset.name, %error, "a pool could not be looked after");
            }
            let mut tx = self.store.journal().await?;
            tx.leave_pool(&preset.name).await?;
            tx.commit().await?;
        }
        let system = Actor::system("pool");
        for name in self.store.pools_in_use().await? {
            if presets.iter().any(|preset| preset.name == name && preset.body.pool.is_some()) {
                continue;
            }
            for (stack, _) in self.store.pool_members(&name).await? {
                self.destroy_stack(&system, stack.id.as_str()).await?;
            }
        }
        Ok(())
    }

    async fn tend_pool(&self, preset: &PresetRow) -> Result<()> {
        let Some(pool) = &preset.body.pool else { return Ok(()) };
        let now = self.store.now();
        let members = self.store.pool_members(&preset.name).await?;
        let failed = self.count_failures(preset, &members, now).await?;
        let wanted = match self.wanted_of(preset, now).await {
            Ok(wanted) => Some(wanted),
            Err(error) => {
                let why = error.to_string();
                if preset.last_failure.as_ref() != Some(&why) {
                    self.note_failure(preset, preset.failures + 1, &why, now).await?;
                }
                None
            }
        };
        let system = Actor::system("pool");
        let seen: Vec<Member> = members
            .iter()
            .map(|(stack, version)| Member {
                stack: stack.id.clone(),
                state: stack.state,
                created_at: stack.created_at,
                // Where it cannot be known what is wanted now, what is there is better than nothing.
                fresh: *version == preset.version && wanted.as_ref().is_none_or(|wanted| *wanted == stack.spec),
            })
            .collect();
        let put_off = preset.retry_at.is_some_and(|at| at > now);
        let may_launch = !preset.paused && !put_off && !failed && wanted.is_some() && self.store.people_waiting().await? == 0;
        for action in decide(pool, &seen, may_launch, now) {
            match action {
                Action::Launch => self.launch_member(preset).await?,
                Action::Stop(_) | Action::Start(_) if preset.paused => {}
                Action::Stop(stack) => drop(self.stop_stack(&system, stack.as_str()).await?),
                Action::Start(stack) => drop(self.start_stack(&system, stack.as_str()).await?),
                Action::Destroy(stack, why) => {
                    tracing::info!(%stack, preset = preset.name, why, "a member of a pool goes");
                    self.destroy_stack(&system, stack.as_str()).await?;
                }
            }
        }
        Ok(())
    }

    // Whether something failed. It is counted once: it is destroyed right after.
    async fn count_failures(&self, preset: &PresetRow, members: &[(Stack, i64)], now: Timestamp) -> Result<bool> {
        let failed = members.iter().filter(|(stack, _)| stack.state == StackState::Failed);
        let faults: Vec<String> = failed
            .map(|(stack, _)| {
                stack
                    .fault
                    .as_ref()
                    .map_or_else(|| "it failed".to_owned(), ToString::to_string)
            })
            .collect();
        if let Some(why) = faults.last() {
            let failures = preset.failures + i64::try_from(faults.len()).unwrap_or(1);
            self.note_failure(preset, failures, why, now).await?;
            return Ok(true);
        }
        let ready = |(stack, _): &(Stack, i64)| {
            stack.state == StackState::Ready && preset.retry_at.is_none_or(|at| stack.created_at >= at)
        };
        if preset.failures > 0 && members.iter().any(ready) {
            let mut tx = self.store.journal().await?;
            tx.set_pool_failures(&preset.name, 0, None, None).await?;
            tx.commit().await?;
        }
        Ok(false)
    }

    async fn note_failure(&self, preset: &PresetRow, failures: i64, why: &str, now: Timestamp) -> Result<()> {
        let mut tx = self.store.journal().await?;
        let retry_at = now.plus(pause_ms(failures));
        tx.set_pool_failures(&preset.name, failures, Some(why), Some(retry_at))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    // What a launch of the preset would give now.
    async fn wanted_of(&self, preset: &PresetRow, now: Timestamp) -> Result<StackSpec> {
        let key = (preset.name.clone(), preset.version);
        let known = {
            let wanted = self.pools.0.lock().unwrap_or_else(PoisonError::into_inner);
            wanted
                .get(&key)
                .filter(|(at, _)| (0..LOOK_AGAIN_MS).contains(&now.since(*at)))
                .cloned()
        };
        if let Some((_, spec)) = known {
            return Ok(spec);
        }
        let spec = self.draft(&preset.body.launch).await?.spec;
        let mut wanted = self.pools.0.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.retain(|(name, _), _| *name != preset.name);
        wanted.insert(key, (now, spec.clone()));
        Ok(spec)
    }

    async fn launch_member(&self, preset: &PresetRow) -> Result<()> {
        let mut draft = self.draft(&preset.body.launch).await?;
        let system = Actor::system("pool");
        let mut stack = draft.stack(
            StackId::from_bits(self.store.next_id()),
            preset.owner.clone(),
            self.store.now(),
        );
        stack.purpose = Purpose::Pool;
        // Its lease begins when it is taken; until then the pool decides.
        stack.lease_until = Timestamp(i64::MAX / 2);
        let mut tx = self.store.write(&system, "pool.fill", &preset.name).await?;
        tx.detail(stack.name.as_str());
        match self.begin_launch(&mut tx, &mut stack, &draft, &system, None).await {
            Ok(_) => {
                tx.set_pool_member(&stack.id, &preset.name, preset.version).await?;
                tx.commit().await?;
                Ok(())
            }
            // The made-up name is taken: another one at the next look.
            Err(StoreError::Taken(_)) => {
                draft.name = Draft::another_name();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a member of a preset's pool that is just what the draft asks for, if there is one: first one that runs, else one
    /// that sleeps, which is woken.
    pub(super) async fn take_member(
        &self,
        actor: &Actor,
        owner: &UserId,
        preset: &str,
        draft: &Draft,
        key: Option<&str>,
    ) -> Result<Option<Accepted>> {
        let mut members = self.store.pool_members(preset).await?;
        members.retain(|(stack, _)| {
            stack.spec == draft.spec
                && stack.provider == draft.provider.name()
                && matches!(stack.state, StackState::Ready | StackState::Stopped)
        });
        members.sort_by_key(|(stack, _)| (stack.state == StackState::Stopped, stack.created_at));
        for (member, _) in members {
            let mut tx = self.store.write(actor, "stack.claim", member.id.as_str()).await?;
            let Some(mut stack) = tx.stack(&member.id).await? else {
                continue;
            };
            // Locked now: whoever came first has it.
            if stack.purpose != Purpose::Pool || stack.state != member.state {
                continue;
            }
            let given = draft.stack(stack.id.clone(), owner.clone(), tx.at());
            stack.purpose = Purpose::Person;
            stack.name = given.name;
            stack.owner = given.owner;
            stack.created_at = given.created_at;
            stack.lease_until = given.lease_until;
            stack.lease_max = given.lease_max;
            tx.give_stack(&stack, key).await?;
            tx.detail(format!("{} from the pool of {preset}", stack.name));
            if stack.state == StackState::Stopped {
                self.wake(&mut tx, &mut stack, actor).await?;
            } else {
                stack.ready_at = Some(tx.at());
            }
            let Some(run) = stack.run.clone() else { continue };
            tx.update_stack(&mut stack).await?;
            tx.commit().await?;
            return Ok(Some(self.accepted(actor, &stack.id, &run).await?));
        }
        Ok(None)
    }

    async fn wake(&self, tx: &mut Tx, stack: &mut Stack, actor: &Actor) -> Result<()> {
        let descriptors = view::descriptors(&self.store, &stack.spec).await?;
        let Some(node) = stack.node.clone() else { return Ok(()) };
        let desired = tx.node_desired(&node).await?;
        let plan = start_stack::plan(stack, &node, &descriptors, desired);
        stack.run = Some(tx.insert_run(&plan, actor, None).await?);
        stack.state = StackState::Starting;
        Ok(())
    }
}
