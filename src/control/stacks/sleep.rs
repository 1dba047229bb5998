//! Stopping, starting and rebuilding a stack's server.

use super::super::{Control, Result};
use super::change::{conflict, locked};
use crate::model::actor::Actor;
use crate::model::id::{NodeId, RunId};
use crate::model::plan::Plan;
use crate::model::stack::{Stack, StackState};
use crate::plans::{rebuild_stack, start_stack, stop_stack, view};
use crate::store::Tx;
use crate::wire::stacks::Accepted;

impl Control {
    /// Puts a stack to sleep: its server is off and keeps its disk. Asking twice is asking once.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`.
    pub async fn stop_stack(&self, actor: &Actor, id_or_name: &str) -> Result<Accepted> {
        let found = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &found).await?;
        let mut tx = self.store.write(actor, "stack.stop", found.id.as_str()).await?;
        let mut stack = locked(&mut tx, &found.id).await?;
        if let Some(run) = asked_before(&stack, [StackState::Stopping, StackState::Stopped]) {
            drop(tx);
            return self.accepted(actor, &stack.id, &run).await;
        }
        if !matches!(stack.state, StackState::Ready | StackState::Tainted) {
            return Err(conflict(&stack, "only a stack that serves can be stopped"));
        }
        let node = node_of(&stack)?;
        tx.set_node_stopping(&node).await?;
        let plan = stop_stack::plan(&stack, &node);
        self.begin(tx, &mut stack, StackState::Stopping, &plan, actor).await
    }

    /// Wakes a stack. Asking twice is asking once; one that serves already is left as it is.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`.
    pub async fn start_stack(&self, actor: &Actor, id_or_name: &str) -> Result<Accepted> {
        let found = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &found).await?;
        let descriptors = view::descriptors(&self.store, &found.spec).await?;
        let mut tx = self.store.write(actor, "stack.start", found.id.as_str()).await?;
        let mut stack = locked(&mut tx, &found.id).await?;
        let awake = [
            StackState::Starting,
            StackState::Ready,
            StackState::Tainted,
            StackState::Updating,
        ];
        if let Some(run) = asked_before(&stack, awake) {
            drop(tx);
            return self.accepted(actor, &stack.id, &run).await;
        }
        if stack.state != StackState::Stopped {
            return Err(conflict(&stack, "only a stack that sleeps can be started"));
        }
        let node = node_of(&stack)?;
        let desired = tx.node_desired(&node).await?;
        let plan = start_stack::plan(&stack, &node, &descriptors, desired);
        self.begin(tx, &mut stack, StackState::Starting, &plan, actor).await
    }

    /// Makes a new server for a stack, as it was asked for; the old one serves until the new one has passed every check.
    ///
    /// # Errors
    /// `not-found`, `not-allowed`, `conflict`.
    pub async fn rebuild_stack(&self, actor: &Actor, id_or_name: &str) -> Result<Accepted> {
        let found = self.find_stack(id_or_name).await?;
        self.check_may_change(actor, &found).await?;
        let descriptors = view::descriptors(&self.store, &found.spec).await?;
        let mut tx = self.store.write(actor, "stack.rebuild", found.id.as_str()).await?;
        let mut stack = locked(&mut tx, &found.id).await?;
        if !matches!(stack.state, StackState::Ready | StackState::Tainted) {
            return Err(conflict(&stack, "only a stack that serves can be rebuilt"));
        }
        let old = node_of(&stack)?;
        let new = NodeId::from_bits(tx.next_id());
        tx.insert_node(&new, &stack.id, &stack.provider).await?;
        let plan = rebuild_stack::plan(&stack, &old, &new, &descriptors);
        self.begin(tx, &mut stack, StackState::Updating, &plan, actor).await
    }

    async fn begin(&self, mut tx: Tx, stack: &mut Stack, state: StackState, plan: &Plan, actor: &Actor) -> Result<Accepted> {
        let run = tx.insert_run(plan, actor, None).await?;
        stack.state = state;
        stack.run = Some(run.clone());
        tx.detail(stack.name.as_str());
        tx.update_stack(stack).await?;
        tx.commit().await?;
        self.accepted(actor, &stack.id, &run).await
    }
}

fn asked_before<const N: usize>(stack: &Stack, states: [StackState; N]) -> Option<RunId> {
    states.contains(&stack.state).then(|| stack.run.clone()).flatten()
}

fn node_of(stack: &Stack) -> Result<NodeId> {
    let node = stack.node.clone();
    node.ok_or_else(|| conflict(stack, "it has no server"))
}
